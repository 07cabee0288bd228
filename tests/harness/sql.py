"""The database behind Maywe's back: what an operator, an attacker or a broken disk could do to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, create_engine, pool, text


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection of one's own; what was done stays when the block ends without an error."""
    if url.startswith("sqlite:"):
        engine = create_engine(url, poolclass=pool.NullPool)
    else:
        engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(url), poolclass=pool.NullPool)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def rows(url: str, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """What a query finds."""
    with connected(url) as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def execute(url: str, *statements: str, **values: Any) -> None:
    """Do something to the database."""
    with connected(url) as connection:
        for statement in statements:
            connection.execute(text(statement), values)


def tamper(url: str, *statements: str, **values: Any) -> None:
    """The same around the triggers that guard the ledger: as their owner could."""
    if url.startswith("sqlite:"):
        around = ("DROP TRIGGER IF EXISTS ledger_refuses_update", "DROP TRIGGER IF EXISTS ledger_refuses_delete")
    else:
        around = ("ALTER TABLE ledger DISABLE TRIGGER USER",)
    execute(url, *around, *statements, **values)


def files(url: str) -> list[Path]:
    """The files of an embedded database; none of a server's."""
    path = Path(url.removeprefix("sqlite:///"))
    return sorted(path.parent.glob(f"{path.name}*")) if url.startswith("sqlite:") else []
