"""The OpenAPI document: committed as it is, with examples that work and answers that are as described."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from app.main import create_app
from tests.harness.databases import Databases
from tests.harness.service import Maywe, in_process, settings_for

ROOT = Path(__file__).parents[2]
COMMITTED = json.loads((ROOT / "openapi" / "openapi.json").read_text("utf-8"))
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in COMMITTED["paths"].items()
    for method, operation in operations.items()
}
PAGES = ("/u/", "/preferences/", "/notice")  # for people: HTML, and nothing to paste
# Each once, in an order in which each finds what it needs.
STORY = (
    "POST /v1/choices",
    "POST /v1/facts",
    "POST /v1/check",
    "POST /v1/check/batch",
    "POST /v1/check/all",
    "POST /v1/audience/filter",
    "POST /v1/audience/export",
    "POST /v1/unsubscribe-links",
    "POST /v1/subjects/find",
    "POST /v1/subjects/{subject_id}/identifiers",
    "GET /v1/subjects/{subject_id}",
    "GET /v1/subjects/{subject_id}/events",
    "GET /v1/changes",
    "POST /v1/webhooks",
    "GET /v1/webhooks",
    "PATCH /v1/webhooks/{webhook_id}",
    "POST /v1/webhooks/{webhook_id}/pause",
    "POST /v1/webhooks/{webhook_id}/resume",
    "POST /v1/webhooks/{webhook_id}/secret",
    "GET /v1/webhooks/{webhook_id}",
    "GET /v1/webhooks/{webhook_id}/dead-letters",
    "POST /v1/webhooks/{webhook_id}/dead-letters/replay",
    "DELETE /v1/webhooks/{webhook_id}",
    "GET /v1/catalogue",
    "GET /v1/catalogue/versions",
    "GET /v1/catalogue/versions/{version}",
    "DELETE /v1/subjects/{subject_id}/identifiers/{identifier_id}",
    "POST /v1/subjects/{subject_id}/erasure",
    "GET /livez",
    "GET /readyz",
)


def closed(schema: Any) -> Any:
    """The schema, refusing fields that it does not tell of."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(part) for name, part in schema.items()}
    return {**made, "additionalProperties": made.get("additionalProperties", False)} if "properties" in made else made


STRICT = {"components": {"schemas": closed(deepcopy(COMMITTED["components"]["schemas"]))}}


def validate(schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator({**STRICT, **schema}).validate(value)


def content_of(operation: dict[str, Any], status: int) -> dict[str, Any]:
    described: dict[str, Any] = operation["responses"][str(status)]["content"]
    return described


def test_the_committed_document_is_what_the_code_says() -> None:
    described = create_app(settings_for("sqlite:///nowhere.db")).openapi()
    assert json.loads(json.dumps(described)) == COMMITTED, "run `make openapi`"
    assert COMMITTED["openapi"].startswith("3.1.")


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_documented_whole(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["tags"]
    path = name.split()[1]
    if path.startswith("/v1/"):
        assert operation["security"] == [{"key": []}]
        assert {"401", "422", "503"} <= set(operation["responses"])
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= set(operation["responses"])
    for status, response in operation["responses"].items():
        if int(status) >= 400 and not path.startswith(PAGES):
            assert set(response["content"]) == {"application/problem+json"}, status
    assert "HTTPValidationError" not in json.dumps(operation)


@pytest.mark.parametrize("name", [*STORY, "PUT /v1/catalogue"])
def test_the_examples_fit_what_they_are_examples_of(name: str) -> None:
    operation = OPERATIONS[name]
    shown = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if shown is not None and name != "PUT /v1/catalogue":
        validate(shown["schema"], shown["example"])
    success = "201" if "201" in operation["responses"] else "200"
    answer = operation["responses"][success]["content"].get("application/json")
    if answer is not None and not name.startswith("GET /v1/catalogue"):
        validate(answer["schema"], answer["example"])


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_the_examples_work_with_the_bundled_catalogue(databases: Databases, engine: str) -> None:
    async with in_process(databases.make(engine)) as maywe:
        bundled = (ROOT / "app" / "catalogues" / "belkcase.yaml").read_bytes()
        headers = {"Content-Type": "application/yaml"}
        answer = await maywe.http.put("/v1/catalogue", content=bundled, headers=headers)
        expect_as_described("PUT /v1/catalogue", answer)
        places = {"version": answer.json()["version"]}
        for name in STORY:
            answer = await tell(maywe, name, places)
            assert answer.is_success, (name, answer.text)
            expect_as_described(name, answer)
            if answer.headers["Content-Type"] == "application/json":
                places |= {key: value for key, value in answer.json().items() if key.endswith("_id")}
        gone = await tell(maywe, "GET /v1/subjects/{subject_id}", places)
        assert gone.status_code == 410
        expect_as_described("GET /v1/subjects/{subject_id}", gone)


async def tell(maywe: Maywe, name: str, places: dict[str, str]) -> httpx.Response:
    """Send the example of an operation."""
    method, path = name.split()
    body = OPERATIONS[name].get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    content = {} if body is None else {"json": body}
    return await maywe.http.request(method, path.format_map(places), **content)


def expect_as_described(name: str, answer: httpx.Response) -> None:
    """The status, the media type and the content are among the documented."""
    described = content_of(OPERATIONS[name], answer.status_code)
    media_type = answer.headers["Content-Type"].partition(";")[0]
    if media_type in ("application/json", "application/problem+json"):
        validate(described[media_type]["schema"], answer.json())
    else:
        assert media_type in described
