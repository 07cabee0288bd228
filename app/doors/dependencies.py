"""The words every door speaks: the store, the clock, the caller and the unit of work."""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import Depends, Header, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.exceptions import HTTPException

from app.addressing import Subject
from app.decision.refusal import Conflicting, Denied, Fault, Invalid
from app.decision_log import DecisionLog
from app.group_commit import GroupCommit, Recording
from app.judging import Choice
from app.recording import Circumstances, Record
from app.storage import idempotency, ledger
from app.storage.idempotency import Answer
from app.storage.keys import ApiKey
from app.storage.ledger import Head
from app.storage.store import Store, is_current
from app.watching import Watch
from app.writing import Unit

_KEY_LENGTH = 255
_JSON = ("application/json", "application/json;charset=utf-8")


async def the_store(request: Request) -> Store:
    """The store of this application."""
    store: Store = request.app.state.store
    return store


async def now(request: Request) -> datetime:
    """What the clock of this application says."""
    moment: datetime = request.app.state.clock()
    return moment


async def the_watch(request: Request) -> Watch:
    """The watch of this process."""
    watch: Watch = request.app.state.watch
    return watch


# Dependencies are async, though none awaits: FastAPI would give each that is not to another thread.
TheStore = Annotated[Store, Depends(the_store)]
TheWatch = Annotated[Watch, Depends(the_watch)]
Now = Annotated[datetime, Depends(now)]


class Caller(NamedTuple):
    """Who calls, with a valid key; and the log of what they are told about people, if there is one."""

    key: ApiKey
    store: Store
    log: DecisionLog | None

    @property
    def key_id(self) -> str:
        """The public part of the key."""
        return self.key.key_id

    def require(self, *scopes: str) -> None:
        """Raise Denied unless the key has one of the scopes."""
        if not self.key.scopes & set(scopes):
            detail = f"This API key lacks the scope {' or '.join(scopes)}."
            raise Denied("insufficient-scope", detail)

    async def confirm(self, connection: AsyncConnection | None, head: Head, now: datetime) -> None:
        """Raise Denied unless the key is valid as of a ledger head. Compared even if another request read the keys
        again in the meantime."""
        await self.store.refresh_keys(connection, head)
        if self.store.key(self.key_id) != self.key or not is_current(self.key, now):
            raise Denied("invalid-key", "This API key is expired or revoked.")


async def caller(request: Request) -> Caller:
    """The caller the edge identified."""
    return Caller(request.scope["caller"], request.app.state.store, request.app.state.decision_log)


TheCaller = Annotated[Caller, Depends(caller)]


async def json_body(request: Request) -> None:
    """Refuse bodies that do not say they are JSON, or are in another encoding than UTF-8."""
    media_type = request.headers.get("content-type", "").lower().replace(" ", "").replace('"', "")
    if media_type not in _JSON:
        raise HTTPException(415)


