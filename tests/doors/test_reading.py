"""What a body may be: JSON in UTF-8, 1 MiB at most, of the media type that says so."""

import json
from typing import Any

import httpx
import pytest

from tests.doors.expecting import expect_problem, someone
from tests.harness.service import Maywe

JSON = {"Content-Type": "application/json"}
POSTS = (
    "/v1/check",
    "/v1/check/batch",
    "/v1/check/all",
    "/v1/choices",
    "/v1/facts",
    "/v1/subjects/find",
    "/v1/subjects/sub_nobody/identifiers",
    "/v1/subjects/sub_nobody/erasure",
)


async def post(service: Maywe, path: str, content: bytes, **headers: str) -> httpx.Response:
    return await service.http.post(path, content=content, headers=JSON | headers)


def question(**more: Any) -> dict[str, Any]:
    return {"subject": someone(), "purpose": "offers", "channel": "email", **more}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{'purpose': 1}",
        b'{"purpose": "offers"} x',
        b'{"purpose": "off\xff"}',
        b"\xef\xbb\xbf{}",
        '{"purpose": "offers"}'.encode("utf-16"),
        b'{"purpose": NaN}',
        b'{"purpose": -Infinity}',
        b'{"purpose": "offers", "purpose": "ads"}',
        b'{"subject": {"type": "customer", "type": "email", "id": "x"}, "purpose": "offers"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5_000,
    ],
)
async def test_what_is_no_json_is_unreadable(service: Maywe, content: bytes) -> None:
    for path in POSTS:
        expect_problem(await post(service, path, content), 400, "unreadable-json")
    answer = await service.http.put("/v1/catalogue", content=content, headers=JSON)
    expect_problem(answer, 400, "unreadable-json")


@pytest.mark.parametrize("content", [b"null", b"[]", b'"text"', b"7", b"true", b"[" * 900 + b"]" * 900])
async def test_json_that_is_no_object_is_refused(service: Maywe, content: bytes) -> None:
    for path in POSTS:
        expect_problem(await post(service, path, content), 422, "invalid-request", "")


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;Charset=UTF-8",
        'application/json; charset="utf-8"',
    ],
)
async def test_json_may_say_that_it_is_utf_8(service: Maywe, media_type: str) -> None:
    answer = await post(service, "/v1/check", json.dumps(question()).encode(), **{"Content-Type": media_type})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "media_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "json", ";;", ""],
)
async def test_other_media_types_are_refused(service: Maywe, media_type: str | None) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    content = json.dumps(question()).encode()
    for path in POSTS:
        answer = await service.http.post(path, content=content, headers=headers)
        expect_problem(answer, 415, "unsupported-media-type")


async def chunks(octets: bytes) -> Any:
    for start in range(0, len(octets), 65_536):
        yield octets[start : start + 65_536]


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_over_one_mebibyte_is_refused(service: Maywe, is_chunked: bool) -> None:
    content = json.dumps(question()).encode().ljust(1024 * 1024)
    for size, status in ((len(content), 200), (len(content) + 1, 413)):
        body = content.ljust(size)
        sent = chunks(body) if is_chunked else body
        answer = await service.http.post("/v1/check", content=sent, headers=JSON)
        assert answer.status_code == status
    expect_problem(answer, 413, "body-too-large")


async def test_nothing_of_a_body_that_was_too_large_is_recorded(service: Maywe) -> None:
    person = someone()
    body = {"subject": person, "choices": [{"purpose": "offers", "choice": "withdraw"}]}
    content = json.dumps(body).encode().ljust(1024 * 1024 + 1)
    expect_problem(await post(service, "/v1/choices", content), 413, "body-too-large")
    expect_problem(await service.http.post("/v1/subjects/find", json=person), 404, "unknown-subject")


@pytest.mark.parametrize(
    ("path", "field", "limit", "item"),
    [
        ("/v1/choices", "choices", 100, {"purpose": "offers", "choice": "withdraw"}),
        ("/v1/facts", "facts", 100, {"fact": "informed"}),
        ("/v1/check/batch", "checks", 1000, {"subject": {"type": "customer", "id": "c"}, "purpose": "ads"}),
    ],
)
async def test_more_items_than_documented_are_refused(
    service: Maywe, path: str, field: str, limit: int, item: dict[str, Any]
) -> None:
    subject = {} if field == "checks" else {"subject": someone()}
    for count, status in ((0, 422), (1, None), (limit, None), (limit + 1, 413)):
        answer = await service.http.post(path, json={**subject, field: [item] * count})
        assert answer.status_code == (status or answer.status_code)
        assert status or answer.status_code in (200, 201), answer.text
        if count == 0:
            expect_problem(answer, 422, "invalid-request", f"/{field}")
    expect_problem(answer, 413, "too-many-items")


async def test_unknown_query_parameters_are_refused(service: Maywe) -> None:
    await service.choose(person := someone(), {"purpose": "offers", "choice": "withdraw"})
    path = f"/v1/subjects/{await service.find(person)}"
    for name, pointer in (("limt", "query:limt"), ("ada@example.com", "query"), ("", "query")):
        answer = await service.http.get(f"{path}/events", params={name: "5"})
        expect_problem(answer, 422, "unknown-parameter", pointer)
        expect_problem(await service.http.get(path, params={name: "5"}), 422, "unknown-parameter", pointer)
    answer = await service.http.post("/v1/check", params={"explain": "true"}, json=question())
    expect_problem(answer, 422, "unknown-parameter", "query:explain")
