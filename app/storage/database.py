"""Engines and units of work: reads, and writes that commit when their block ends. The two dialects' few differences."""

import asyncio
import os
import random
import select
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

_T = TypeVar("_T")
_PATIENCE = 15.0  # seconds in which a unit of work is begun again while others stand in its way
_LOCK_WAIT = 5.0  # seconds that one statement waits for another writer
_POOL_WAIT = 10.0  # seconds that a unit of work waits for a connection
_LONG_VIEWS = 4  # held at once by one process
_RETRIED = ("40P01", "40001", "55P03")  # deadlock, serialization failure, lock not available
_UNMIGRATED = ("42P01", "42703")  # undefined table, undefined column
_POSTGRES_OPTIONS = (
    f"-c lock_timeout={_LOCK_WAIT * 1000:.0f} -c idle_in_transaction_session_timeout=10000 -c statement_timeout=30000"
)
# A peer that vanished is noticed within seconds, not hours. The URL may say otherwise.
_POSTGRES_DEFAULTS = {"connect_timeout": "5", "keepalives_idle": "30", "tcp_user_timeout": "15000"}
# A commit that is acknowledged is on disk, whatever the server's configuration; stronger settings stay.
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"


class Unavailable(Exception):
    """The database cannot be reached, or too many writers stood in the way: the answer cannot be known now."""

    @property
    def reason(self) -> str:
        """What the database or its driver said, for the operator; callers are not told."""
        cause = self.__cause__
        if isinstance(cause, DBAPIError) and cause.orig is not None:
            cause = cause.orig
        return next(iter(str(cause or "").strip().splitlines()), "") or "other writers stood in the way"


class Conflict(Exception):
    """Another writer changed what this one had read; the unit of work is to be done again."""


