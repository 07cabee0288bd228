"""Hints from one process to the others that something was committed (LISTEN, NOTIFY): they make reading prompt, and
nothing rests on them. On SQLite there are none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
from sqlalchemy import text

from app.storage.database import Database, Unavailable, conninfo_of

_CHANNEL = "maywe_head"
_AGAIN = 5.0  # seconds until a lost connection is tried again


async def heard(url: str) -> AsyncIterator[None]:
    """Each time another process says that something was committed, and each time the ear was deaf for a while."""
    while True:
        with contextlib.suppress(psycopg.Error, OSError):
            async with await psycopg.AsyncConnection.connect(conninfo_of(url, ""), autocommit=True) as connection:
                await connection.execute(f"LISTEN {_CHANNEL}")
                yield
                async for _ in connection.notifies():
                    yield
        await asyncio.sleep(_AGAIN)


async def say(database: Database) -> None:
    """Tell every process that something was committed. After the commit, never in it: a NOTIFY makes all commits of the
    server wait for each other. It is not worth a flush to disk, nor an error."""
    with contextlib.suppress(Unavailable):
        async with database.read() as connection:
            await connection.execute(
                text("SELECT set_config('synchronous_commit', 'off', true), pg_notify(:channel, '')"),
                {"channel": _CHANNEL},
            )
