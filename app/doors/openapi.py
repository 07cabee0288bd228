"""The OpenAPI document: what FastAPI makes of the doors, with the security scheme and the problem document."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.doors.problems import Problem

DESCRIPTION = """\
Consent and preferences per person and purpose, with their lawful basis.

Every operation under `/v1` takes an API key: `Authorization: Bearer mw_<key id>_<secret>`. Errors are problem documents
(RFC 9457). Times are RFC 3339 with `Z`. Unknown fields are refused."""

_PROTECTED = "/v1/"


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
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith(_PROTECTED):
                operation["security"] = [{"key": []}]
    return document
