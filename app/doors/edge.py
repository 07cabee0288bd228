"""The edge of the service: request ids, the size of bodies, who calls, one log line per request. Pure ASGI."""

import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import crypto, metrics
from app.decision.refusal import Denied
from app.doors.problems import denied, problem, too_large, unavailable
from app.storage import ledger
from app.storage.database import Unavailable
from app.storage.keys import ApiKey
from app.storage.store import Store, is_current
from app.telemetry import ALLOWED, get_logger, tell

_access = logging.getLogger("maywe.access")
BODY_LIMIT = 1024 * 1024  # octets
_PROTECTED = ("/v1/", "/access/")
_TAKING_HEAD = ("/u/", "/preferences/")  # doors that answer it without asking the database
_READ = frozenset({b"authorization", b"content-length", b"traceparent", b"x-request-id"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/=-]{1,128}")
_TRACE = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


class Edge:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, store: Callable[[], Store]) -> None:
        self._app = app
        self._store = store
        self._log = get_logger("maywe.access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method = scope["method"]
        if method == "HEAD" and not scope["path"].startswith(_TAKING_HEAD):
            scope = {**scope, "method": "GET"}
        sent = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _READ}
        request_id = scope["request_id"] = request_id_of(sent.get(b"x-request-id", ""))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id, **trace_of(sent.get(b"traceparent", "")))
        answer = _Answer(send, request_id, with_body=method != "HEAD")
        try:
            await self._admit(scope, sent, receive, answer)
        except Exception as error:  # noqa: BLE001  the last resort: an answer without detail, a log line without values
            self._log.error("request_failed", exc_info=error)
            if not answer.started:
                detail = "Something failed here; the log knows more by the request id."
                await problem(request_id, 500, "internal-error", detail)(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path_format", None)
            seconds = time.perf_counter() - started
            metrics.count_request(method, route, answer.status, seconds)
            told = {"method": method, "route": route, "status": answer.status, "duration_ms": round(seconds * 1000, 3)}
            bound = structlog.contextvars.get_contextvars().items()
            tell(_access, "request", **{name: value for name, value in bound if name in ALLOWED}, **told)

    async def _admit(self, scope: Scope, sent: dict[bytes, str], receive: Receive, send: Send) -> None:
        answer: Response
        if scope["path"].startswith(_PROTECTED):
            try:
                scope["caller"] = await self._identify(sent.get(b"authorization", ""))
            except Denied as refusal:
                answer = denied(scope["request_id"], refusal)
                await answer(scope, receive, send)
                return
            except Unavailable as error:
                answer = unavailable(scope["request_id"], error)
                await answer(scope, receive, send)
                return
            if _is_too_large(sent.get(b"content-length", "")):
                await too_large(scope["request_id"])(scope, receive, send)
                return
        await self._app(scope, _Body(receive), send)

    async def _identify(self, authorization: str) -> ApiKey:
        """The key of the caller as last known. Doors confirm it against the ledger head they read."""
        store = self._store()
        key = identify(store, authorization)
        if key is None:
            async with store.database.read() as connection:
                await store.refresh_keys(connection, await ledger.head(connection))
            key = identify(store, authorization)
        if key is None:
            raise _unknown_key()
        structlog.contextvars.bind_contextvars(key_id=key.key_id)
        return key


def identify(store: Store, authorization: str) -> ApiKey | None:
    """The key of a caller as last known; None if none of its id is. Raises Denied."""
    scheme, _, token = authorization.partition(" ")
    parsed = crypto.read_api_key(token.strip()) if scheme.lower() == "bearer" else None
    if parsed is None:
        raise _unknown_key()
    key_id, secret = parsed
    key = store.key(key_id)
    if key is None:
        return None
    if not crypto.same_digest(key.digest, crypto.api_key_digest(secret)):
        raise _unknown_key()
    if not is_current(key, datetime.now(UTC)):
        raise Denied("invalid-key", "This API key is expired or revoked.")
    return key


class _Answer:
    """Sends on, adding what every answer carries, and remembers the status."""

    def __init__(self, send: Send, request_id: str, *, with_body: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._with_body = with_body
        self.started = False
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            headers.setdefault("X-Content-Type-Options", "nosniff")
            headers.setdefault("Cache-Control", "no-store")
        elif not self._with_body:
            message = {**message, "body": b""}
        await self._send(message)


class _Body:
    """Counts what comes in."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._size = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > BODY_LIMIT:
            raise HTTPException(413)
        return message


def _unknown_key() -> Denied:
    return Denied("invalid-key", "Send a valid API key: Authorization: Bearer mw_...")


def _is_too_large(content_length: str) -> bool:
    return content_length.isdecimal() and (len(content_length) > 9 or int(content_length) > BODY_LIMIT)


def request_id_of(sent: str) -> str:
    """The id the caller sent, if it is one that can stand in a log; else a new one."""
    return sent if _REQUEST_ID.fullmatch(sent) else crypto.new_id("req_")


def trace_of(traceparent: str) -> dict[str, str]:
    """What log lines tell of the caller's trace (W3C Trace Context, 3.2); nothing if the header is not valid."""
    found = _TRACE.fullmatch(traceparent) if traceparent else None
    if found is None or (found[1] == "00" and found[4] is not None):
        return {}
    return {"trace_id": found[2], "span_id": found[3]}
