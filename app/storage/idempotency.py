"""Stored answers to writes that carried an Idempotency-Key (IETF draft), per API key, kept for 24 hours."""

import hashlib
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.tables import idempotency

KEPT_FOR = timedelta(hours=24)


class Answer(NamedTuple):
    """What was answered to a request with this fingerprint."""

    fingerprint: bytes
    status: int
    body: bytes


async def begin(connection: AsyncConnection, key_id: str, idempotency_key: str) -> bool:
    """Claim a key until commit; False while another unit of work holds it. On SQLite writers come one by one anyway."""
    if connection.dialect.name == "sqlite":
        return True
    claim = hashlib.sha256(f"{key_id} {idempotency_key}".encode()).digest()
    number = int.from_bytes(claim[:8], "big", signed=True)
    return bool((await connection.execute(select(func.pg_try_advisory_xact_lock(number)))).scalar())


async def find(connection: AsyncConnection, key_id: str, idempotency_key: str, *, now: datetime) -> Answer | None:
    """The stored answer, if it is still kept."""
    statement = select(idempotency.c.fingerprint, idempotency.c.status, idempotency.c.body).where(
        idempotency.c.key_id == key_id,
        idempotency.c.idempotency_key == idempotency_key,
        idempotency.c.created_at > now - KEPT_FOR,
    )
    row = (await connection.execute(statement)).first()
    return None if row is None else Answer(bytes(row.fingerprint), row.status, bytes(row.body))


async def store(
    connection: AsyncConnection, key_id: str, idempotency_key: str, answer: Answer, *, now: datetime
) -> None:
    """Keep an answer, in the transaction of the write it answers; forget what is too old."""
    await connection.execute(delete(idempotency).where(idempotency.c.created_at <= now - KEPT_FOR))
    row = {"key_id": key_id, "idempotency_key": idempotency_key, "created_at": now, **answer._asdict()}
    await connection.execute(insert(idempotency).values(row))
