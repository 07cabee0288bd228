"""The edge of the service: request ids, the size of bodies, who calls, one log line per request. Pure ASGI."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import crypto
from app.decision.refusal import Denied
from app.doors.problems import denied, problem
from app.storage import ledger
from app.storage.database import Unavailable
from app.storage.keys import ApiKey
from app.storage.store import Store, is_current
from app.telemetry import get_logger

BODY_LIMIT = 1024 * 1024  # octets
_PROTECTED = ("/v1/", "/access/")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/=-]{1,128}")
_UNKNOWN = Denied("invalid-key", "Send a valid API key: Authorization: Bearer mw_...")


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
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        scope["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        answer = _Answer(scope, send, request_id)
        started = time.perf_counter()
        try:
            await self._admit(scope, headers, receive, answer)
        except Exception as error:  # noqa: BLE001  the last resort: an answer without detail, a log line without values
            self._log.error("request_failed", exc_info=error)
            if not answer.started:
                failed = problem(
                    request_id, 500, "internal-error", "Something failed here; the log knows more by the request id."
                )
                await failed(scope, receive, answer)
        finally:
            self._log.info(
                "request",
                method=scope["method"],
                route=getattr(scope.get("route"), "path", None),
                status=answer.status,
                duration_ms=round((time.perf_counter() - started) * 1000, 3),
            )

    async def _admit(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        request_id = scope["request_id"]
        if scope["path"].startswith(_PROTECTED):
            try:
                scope["caller"] = await self._identify(headers.get("authorization"))
            except Denied as refusal:
                await denied(request_id, refusal)(scope, receive, send)
                return
            except Unavailable:
                unavailable = problem(
                    request_id, 503, "unavailable", "The database cannot be reached now.", headers={"Retry-After": "1"}
                )
                await unavailable(scope, receive, send)
                return
        await self._app(scope, _Body(receive), send)

    async def _identify(self, authorization: str | None) -> ApiKey:
        """The key of the caller as last known. Doors confirm it against the ledger head they read."""
        scheme, _, token = (authorization or "").partition(" ")
        parsed = crypto.read_api_key(token.strip()) if scheme.lower() == "bearer" else None
        if parsed is None:
            raise _UNKNOWN
        key_id, secret = parsed
        store = self._store()
        if store.key(key_id) is None:
            async with store.database.read() as connection:
                await store.refresh_keys(connection, await ledger.head(connection))
        key = store.key(key_id)
        if key is None or not crypto.same_digest(key.digest, crypto.api_key_digest(secret)):
            raise _UNKNOWN
        if not is_current(key, datetime.now(UTC)):
            raise Denied("invalid-key", "This API key is expired or revoked.")
        return key


class _Answer:
    """Sends on, adding what every answer carries, and remembers the status."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self._is_open = not scope["path"].startswith(_PROTECTED)
        self.started = False
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._request_id
            headers.setdefault("X-Content-Type-Options", "nosniff")
            if not self._is_open:
                headers.setdefault("Cache-Control", "no-store")
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


def _request_id(headers: Headers) -> str:
    """The id the caller sent, if it is one that can stand in a log; else a new one."""
    sent = headers.get("x-request-id", "")
    return sent if _REQUEST_ID.fullmatch(sent) else crypto.new_id("req_")
