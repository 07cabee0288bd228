"""Engines and units of work: reads, and writes that commit when their block ends. The two dialects' few differences."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

_T = TypeVar("_T")
_ATTEMPTS = 8
_RETRIED = ("40P01", "40001", "55P03")  # deadlock, serialization failure, lock not available
_POSTGRES_OPTIONS = "-c lock_timeout=5000 -c idle_in_transaction_session_timeout=10000 -c statement_timeout=30000"


class Unavailable(Exception):
    """The database cannot be reached, or too many writers stood in the way: the answer cannot be known now."""


class Conflict(Exception):
    """Another writer changed what this one had read; the unit of work is to be done again."""


class Database:
    """One database; knows nothing of what is stored."""

    def __init__(self, url: str) -> None:
        self.is_sqlite = url.startswith("sqlite:")
        if self.is_sqlite:
            path = url.removeprefix("sqlite:///")
            self._reader = _sqlite_engine(path, begin=None, pool_size=4)
            self._writer = _sqlite_engine(path, begin="BEGIN IMMEDIATE", pool_size=1)
        else:
            self._reader = self._writer = _postgres_engine(url)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A connection on which every statement sees all that was committed before it."""
        try:
            async with self._reader.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                yield connection
        except (OperationalError, PoolTimeout, OSError) as error:
            raise Unavailable from error

    async def write(self, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        """Do a unit of work and commit it; only then return its result. Done again from the start when another writer
        stood in the way; nothing of it stays when it raises."""
        stood_in_the_way: Exception | None = None
        for attempt in range(_ATTEMPTS):
            try:
                async with self._writer.begin() as connection:
                    result = await work(connection)
            except Conflict as conflict:
                stood_in_the_way = conflict
            except DBAPIError as error:
                if not isinstance(error, OperationalError):
                    raise
                if not _is_retried(error):
                    raise Unavailable from error
                stood_in_the_way = error
            except (PoolTimeout, OSError) as error:
                raise Unavailable from error
            else:
                return result
            await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311  spreading, not secrecy
        raise Unavailable from stood_in_the_way

    async def close(self) -> None:
        """Give back every connection."""
        await self._reader.dispose()
        await self._writer.dispose()


def _is_retried(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return state in _RETRIED or "database is locked" in str(error.orig)


def _sqlite_engine(path: str, *, begin: str | None, pool_size: int) -> AsyncEngine:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", pool_size=pool_size, max_overflow=0, connect_args={"timeout": 10}
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
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


def _postgres_engine(url: str) -> AsyncEngine:
    """The URL goes to libpq as it is, so that every form libpq knows works: socket folders, TLS options, several
    hosts."""

    async def connect() -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(url, options=_options(url), prepare_threshold=2)

    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        pool_size=10,
        max_overflow=10,
        pool_timeout=10,
        pool_pre_ping=False,
    )


def _options(url: str) -> str:
    own = psycopg.conninfo.conninfo_to_dict(url).get("options", "")
    return f"{_POSTGRES_OPTIONS} {own}".strip()


async def is_reachable(database: Database) -> bool:
    """Whether the database answers."""
    try:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
    except Unavailable:
        return False
    return True
