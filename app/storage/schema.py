"""The schema of the database: migrated by Alembic, never changed behind the operator's back on PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, inspect, pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.database import Unavailable, conninfo_of

_BESIDE = Path(__file__).resolve().parents[2] / "migrations"
_PACKAGED = Path(__file__).resolve().parents[1] / "migrations"
_LOCK = 0x6D61797765  # two processes that migrate at once come one after the other


class Unfamiliar(Exception):
    """The database is at a schema that this version does not know: a newer version migrated it."""


def config(url: str) -> Config:
    """Alembic's configuration for a database, wherever the package is installed."""
    made = Config()
    made.set_main_option("script_location", _scripts())
    made.attributes["url"] = url
    return made


def upgrade(url: str) -> None:
    """Bring the schema to the newest revision. Raises Unavailable, or Unfamiliar."""
    try:
        command.upgrade(config(url), "head")
    except DBAPIError as error:
        raise Unavailable from error
    except CommandError as error:  # "Can't locate revision"
        raise Unfamiliar from error


def head() -> str:
    """The newest revision this program knows."""
    return known()[0]


@cache
def known() -> tuple[str, ...]:
    """The revisions this program knows, the newest first."""
    return tuple(script.revision for script in ScriptDirectory(_scripts()).walk_revisions())


def _scripts() -> str:
    return str(_BESIDE if _BESIDE.is_dir() else _PACKAGED)


async def revision(connection: AsyncConnection) -> str | None:
    """The revision the database is at; None if it was never migrated."""
    if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
        return None
    return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """A connection for migrations, alone at work on the schema: who comes second waits, and finds the work done."""
    if url.startswith("sqlite:"):
        engine = _sqlite_engine(url)
        with engine.begin() as connection:
            yield connection
    else:
        engine = _postgres_engine(url)
        with engine.connect() as connection:
            connection.execute(text(f"SELECT pg_advisory_lock({_LOCK})"))
            connection.execute(text("SET lock_timeout = '5s'"))
            connection.commit()
            yield connection
    engine.dispose()


def _sqlite_engine(url: str) -> Engine:
    """One transaction for all there is to migrate, which excludes other writers from its beginning."""
    Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, poolclass=pool.NullPool, connect_args={"timeout": 60, "isolation_level": None})

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _postgres_engine(url: str) -> Engine:
    conninfo = conninfo_of(url, "-c statement_timeout=600000")
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=pool.NullPool)
