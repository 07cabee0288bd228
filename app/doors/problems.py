"""Errors as problem documents (RFC 9457). None of them echoes input."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from app.decision.refusal import (
    Conflicting,
    Denied,
    Erased,
    Expired,
    Fault,
    Invalid,
    NotReady,
    Refusal,
    Unknown,
    Unreadable,
)
from app.storage.database import Unavailable
from app.telemetry import get_logger

_log = get_logger("maywe.problems")

MEDIA_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[Refusal], int], ...] = (
    (Invalid, 422),
    (Unknown, 404),
    (Conflicting, 409),
    (Erased, 410),
    (Expired, 410),
    (Unreadable, 400),
    (NotReady, 503),
)


class ErrorItem(BaseModel):
    """One thing wrong with a request: where, what, and how to mend it."""

    pointer: str
    code: str
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457). `errors` only with status 422."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[ErrorItem] | None = None


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem documents an operation may answer with, for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def problem(
    request_id: str,
    status: int,
    slug: str,
    detail: str,
    *,
    members: Mapping[str, Any] = MappingProxyType({}),
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem document as an answer; `members` extend it (RFC 9457, 3.2)."""
    document: dict[str, Any] = {
        "type": f"urn:maywe:problem:{slug}",
        "title": slug.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "request_id": request_id,
        **members,
    }
    return JSONResponse(document, status, headers, MEDIA_TYPE)


def _errors(faults: Iterable[Fault]) -> dict[str, Any]:
    return {"errors": [fault._asdict() for fault in faults]}


def _id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))


async def _refused(request: Request, refusal: Exception) -> JSONResponse:
    assert isinstance(refusal, Refusal)
    if isinstance(refusal, Denied):
        return denied(_id(request), refusal)
    status = next(status for kind, status in _STATUS if isinstance(refusal, kind))
    members = _errors(refusal.faults) if isinstance(refusal, Invalid) else refusal.members
    return problem(_id(request), status, refusal.slug, refusal.detail, members=members)


def denied(request_id: str, refusal: Denied) -> JSONResponse:
    """401 for a key that is none, 403 for a scope it lacks (RFC 6750)."""
    if refusal.slug == "insufficient-scope":
        return problem(request_id, 403, refusal.slug, refusal.detail)
    return problem(request_id, 401, refusal.slug, refusal.detail, headers={"WWW-Authenticate": "Bearer"})


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    _log.warning("unavailable", exc_info=error)
    detail = "The database cannot be reached now; the answer is not known. Try again."
    return problem(_id(request), 503, "unavailable", detail, headers={"Retry-After": "1"})


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [dict(e) for e in error.errors()]
    if any(e["type"] == "json_invalid" for e in found):
        return problem(_id(request), 400, "unreadable-json", "The body is not readable JSON.")
    errors = _errors(faults_of(found, error.body))
    return problem(
        _id(request), 422, "invalid-request", "The request is not what this operation takes.", members=errors
    )


def faults_of(found: Iterable[dict[str, Any]], body: Any) -> list[Fault]:
    """Validation errors as faults: a JSON pointer into the body, or the name of the parameter; never the value."""
    return [Fault(_pointer(e["loc"], body), e["type"].replace("_", "-"), _sentence(e)) for e in found]


def _sentence(error: dict[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    return message if message.endswith(".") else f"{message}."


def _pointer(loc: Iterable[Any], body: Any) -> str:
    place, *parts = loc
    if place != "body":
        return f"{place}:{'.'.join(str(part) for part in parts)}"
    pointer, value = "", body
    for n, part in enumerate(parts):
        if isinstance(value, dict) and part not in value and n < len(parts) - 1:
            continue  # the name of the alternative that was tried, not a key
        pointer += "/" + str(part).replace("~", "~0").replace("/", "~1")
        value = value.get(part) if isinstance(value, dict) else _item(value, part)
    return pointer


def _item(value: Any, part: Any) -> Any:
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    slug = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-").replace("'", "")
    headers = dict(error.headers) if error.headers else None
    if error.status_code == 413:
        return problem(_id(request), 413, "body-too-large", "A body may have 1 MiB at most.", headers=headers)
    if error.status_code == 400:
        return problem(_id(request), 400, "unreadable-json", "The body is not readable JSON.", headers=headers)
    return problem(
        _id(request), error.status_code, slug, f"{HTTPStatus(error.status_code).description or slug}.", headers=headers
    )


def install(app: FastAPI) -> None:
    """Let every error leave as a problem document."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