class Database:
    """One database; knows nothing of what is stored."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.is_sqlite = url.startswith("sqlite:")
        self.after_commit: list[Callable[[], None]] = []  # called after each unit of work that was committed
        if self.is_sqlite:
            self.path = path = url.removeprefix("sqlite:///")
            self._reader = _sqlite_engine(path, begin=None, pool_size=4)
            self._long_reader = _sqlite_engine(path, begin=None, pool_size=_LONG_VIEWS)
            self._writer = _sqlite_engine(path, begin="BEGIN IMMEDIATE", pool_size=1)
        else:
            # Apart, so that writers waiting for each other never keep a question from its answer.
            self._reader = _postgres_engine(url, pool_size=10, max_overflow=0)
            self._writer = _postgres_engine(url, pool_size=5, max_overflow=5)
            self._long_reader = _postgres_engine(url, pool_size=1, max_overflow=_LONG_VIEWS - 1)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection on which every statement sees all that was committed before it."""
        async with self._connect(self._reader) as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    @asynccontextmanager
    async def view(self) -> AsyncGenerator[AsyncConnection]:
        """A connection on which all statements see one moment: what was committed before the first of them."""
        async with self._connect(self._reader) as connection:
            await self._fix(connection)
            yield connection

    @asynccontextmanager
    async def long_view(self) -> AsyncGenerator[AsyncConnection]:
        """The same for a read that may last: few are given out, and none of the connections that questions need. Who
        leaves it idle for a minute loses it."""
        async with self._connect(self._long_reader) as connection:
            await self._fix(connection)
            if not self.is_sqlite:
                await connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 60000")
            yield connection

    async def _fix(self, connection: AsyncConnection) -> None:
        if self.is_sqlite:
            await connection.exec_driver_sql("BEGIN")
        else:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        """A connection of PostgreSQL's own driver, outside of the pools, on which every statement sees all that was
        committed before it."""
        return await _connect_postgres(self._url)

    @asynccontextmanager
    async def _connect(self, engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
        try:
            async with engine.connect() as connection:
                yield connection
        except (DBAPIError, PoolTimeout, OSError) as error:
            if not _is_unavailability(error):
                raise
            raise Unavailable from error

    async def write(self, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        """Do a unit of work and commit it; only then return its result. Done again from the start when another writer
        stood in the way; nothing of it stays when it raises, unless the connection was lost in the commit itself, whose
        outcome nobody knows then."""
        give_up = time.monotonic() + _PATIENCE
        attempt = 0
        while True:
            try:
                async with self._writer.begin() as connection:
                    result = await work(connection)
            except Conflict as conflict:
                stood_in_the_way: Exception = conflict
            except (DBAPIError, PoolTimeout, OSError) as error:
                if not _is_unavailability(error):
                    raise
                if not _is_retried(error):
                    raise Unavailable from error
                stood_in_the_way = error
            else:
                self._tell()
                return result
            if time.monotonic() > give_up:
                raise Unavailable from stood_in_the_way
            attempt += 1
            await asyncio.sleep(random.uniform(0, min(0.5, 0.01 * 2**attempt)))  # noqa: S311  spreading, not secrecy

    def _tell(self) -> None:
        for tell in self.after_commit:
            tell()

    async def close(self) -> None:
        """Give back every connection."""
        for engine in (self._reader, self._long_reader, self._writer):
            await engine.dispose()


def _is_unavailability(error: Exception) -> bool:
    """Whether an error says that the database cannot answer now, rather than that it was asked wrongly."""
    if not isinstance(error, DBAPIError) or isinstance(error, (OperationalError, InternalError)):
        return True
    if isinstance(error.orig, sqlite3.DatabaseError):
        return error.orig.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return getattr(error.orig, "sqlstate", None) in _UNMIGRATED


def _is_retried(error: Exception) -> bool:
    """Whether an error says that another writer stood in the way; nothing was committed then."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if isinstance(cause, sqlite3.Error):
        return cause.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    return getattr(cause, "sqlstate", None) in _RETRIED


def existing(path: str) -> str:
    """What SQLite is given for a file that has to be there: it would make a missing one, and answer from nothing."""
    return f"{Path(path).absolute().as_uri()}?mode=rw"


def file_at(path: str) -> tuple[int, int] | None:
    """Which file is at a path. A connection stays with the file it opened, though it was removed or another put in its
    place: what is written there is lost."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _sqlite_engine(path: str, *, begin: str | None, pool_size: int) -> AsyncEngine:
    engine = create_async_engine(
        "sqlite+aiosqlite://",
        async_creator=lambda: aiosqlite.connect(existing(path), uri=True, timeout=_LOCK_WAIT),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_WAIT,
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def look(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info["file"] != file_at(path):
            raise DisconnectionError

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        record.info["file"] = file_at(path)
        connection.isolation_level = None  # the driver opens no transaction of its own
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            "temp_store=MEMORY",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    if begin is not None:

        @event.listens_for(engine.sync_engine, "begin")
        def start(connection: Any) -> None:
            connection.exec_driver_sql(begin)

    return engine


def _postgres_engine(url: str, *, pool_size: int, max_overflow: int) -> AsyncEngine:
    """The URL goes to libpq, so that every form libpq knows works: socket folders, TLS options, several hosts."""

    async def connect() -> psycopg.AsyncConnection[Any]:
        return await _connect_postgres(url, autocommit=False)

    engine = create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=_POOL_WAIT,
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def look(connection: Any, record: Any, _proxy: Any) -> None:
        driver = connection.driver_connection
        was_idle = "was_used" in record.info  # a new one is not looked at: what it meets is an error like any other
        record.info["was_used"] = True
        if was_idle and (driver.closed or has_hung_up(driver.fileno())):
            raise DisconnectionError

    return engine


async def _connect_postgres(url: str, *, autocommit: bool = True) -> psycopg.AsyncConnection[Any]:
    connection = await psycopg.AsyncConnection.connect(
        conninfo_of(url, _POSTGRES_OPTIONS), autocommit=True, prepare_threshold=2
    )
    try:
        await connection.execute(_DURABLE)
        await connection.set_autocommit(autocommit)
    except BaseException:  # a request that is given up in between, too, leaves no connection behind
        await connection.close()
        raise
    return connection


def has_hung_up(descriptor: int) -> bool:
    """Whether the server has closed an idle connection: an idle server has nothing to say but good-bye."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def conninfo_of(url: str, options: str) -> str:
    """What libpq is given for a URL. Only a primary will do: a standby does not know yet what was just withdrawn."""
    given = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    options = f"{options} {given.get('options', '')}".strip()
    return make_conninfo(**{**_POSTGRES_DEFAULTS, **given, "options": options, "target_session_attrs": "read-write"})
