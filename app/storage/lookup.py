"""The read behind every answer: who was asked about, what was left on identifiers, those they are attached to, and the
head of the ledger, in one statement and so of one moment. For checks the drivers do it themselves."""

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import psycopg
from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision.catalogue import Timeline
from app.decision.model import Person, Question
from app.storage import codec
from app.storage.database import Database, Unavailable, existing, file_at, has_hung_up
from app.storage.ledger import Head

_LOOK_EVERY = 0.05  # seconds: whether the file is still the one that was opened; a system call for each read is dear
_FEW = 64  # names; who asks for more does not hold up the others
_ONE = "(SELECT ? AS name) asked"  # half of a point read cheaper than a list of one
_VALUES = "(SELECT column1 AS name FROM (VALUES {rows})) asked"
_ARRAY = "unnest(%b::{type}[]) asked(name)"
_NOBODY = "(SELECT CAST(NULL AS text) AS name) asked"
_DIGESTS = """
SELECT head.position, head.epoch, head.catalogue_serial, head.keys_serial,
  asked.name, CAST(NULL AS text), own.{form}, tombstones.state, other.{form}
FROM ledger_head head LEFT JOIN {names} ON true
LEFT JOIN identifiers ON identifiers.digest = asked.name
LEFT JOIN tombstones ON tombstones.digest = asked.name
LEFT JOIN subjects own ON own.subject_id = identifiers.subject_id
LEFT JOIN attachments ON attachments.subject_id = own.subject_id
LEFT JOIN subjects other ON other.subject_id = attachments.other_id"""
_SUBJECT_IDS = """
SELECT head.position, head.epoch, head.catalogue_serial, head.keys_serial,
  CAST(NULL AS bytea), asked.name, own.{form}, CAST(NULL AS bytea), other.{form}
FROM ledger_head head LEFT JOIN {names} ON true
LEFT JOIN subjects named ON named.subject_id = asked.name
LEFT JOIN subjects own ON own.subject_id = COALESCE(named.merged_into, named.subject_id)
LEFT JOIN attachments ON attachments.subject_id = own.subject_id
LEFT JOIN subjects other ON other.subject_id = attachments.other_id"""


class Found(NamedTuple):
    """Somebody as kept: whole, or what answers about now depend on."""

    own: bytes
    heard: tuple[bytes, ...]
    is_whole: bool

    @property
    def person(self) -> Person:
        """The person, if it was read whole."""
        assert self.is_whole
        return Person(codec.decode(self.own), tuple(codec.decode(value) for value in self.heard))

    def about(self, question: Question, timeline: Timeline) -> Person | None:
        """The person as far as a question goes; None if it must be read whole."""
        if self.is_whole:
            return self.person
        presents = [codec.decode_present(value, question.purpose) for value in (self.own, *self.heard)]
        if not all(present.suffices(question, timeline, hears=bool(self.heard)) for present in presents):
            return None
        own, *heard = (present.state for present in presents)
        return Person(own, tuple(heard))


class Snapshot(NamedTuple):
    """What one read saw: the head of the ledger and, under the digest or subject_id asked for, the people found."""

    head: Head
    people: dict[bytes | str, Found]


class Look(Protocol):
    """Looks people up, by digests of identifiers and by subject_ids."""

    async def __call__(self, digests: Sequence[bytes], subject_ids: Sequence[str], *, whole: bool) -> Snapshot: ...


def looking(connection: AsyncConnection) -> Look:
    """To look people up on a connection, in the snapshot it holds."""

    async def look(digests: Sequence[bytes], subject_ids: Sequence[str], *, whole: bool) -> Snapshot:
        statement = _on_sqlite if connection.dialect.name == "sqlite" else _on_postgres
        rows = await connection.exec_driver_sql(*statement(digests, subject_ids, whole=whole))
        return _snapshot(rows, whole=whole)

    return look


def _snapshot(rows: Iterable[Sequence[Any]], *, whole: bool) -> Snapshot:
    people: dict[bytes | str, Found] = {}
    row: Sequence[Any] = ()
    for row in rows:
        digest, subject_id, own, kept, heard = row[4:]
        key = digest or subject_id
        if own is None and kept is None:
            continue
        before = people[key].heard if key in people else ()
        others = before if heard is None else (*before, bytes(heard))
        people[key] = Found(bytes(own or kept), others, whole or own is None)
    return Snapshot(Head(*row[:4]), people)


def _on_sqlite(digests: Sequence[bytes], subject_ids: Sequence[str], *, whole: bool) -> tuple[str, tuple[Any, ...]]:
    if len(digests) == 1 and not subject_ids:  # what most questions ask
        return _sqlite_text(1, 0, whole=whole), (digests[0],)
    sizes = (_size(len(digests)), _size(len(subject_ids)))
    gaps = ((None,) * (size - len(names)) for size, names in zip(sizes, (digests, subject_ids), strict=True))
    return _sqlite_text(*sizes, whole=whole), (*digests, *next(gaps), *subject_ids, *next(gaps))


