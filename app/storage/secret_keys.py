"""Under which secret keys a database was written: their fingerprints, never the keys."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.inserting import insert_new
from app.storage.tables import secret_keys


async def fingerprints(connection: AsyncConnection) -> set[str]:
    """The fingerprints of all keys this database was ever written under."""
    return set((await connection.execute(select(secret_keys.c.fingerprint))).scalars())


async def add(connection: AsyncConnection, added: Iterable[str]) -> None:
    """Remember keys that were not known before."""
    await connection.execute(
        insert_new(connection, secret_keys), [{"fingerprint": fingerprint} for fingerprint in added]
    )
