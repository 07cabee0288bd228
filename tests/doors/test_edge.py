"""What every answer has in common: request ids, headers, methods, addresses that lead nowhere."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import pytest
from starlette.routing import compile_path

from app.doors import edge
from app.telemetry import configure_logging
from tests.doors.expecting import expect_problem, someone
from tests.harness.service import Maywe

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
FOR_PEOPLE = ("/u/", "/preferences/")  # pages, which answer every method in their own way


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """The lines that were logged meanwhile, once the block ended."""
    stream, lines = io.StringIO(), []
    with redirect_stderr(stream):
        configure_logging("info", "json")
        yield lines
    lines += map(json.loads, stream.getvalue().splitlines())


# Request ids


@pytest.mark.parametrize("sent", ["abc", "7f3a-22/x:9.Z_=", "a" * 128])
async def test_a_request_id_is_echoed(service: Maywe, sent: str) -> None:
    for path in ("/livez", "/v1/catalogue", "/nowhere"):
        answer = await service.http.get(path, headers={"X-Request-ID": sent})
        assert answer.headers["X-Request-ID"] == sent
    assert answer.json()["request_id"] == sent


@pytest.mark.parametrize("sent", [None, "", "a" * 129, "ada@example.com", "a b", "<script>", "ä", "%0d%0aSet-Cookie:x"])
async def test_a_request_id_that_cannot_stand_in_a_log_is_replaced(service: Maywe, sent: str | None) -> None:
    headers = {} if sent is None else {"X-Request-ID": sent.encode()}
    answers = [await service.http.get("/livez", headers=headers) for _ in range(2)]
    ids = [answer.headers["X-Request-ID"] for answer in answers]
    assert all(one.startswith("req_") and len(one) == 30 for one in ids)
    assert ids[0] != ids[1]


# Traces


@pytest.mark.parametrize(
    ("sent", "is_honoured"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"01-{TRACE}-{SPAN}-01", True),
        (f"01-{TRACE}-{SPAN}-01-what-the-future-brings", True),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        (f"00-{TRACE[1:]}-{SPAN}-01", False),
        ("ada@example.com", False),
        ("", False),
    ],
)
async def test_a_traceparent_is_told_in_the_log_if_it_is_valid(service: Maywe, sent: str, is_honoured: bool) -> None:
    with logged() as lines:
        await service.http.get("/livez", headers={"traceparent": sent})
    [line] = lines
    told = {name: line[name] for name in ("trace_id", "span_id") if name in line}
    assert told == ({"trace_id": TRACE, "span_id": SPAN} if is_honoured else {})


async def test_nothing_of_one_request_is_told_of_the_next(service: Maywe) -> None:
    with logged() as lines:
        await service.ask(someone(), "offers", channel="email")
        await service.http.get("/livez", headers={"Authorization": ""})
    assert set(lines[1]) == {
        "event",
        "level",
        "logger",
        "timestamp",
        "request_id",
        "method",
        "route",
        "status",
        "duration_ms",
    }


async def test_what_a_door_binds_is_told_only_if_it_is_on_the_list(
    service: Maywe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "trace_of", lambda _: {"trace_id": TRACE, "address": "ada@example.com"})
    with logged() as lines:
        await service.http.get("/livez")
        await service.http.get("/v1/catalogue")
    assert [line["trace_id"] for line in lines] == [TRACE] * 2
    assert not [line for line in lines if "address" in line or "ada@" in str(line)]


# Methods and addresses


async def test_every_address_answers_what_it_takes(service: Maywe) -> None:
    paths = (await service.http.get("/openapi.json")).json()["paths"]
    for address in (path.replace("{", "").replace("}", "") for path in paths if not path.startswith(FOR_PEOPLE)):
        there = [operations for path, operations in paths.items() if path == address]
        there = there or [operations for path, operations in paths.items() if compile_path(path)[0].match(address)]
        allowed = {method.upper() for operations in there for method in operations} | {"OPTIONS"}
        allowed |= {"HEAD"} if "GET" in allowed else set()
        told = ", ".join(sorted(allowed))
        for method in {"PATCH", "TRACE", "BREW"} - allowed:
            answer = await service.http.request(method, address)
            expect_problem(answer, 405, "method-not-allowed")
            assert answer.headers["Allow"] == told, (method, address)
        answer = await service.http.options(address)
        assert (answer.status_code, answer.headers["Allow"], answer.content) == (204, told, b"")


async def test_head_is_get_without_its_content(service: Maywe) -> None:
    for path in ("/livez", "/readyz", "/v1/catalogue", "/v1/catalogue/versions", "/openapi.json", "/docs"):
        got, headed = await service.http.get(path), await service.http.head(path)
        assert (headed.status_code, headed.content) == (got.status_code, b"")
        assert headed.headers["Content-Length"] == got.headers["Content-Length"]
        assert headed.headers["Content-Type"] == got.headers["Content-Type"]
    unknown = await service.http.head("/v1/subjects/sub_nobody")
    assert (unknown.status_code, unknown.content) == (404, b"")


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/", "/v1/nowhere", "/v1/check/", "/v1/catalogue/", "/livez/", "/metrics", "/docs/../app", "/%00"],
)
async def test_addresses_that_lead_nowhere_are_problems(service: Maywe, path: str) -> None:
    for method in ("GET", "POST"):
        expect_problem(await service.http.request(method, path), 404, "not-found")


async def test_answers_are_not_to_be_stored_or_guessed_at(service: Maywe) -> None:
    answers = [
        await service.http.post("/v1/check", json={"subject": someone(), "purpose": "offers"}),
        await service.http.post(
            "/v1/choices", json={"subject": someone(), "choices": [{"purpose": "ads", "choice": "refuse"}]}
        ),
        await service.http.get("/livez"),
        await service.http.get("/readyz"),
        await service.http.get("/v1/subjects/sub_nobody"),
        await service.http.get("/v1/catalogue", headers={"Authorization": ""}),
    ]
    for answer in answers:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
