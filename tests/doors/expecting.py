"""What tests of the doors say again and again: people nobody knows yet, and what a problem document looks like."""

import uuid
from typing import Any

import httpx

MEMBERS = {"type", "title", "status", "detail", "request_id"}


def someone(kind: str = "customer") -> dict[str, Any]:
    """An identifier that nobody used before."""
    name = uuid.uuid4().hex
    made = {
        "customer": f"c-{name}",
        "email": f"{name}@example.com",
        "phone": f"+49{int(name, 16) % 10**11:011}",
        "device": f"d-{name}",
    }
    return {"type": kind, "id": made[kind]}


def expect_problem(answer: httpx.Response, status: int, slug: str, *pointers: str, more: set[str] = frozenset()) -> Any:
    """A problem document (RFC 9457) of this status and slug, whose errors have these pointers; returns it."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    document = answer.json()
    assert set(document) == MEMBERS | more | ({"errors"} if status == 422 else set())
    assert (document["type"], document["status"]) == (f"urn:maywe:problem:{slug}", status)
    assert document["request_id"] == answer.headers["X-Request-ID"]
    assert document["title"]
    assert document["detail"].endswith((".", "...")), document
    for error in document.get("errors", ()):
        assert set(error) == {"pointer", "code", "detail"}
        assert error["code"]
        assert error["detail"]
    assert [error["pointer"] for error in document.get("errors", ())] == list(pointers)
    return document
