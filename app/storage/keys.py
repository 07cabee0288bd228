"""API keys: their digests, scopes and lives. The secret itself is never stored."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.tables import KEY_NAME_LENGTH as KEY_NAME_LENGTH  # part of what a key is
from app.storage.tables import api_keys, ledger_head


class ApiKey(NamedTuple):
    """A key as it is stored."""

    key_id: str
    name: str
    digest: bytes
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


async def all_keys(connection: AsyncConnection) -> list[ApiKey]:
    """Every key, oldest first."""
    statement = select(*(api_keys.c[name] for name in ApiKey._fields)).order_by(api_keys.c.created_at)
    return [_key(*row) for row in await connection.execute(statement)]


def _key(key_id: str, name: str, digest: bytes, scopes: str, *instants: datetime) -> ApiKey:
    return ApiKey(key_id, name, bytes(digest), frozenset(scopes.split()), *instants)


async def add(connection: AsyncConnection, key: ApiKey) -> None:
    """Add a key, and let every process notice it."""
    await connection.execute(insert(api_keys).values({**key._asdict(), "scopes": _scopes(key.scopes)}))
    await _changed(connection)


def _scopes(scopes: Iterable[str]) -> str:
    return " ".join(sorted(scopes))


async def revoke(connection: AsyncConnection, key_id: str, *, at: datetime) -> bool:
    """End a key at once; False if there is no such key still in use."""
    statement = update(api_keys).where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
    found = (await connection.execute(statement.values(revoked_at=at))).rowcount == 1
    await _changed(connection)
    return found


async def _changed(connection: AsyncConnection) -> None:
    await connection.execute(update(ledger_head).values(keys_serial=ledger_head.c.keys_serial + 1))
