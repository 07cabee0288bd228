"""The OpenAPI document: what FastAPI makes of the doors, with the security scheme, the problem document, examples."""

import json
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.doors.problems import Problem, responses

DESCRIPTION = """\
Consent and preferences per person and purpose, with their lawful basis.

Every operation under `/v1` takes an API key: `Authorization: Bearer mw_<key id>_<secret>`. Times are RFC 3339 with `Z`.
Unknown fields and parameters are refused. Errors are problem documents (RFC 9457): the pointers of their `errors` are
JSON pointers into the body, or name a parameter as in `query:limit`; none echoes what was sent. `X-Request-ID` comes
back, and `traceparent` reaches the log. The examples speak of the bundled catalogue."""

_PROTECTED = "/v1/"
_HEADERS = {
    "webhook-id": "The `id` of the row, the same in every attempt.",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970.",
    "webhook-signature": "`v1,` and a signature, for each secret in force, with spaces between.",
}
_PUSHED = {
    "summary": "A row of the feed, posted to an endpoint",
    "description": "Signed as in Standard Webhooks 1.0.0, at least once, in order per person.",
    "operationId": "pushed",
    "tags": ["webhooks"],
    "parameters": [
        {"name": name, "in": "header", "required": True, "description": told, "schema": {"type": "string"}}
        for name, told in _HEADERS.items()
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["type", "timestamp", "data"],
                    "additionalProperties": False,
                    "properties": {
                        "type": {"type": "string", "description": "That of the row."},
                        "timestamp": {"type": "string", "format": "date-time", "description": "Its `occurred_at`."},
                        "data": {"$ref": "#/components/schemas/ChangeTold"},
                    },
                }
            }
        },
    },
    "responses": {
        "2XX": {"description": "The row is safely yours."},
        "410": {"description": "The endpoint is no more: it is disabled."},
        "default": {"description": "It is tried again later; `Retry-After` is honoured."},
    },
}


def install(app: FastAPI) -> None:
    """Let the application describe itself so."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # the documented way to extend it


def _describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {})
    schemas["Problem"] = problem
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}}
    examples = json.loads(files("app.doors").joinpath("examples.json").read_text("utf-8"))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path.startswith(_PROTECTED):
                operation["security"] = [{"key": []}]
                operation["responses"]["422"] = responses(422)[422]
            else:
                operation["responses"].pop("422", None)
            _exemplify(operation, examples.get(f"{method.upper()} {path}", {}))
    document["webhooks"] = {"pushed": {"post": _PUSHED}}
    return document


def _exemplify(operation: dict[str, Any], example: dict[str, Any]) -> None:
    """Show a request, and the answer to it."""
    if "request" in example:
        operation["requestBody"]["content"]["application/json"]["example"] = example["request"]
    if "answer" in example:
        success = "201" if "201" in operation["responses"] else "200"
        operation["responses"][success]["content"]["application/json"]["example"] = example["answer"]
