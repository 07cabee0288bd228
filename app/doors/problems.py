"""Errors as problem documents (RFC 9457). None of them echoes input."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

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
from app.validation import OBJECT, SENTENCES, sentence

_log = get_logger("maywe.problems")

MEDIA_TYPE = "application/problem+json"
_FIELD = re.compile(r"[A-Za-z][A-Za-z_]{0,39}")
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
    return unavailable(_id(request), error)


def unavailable(request_id: str, error: Exception) -> JSONResponse:
    """The database cannot be reached: nothing is known, and nothing is guessed."""
    _log.warning("unavailable", exc_info=error)
    detail = "The database cannot be reached now; the answer is not known. Try again."
    return problem(request_id, 503, "unavailable", detail, headers={"Retry-After": "1"})


def too_large(request_id: str) -> JSONResponse:
    """A body is over the limit."""
    return problem(request_id, 413, "body-too-large", "A body has 1 MiB at most.")


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [dict(e) for e in error.errors()]
    if any(e["type"] == "json_invalid" or _is_no_body(e, error.body) for e in found):
        return _unreadable(request)
    faults = faults_of(found, error.body)
    too_many = [
        fault.detail
        for e, fault in zip(found, faults, strict=True)
        if e["type"] == "too_long" and e["loc"][0] == "body"
    ]
    if too_many:
        return problem(_id(request), 413, "too-many-items", too_many[0])
    detail = "The request is not what this operation takes."
    return problem(_id(request), 422, "invalid-request", detail, members=_errors(faults))


def _is_no_body(error: dict[str, Any], body: Any) -> bool:
    return error["type"] == "missing" and error["loc"] == ("body",) and body is None


def _unreadable(request: Request) -> JSONResponse:
    detail = "The body is not readable: JSON in UTF-8 is needed, each name once in an object, without NaN."
    return problem(_id(request), 400, "unreadable-json", detail)


def faults_of(found: Iterable[dict[str, Any]], body: Any) -> list[Fault]:
    """Validation errors as faults: a JSON pointer into the body, or the name of the parameter; never a value."""
    return [Fault(_pointer(e, body), _code(e["type"]), sentence(e)) for e in found]


def _code(kind: str) -> str:
    return "object-type" if SENTENCES.get(kind) is OBJECT else kind.replace("_", "-")


def nameable(name: str) -> bool:
    """Whether a name that was sent looks like that of a field, and like nothing that could tell of a person."""
    return _FIELD.fullmatch(name) is not None


def _pointer(error: dict[str, Any], body: Any) -> str:
    place, *parts = error["loc"]
    if place != "body":
        return f"{place}:{'.'.join(str(part) for part in parts)}"
    pointer, value = "", body
    for n, part in enumerate(parts):
        if isinstance(part, str) and not isinstance(value, dict):
            break  # the name of the alternative that was tried, not a key
        if isinstance(value, dict) and part not in value and n < len(parts) - 1:
            continue  # the same
        if isinstance(part, str) and not nameable(part):
            break  # the object that has it is named instead
        pointer += f"/{part}"
        value = value.get(part) if isinstance(value, dict) else _item(value, part)
    return pointer


def _item(value: Any, part: Any) -> Any:
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    if status == 400:
        return _unreadable(request)
    if status == 405:
        return _not_allowed(request)
    if status == 413:
        return too_large(_id(request))
    slug = HTTPStatus(status).phrase.lower().replace(" ", "-")
    return problem(_id(request), status, slug, _DETAILS.get(status, f"{HTTPStatus(status).phrase}."))


_DETAILS = {
    404: "There is nothing at this address.",
    415: "Send the media type that this operation takes, in UTF-8; most take application/json.",
}


def _not_allowed(request: Request) -> Response:
    allowed = {"Allow": ", ".join(sorted(_methods(request)))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allowed)
    return problem(_id(request), 405, "method-not-allowed", "This address takes other methods.", headers=allowed)


def _methods(request: Request) -> set[str]:
    """The methods that an address takes, whichever route takes them; a route of just this path before templates."""
    path = request.url.path
    routes = [r for r in iter_route_contexts(request.app.routes) if r.path and compile_path(r.path)[0].match(path)]
    exact = [route for route in routes if route.path == path]
    methods = {"OPTIONS"}.union(*(route.methods or () for route in exact or routes))
    return methods | {"HEAD"} if "GET" in methods else methods


def install(app: FastAPI) -> None:
    """Let every error leave as a problem document."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
