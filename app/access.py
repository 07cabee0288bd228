"""Access and portability: everything held about a person, as JSON or as consent records (Art. 15, 20)."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app import linked_data
from app.decision.catalogue import Timeline
from app.describing import describe, history_of
from app.storage import ledger
from app.storage.store import Store

FORMAT = "maywe export v1"
_ALL = 2**31  # entries of one person: all of them


async def export(connection: AsyncConnection, store: Store, subject_id: str, *, now: datetime) -> dict[str, Any]:
    """Where everything stands, and the whole history with its evidence. Raises Unknown, or Erased."""
    subject = await describe(connection, store, subject_id, now=now)
    history = await history_of(connection, store, subject_id, after=None, limit=_ALL)
    return {"format": FORMAT, "exported_at": now, "subject": subject, "events": history.entries}


async def consent_records(
    connection: AsyncConnection, store: Store, subject_id: str, *, now: datetime
) -> dict[str, Any]:
    """The same as JSON-LD: one record per purpose and channel (ISO/IEC TS 27560, in the terms of W3C DPV 2.3)."""
    exported = await export(connection, store, subject_id, now=now)
    timeline: Timeline = await store.timeline(connection, await ledger.head(connection))
    return linked_data.of_person(exported, timeline, now)
