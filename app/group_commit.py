"""Group commit: choices that come while others are being written share the next unit of work and its commit. Each is
judged, refused and answered for itself, and none before the commit."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from app.addressing import Address, Subject, address_of
from app.decision.refusal import NotReady, Refusal
from app.judging import Choice
from app.recording import Circumstances, Record, judge_choices, place_choices
from app.storage.database import Conflict
from app.storage.ledger import Head
from app.storage.store import Store
from app.writing import Unit

_ENOUGH = 64  # choices: a unit of work that holds so many takes no more requests, or the wait for it would grow


class Recording(NamedTuple):
    """What one caller wants to be recorded about somebody named by an identifier. `confirm` raises Denied unless the
    caller's key is valid as of a ledger head."""

    subject: Subject
    choices: Sequence[Choice]
    how: Circumstances
    now: datetime
    confirm: Callable[[AsyncConnection, Head], Awaitable[None]]


class _Waiting(NamedTuple):
    request: Recording
    answer: asyncio.Future[Record]


class _Apart(Exception):
    """A unit of work is to be done one by one."""


class _Unforeseen(Exception):
    """Something went wrong in a unit of work that several may share, and nobody knows whose it is."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class GroupCommit:
    """The choices of one process on their way to the ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def record(self, request: Recording) -> Record:
        """Record choices; returns once they are committed. Raises what recording them alone raises."""
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None:  # in a context of its own: it belongs to no request
            self._writing = asyncio.create_task(self._write(), context=contextvars.Context())
        return await waiting.answer

    async def close(self) -> None:
        """Wait until what was begun is written."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        """Write for those who wait until nobody does."""
        try:
            while self._waiting:
                group = self._next()
                if group:
                    await self._commit(group)
                    self._waiting = [*(one for one in group if not one.answer.done()), *self._waiting]
        finally:
            self._writing = None

    def _next(self) -> list[_Waiting]:
        """Those whose turn it is, one for each name: however often somebody is written about, nobody else waits."""
        group: dict[tuple[str | None, str | None], _Waiting] = {}
        others, room = [], _ENOUGH
        for one in self._waiting:
            name = one.request.subject.type, one.request.subject.id
            if one.answer.done():
                continue  # given up
            if room > 0 and name not in group:
                group[name] = one
                room -= len(one.request.choices)
            else:
                others.append(one)
        self._waiting = others
        return list(group.values())

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        requests, has_begun = [one.request for one in group], False

        async def record(connection: AsyncConnection) -> list[Record | Exception | None]:
            nonlocal has_begun
            if has_begun and len(group) > 1:  # another writer stood in the way of one of them
                raise _Apart
            has_begun = True
            return await self._record(connection, requests)

        try:
            results = await self._store.database.write(record)
        except Exception as error:  # noqa: BLE001  it is raised where the answer is waited for
            if len(group) > 1 and isinstance(error, (_Apart, _Unforeseen, DBAPIError)):  # nothing was committed
                await asyncio.gather(*(self._commit([one]) for one in group))
            else:
                _settle(group, [error.error if isinstance(error, _Unforeseen) else error] * len(group))
        else:
            _settle(group, results)

    async def _record(
        self, connection: AsyncConnection, requests: Sequence[Recording]
    ) -> list[Record | Exception | None]:
        try:
            return await _record_together(connection, self._store, requests)
        except (NotReady, Conflict, DBAPIError, PoolTimeout, OSError):
            raise
        except Exception as error:
            raise _Unforeseen(error) from error


def _settle(group: Sequence[_Waiting], results: Sequence[Record | Exception | None]) -> None:
    for one, result in zip(group, results, strict=True):
        if one.answer.done() or result is None:
            continue  # given up meanwhile, or for the next unit of work
        if isinstance(result, Exception):
            one.answer.set_exception(result)
        else:
            one.answer.set_result(result)


async def _record_together(
    connection: AsyncConnection, store: Store, requests: Sequence[Recording]
) -> list[Record | Exception | None]:
    """One unit of work; for each request a record, a refusal, or None if it is about somebody whom an earlier one is
    about: what is told of the first in the change feed, the second would have changed already."""
    unit = await Unit.begin(connection, store, max(request.now for request in requests))
    judged = [await _judge(unit, request) for request in requests]
    addresses = [one[0] for one in judged if not isinstance(one, Refusal)]
    held = iter(await unit.hold_all(addresses) if addresses else ())
    results: list[Record | Exception | None] = []
    done: set[str] = set()
    for request, verdict in zip(requests, judged, strict=True):
        if isinstance(verdict, Refusal):
            results.append(verdict)
            continue
        state = next(held)
        if state.subject_id in done:
            results.append(None)
            continue
        done.add(state.subject_id)
        events = await place_choices(unit, state, request.choices, request.how, at=verdict[1])
        results.append(Record(state.subject_id, "", events))
    revision = await unit.finish()
    return [result._replace(revision=revision) if isinstance(result, Record) else result for result in results]


async def _judge(unit: Unit, request: Recording) -> tuple[Address, datetime | None] | Refusal:
    """Whom it is about and when it was said, or why it is refused."""
    try:
        await request.confirm(unit.connection, unit.head)
        at = judge_choices(unit, request.choices, request.how)
        return address_of(request.subject, unit.catalogue, unit.store.secrets), at
    except Refusal as refusal:
        return refusal
