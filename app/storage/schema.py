"""The schema of the database: migrated by Alembic, never changed behind the operator's back on PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, pool, text
from sqlalchemy.ext.asyncio import AsyncConnection

_BESIDE = Path(__file__).resolve().parents[2] / "migrations"
_PACKAGED = Path(__file__).resolve().parents[1] / "migrations"
_LOCK = 0x6D61797765  # two processes that migrate at once come one after the other


def config(url: str) -> Config:
    """Alembic's configuration for a database, wherever the package is installed."""
    made = Config()
    made.set_main_option("script_location", str(_BESIDE if _BESIDE.is_dir() else _PACKAGED))
    made.attributes["url"] = url
    return made


def upgrade(url: str) -> None:
    """Bring the schema to the newest revision."""
    command.upgrade(config(url), "head")


def head(url: str) -> str:
    """The newest revision this program knows."""
    found = ScriptDirectory.from_config(config(url)).get_current_head()
    assert found is not None, "there is at least one migration"
    return found


async def revision(connection: AsyncConnection) -> str | None:
    """The revision the database is at; None if it was never migrated."""
    if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
        return None
    return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """A connection for migrations, alone at work on the schema."""
    if url.startswith("sqlite:"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, poolclass=pool.NullPool)
    else:
        options = "-c lock_timeout=5000 -c statement_timeout=600000"
        engine = create_engine(
            "postgresql+psycopg://", creator=lambda: psycopg.connect(url, options=options), poolclass=pool.NullPool
        )
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_lock({_LOCK})"))
            connection.commit()
        yield connection
    engine.dispose()
