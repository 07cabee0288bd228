"""What the doors for people share: the token in the path, failed signatures, forms, pages for failures."""

import asyncio
import re
import time
from collections import OrderedDict
from typing import Any, Literal
from urllib.parse import parse_qs

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from starlette.requests import ClientDisconnect

from app.decision.catalogue import Catalogue
from app.doors.pages import HEADERS, language_of, page
from app.recording import Circumstances
from app.storage.store import Store
from app.unsubscribing import BY_LINK

ANSWERS: dict[int | str, dict[str, Any]] = {
    404: {"description": "The token was not made here; nothing was looked up", "content": {"text/html": {}}},
    429: {"description": "Too many tokens that were not made here", "content": {"text/html": {}}},
    503: {"description": "Nothing is known or changed; try again", "content": {"text/html": {}}},
}
CHANGING_NOTHING = ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"]
_AFTER_LINKS = " \t\r\n.,;:!?>)]}'\""
_BODY_LIMIT = 64 * 1024  # octets of a form that are looked at
_BODY_WITHIN = 10.0  # seconds: what has not come by then is not waited for
_RETRY_AFTER = {"Retry-After": "60"}
_MINUTE = 60.0  # seconds
_PER_MINUTE = 300  # failed signatures from one address
_ADDRESSES = 10_000
_FAMILIES = (  # what a browser calls itself, the more particular first
    ("Edge", "Edg"),
    ("Opera", "OPR/"),
    ("Samsung Internet", "SamsungBrowser"),
    ("Firefox", "Firefox"),
    ("Firefox", "FxiOS"),
    ("Chrome", "Chrome"),
    ("Chrome", "CriOS"),
    ("Safari", "Safari"),
)
_PRODUCT = re.compile(r"[A-Za-z][A-Za-z_-]{0,31}")


class Failures:
    """Counts failed signatures per address, a minute at a time. Nothing else is ever limited."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()  # when the minute began, and how many since

    def count(self, address: str) -> bool:
        """Count one more; whether it is one too many."""
        now = time.monotonic()
        began, counted = self._counts.pop(address, (now, 0))
        if now - began >= _MINUTE:
            began, counted = now, 0
        self._counts[address] = began, counted + 1
        if len(self._counts) > _ADDRESSES:
            self._counts.popitem(last=False)
        return counted >= _PER_MINUTE


def token_in(path: str) -> str:
    """The token in the rest of a path, with or without a slash at its end, or what stood after a link in a text and was
    taken for a part of it."""
    return path.rstrip(_AFTER_LINKS).removesuffix("/").rstrip(_AFTER_LINKS)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name. Whatever cannot be read as one counts as none: the token is the
    authority, not the body."""
    body = b""
    try:
        async with asyncio.timeout(_BODY_WITHIN):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _BODY_LIMIT:
                    break
    except (TimeoutError, ClientDisconnect):
        pass
    try:
        fields = parse_qs(body[:_BODY_LIMIT].decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=2000)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def user_agent_family(request: Request) -> str | None:
    """What kind of program calls, without version and platform, which would tell people apart."""
    header = request.headers.get("user-agent", "")
    known = next((family for family, mark in _FAMILIES if mark in header), None)
    product = _PRODUCT.match(header)
    return known or (product[0] if product else None)


def not_made_here(request: Request, store: Store) -> HTMLResponse:
    """The answer to a token that was not made here: nothing was looked up, nothing is."""
    failures: Failures = request.app.state.failures
    if failures.count(request.client.host if request.client else ""):
        return failure(request, store, "too_many", 429)
    return failure(request, store, "not_found", 404)


def failure(
    request: Request,
    store: Store,
    problem: Literal["not_found", "gone", "unavailable", "too_many"],
    status: int,
    language: str | None = None,
) -> HTMLResponse:
    """A page that says what went wrong, and how else to reach the controller as last known."""
    return page(
        "failure.html",
        language_of(request, language),
        catalogue=last_known(store),
        status=status,
        headers=_RETRY_AFTER if status in (429, 503) else None,
        problem=problem,
        retry=status == 503,
    )


def how_it_came(request: Request, method: str, **evidence: Any) -> Circumstances:
    """The circumstances of what somebody does on a page or through a mail client, who is taken to be the person."""
    told = {"user_agent": user_agent_family(request), **evidence}
    kept = {name: value for name, value in told.items() if value is not None}
    return Circumstances(BY_LINK, method=method, actor_kind="subject", evidence=kept or None)


def last_known(store: Store) -> Catalogue | None:
    """The newest catalogue this process knows, without asking the database."""
    versions = store.known[1].versions
    return versions[-1] if versions else None


def without_body(method: str) -> Response:
    """The answer to what neither shows nor changes anything: HEAD, OPTIONS, and methods that mean nothing here."""
    if method == "HEAD":
        return Response(None, 200, HEADERS, "text/html; charset=utf-8")
    return Response(None, 204 if method == "OPTIONS" else 405, HEADERS | {"Allow": "GET, HEAD, OPTIONS, POST"})