def encoded(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer as JSON; instants as RFC 3339 with Z."""
    return Response(msgspec.json.encode(content), status, headers, "application/json")


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Quoted or bare, up to 255 characters. "
        "The same key with the same body gets the stored answer for 24 hours.",
    ),
]


class Write:
    """One write: admitted, done in one unit of work, committed, and only then answered."""

    def __init__(self, request: Request, caller: Caller, now: datetime, idempotency_key: str | None) -> None:
        self._request = request
        self._idempotency_key = idempotency_key
        self.caller = caller
        self.now = now

    @property
    def is_once(self) -> bool:
        """Whether the caller wants it done once, however often it is sent."""
        return self._idempotency_key is not None

    async def record(self, subject: Subject, choices: Sequence[Choice], how: Circumstances) -> Record:
        """Record choices about somebody named by an identifier, committed together with those of other requests."""
        group: GroupCommit = self._request.app.state.group_commit
        return await group.record(Recording(subject, choices, how, self.now, self._confirm))

    async def _confirm(self, connection: AsyncConnection, head: Head) -> None:
        await self.caller.confirm(connection, head, self.now)

    async def perform(self, work: Callable[[Unit], Awaitable[Any]], status: int) -> Response:
        """Do the work; the answer leaves only after the commit."""

        async def in_unit(connection: AsyncConnection) -> Any:
            return await work(await Unit.begin(connection, self.caller.store, self.now))

        return await self.perform_on_connection(in_unit, status)

    async def perform_on_connection(self, work: Callable[[AsyncConnection], Awaitable[Any]], status: int) -> Response:
        """The same for work that begins its unit itself. `work` returns the content of the answer, or a
        (status, content) pair."""
        store, claim = self.caller.store, (self.caller.key_id, self._idempotency_key or "")
        running: set[tuple[str, str]] = self._request.app.state.running
        if self._idempotency_key is None:
            answer, _ = await store.database.write(lambda connection: self._answer(connection, work, status, None))
            return _response(answer)
        fingerprint = await self._fingerprint()
        if claim in running:
            raise _still_running()
        running.add(claim)
        try:
            answer, replayed = await store.database.write(
                lambda connection: self._answer(connection, work, status, fingerprint)
            )
        finally:
            running.discard(claim)
        return _response(answer, replayed=replayed)

    async def _answer(
        self,
        connection: AsyncConnection,
        work: Callable[[AsyncConnection], Awaitable[Any]],
        status: int,
        fingerprint: bytes | None,
    ) -> tuple[Answer, bool]:
        await self.caller.confirm(connection, await ledger.head(connection), self.now)
        key_id, key = self.caller.key_id, self._idempotency_key
        if fingerprint is not None and key is not None:
            if not await idempotency.begin(connection, key_id, key):
                raise _still_running()
            stored = await idempotency.find(connection, key_id, key, now=self.now)
            if stored is not None:
                body = self.caller.store.secrets.unseal(stored.body, self._context)
                return _replay(stored._replace(body=body), fingerprint), True
        content = await work(connection)
        if isinstance(content, tuple):
            status, content = content
        answer = Answer(fingerprint or b"", status, msgspec.json.encode(content))
        if fingerprint is not None and key is not None:
            sealed = self.caller.store.secrets.seal(answer.body, self._context)  # it may hold a new secret
            await idempotency.store(connection, key_id, key, answer._replace(body=sealed), now=self.now)
        return answer, False

    @property
    def _context(self) -> bytes:
        return f"answer {self.caller.key_id} {self._idempotency_key}".encode()

    async def _fingerprint(self) -> bytes:
        what = f"{self._request.method} {self._request.url.path}?{self._request.url.query}\n".encode()
        return hashlib.sha256(what + await self._request.body()).digest()


def _bare(header: str | None) -> str | None:
    """The key without its quotes (a structured field string, or the bare form many send)."""
    if header is None:
        return None
    bare = header[1:-1] if len(header) > 1 and header.startswith('"') and header.endswith('"') else header
    if not 0 < len(bare) <= _KEY_LENGTH or not bare.isprintable() or not bare.isascii():
        detail = f"An Idempotency-Key has 1 to {_KEY_LENGTH} printable ASCII characters."
        raise Invalid(Fault("header:Idempotency-Key", "invalid-idempotency-key", detail))
    return bare


def _replay(stored: Answer, fingerprint: bytes) -> Answer:
    if stored.fingerprint != fingerprint:
        detail = "This Idempotency-Key was used with another request; use a new one."
        raise Invalid(Fault("header:Idempotency-Key", "idempotency-key-reused", detail))
    return stored


def _still_running() -> Conflicting:
    return Conflicting("idempotency-in-progress", "A request with this Idempotency-Key is still running.")


def _response(answer: Answer, *, replayed: bool = False) -> Response:
    headers = {"Idempotency-Replayed": "true"} if replayed else None
    return Response(answer.body, answer.status, headers, "application/json")


def scoped(*scopes: str) -> Any:
    """A dependency: the caller's key must have one of the scopes."""

    async def require(caller: TheCaller) -> None:
        caller.require(*scopes)

    return Depends(require)


JSON_BODY = Depends(json_body)


class Reading:
    """One read by a caller whose key is confirmed in it, of one moment however many statements it takes."""

    def __init__(self, caller: Caller, now: datetime) -> None:
        self.caller = caller
        self.store = caller.store
        self.now = now

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[tuple[AsyncConnection, Head]]:
        """A connection, and where the ledger ends."""
        async with self.store.database.view() as connection:
            yield connection, await self._confirmed(connection)

    @asynccontextmanager
    async def begin_long(self) -> AsyncGenerator[tuple[AsyncConnection, Head]]:
        """The same for a read that may last."""
        async with self.store.database.long_view() as connection:
            yield connection, await self._confirmed(connection)

    async def _confirmed(self, connection: AsyncConnection) -> Head:
        head = await ledger.head(connection)
        await self.caller.confirm(connection, head, self.now)
        return head


async def _reading(caller: TheCaller, now: Now) -> Reading:
    return Reading(caller, now)


async def _write(request: Request, caller: TheCaller, now: Now, idempotency_key: IdempotencyKey = None) -> Write:
    return Write(request, caller, now, _bare(idempotency_key))


TheReading = Annotated[Reading, Depends(_reading)]
TheWrite = Annotated[Write, Depends(_write)]