def _size(count: int) -> int:
    """A power of two, so that there are few different statements."""
    return 1 << (count - 1).bit_length() if count else 0


@lru_cache(maxsize=64)
def _sqlite_text(digests: int, subject_ids: int, *, whole: bool) -> str:
    names = [
        _ONE if count == 1 else _VALUES.format(rows=", ".join(["(?)"] * count)) for count in (digests, subject_ids)
    ]
    asked = [name if count else None for name, count in zip(names, (digests, subject_ids), strict=True)]
    return _text(*asked, whole=whole)


def _on_postgres(digests: Sequence[bytes], subject_ids: Sequence[str], *, whole: bool) -> tuple[str, tuple[Any, ...]]:
    asked = ((digests, "bytea"), (subject_ids, "text"))
    arrays = [_ARRAY.format(type=type) if names else None for names, type in asked]
    return _text(*arrays, whole=whole), tuple(list(names) for names, _ in asked if names)


def _text(digests: str | None, subject_ids: str | None, *, whole: bool) -> str:
    form = "state" if whole else "present"
    asked = ((_DIGESTS, digests), (_SUBJECT_IDS, subject_ids))
    parts = [part.format(names=names, form=form) for part, names in asked if names is not None]
    return " UNION ALL ".join(parts) or _SUBJECT_IDS.format(
        names="(SELECT CAST(NULL AS text) AS name) asked", form=form
    )


class SqliteLook:
    """Looks people up with the standard library's driver, in the event loop: a thread would take longer than the read
    does, and no writer holds up a reader."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._look_again = 0.0

    async def __call__(self, digests: Sequence[bytes], subject_ids: Sequence[str], *, whole: bool) -> Snapshot:
        if (now := time.monotonic()) >= self._look_again:
            self._look_again = now + _LOOK_EVERY
            if self._file != file_at(self._path):
                await self.close()
        try:
            if self._connection is None:
                self._file = file_at(self._path)
                self._connection = sqlite3.connect(existing(self._path), uri=True, isolation_level=None)
                self._connection.execute("PRAGMA query_only = ON")
            rows = self._connection.execute(*_on_sqlite(digests, subject_ids, whole=whole)).fetchall()
        except sqlite3.OperationalError as error:
            await self.close()
            raise Unavailable from error
        return _snapshot(rows, whole=whole)

    async def close(self) -> None:
        """Give back the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Asked(NamedTuple):
    digests: Sequence[bytes]
    subject_ids: Sequence[str]
    whole: bool
    answer: asyncio.Future[Snapshot]

    def succeed(self, snapshot: Snapshot) -> None:
        if not self.answer.done():
            self.answer.set_result(snapshot)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            unavailable = Unavailable()
            unavailable.__cause__ = error
            self.answer.set_exception(unavailable)


class PostgresLook:
    """Looks people up on connections of its own. Those who ask while a read is under way share the next one, which
    begins after they came."""

    def __init__(self, database: Database) -> None:
        self._few = _Lane(database)
        self._many = _Lane(database)

    async def __call__(self, digests: Sequence[bytes], subject_ids: Sequence[str], *, whole: bool) -> Snapshot:
        lane = self._few if len(digests) + len(subject_ids) <= _FEW and not whole else self._many
        return await lane.look(_Asked(digests, subject_ids, whole, asyncio.get_running_loop().create_future()))

    async def close(self) -> None:
        """Give back the connections."""
        await self._few.close()
        await self._many.close()


class _Lane:
    """One connection, one read at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._waiting: list[_Asked] = []
        self._reading: asyncio.Task[None] | None = None

    async def look(self, asked: _Asked) -> Snapshot:
        self._waiting.append(asked)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        return await asked.answer

    async def _read(self) -> None:
        """Read for those who wait until nobody does."""
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                for whole in (False, True):
                    together = [asked for asked in waiting if asked.whole is whole and not asked.answer.done()]
                    if together:
                        await self._answer(together, whole=whole)
        finally:
            self._reading = None

    async def _answer(self, together: list[_Asked], *, whole: bool) -> None:
        try:
            digests = list(dict.fromkeys(digest for asked in together for digest in asked.digests))
            subject_ids = list(dict.fromkeys(subject_id for asked in together for subject_id in asked.subject_ids))
            connection = await self._connected()
            cursor = await connection.execute(
                *_on_postgres(digests, subject_ids, whole=whole), prepare=True, binary=True
            )
            snapshot = _snapshot(await cursor.fetchall(), whole=whole)
        except (psycopg.Error, OSError) as error:
            await self.close()
            for asked in together:
                asked.fail(error)
        else:
            for asked in together:
                asked.succeed(snapshot)

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        connection = self._connection
        if connection is None or connection.closed or has_hung_up(connection.fileno()):
            await self.close()
            self._connection = connection = await self._database.connect()
        return connection

    async def close(self) -> None:
        """Give back the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
