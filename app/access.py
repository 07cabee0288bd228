"""Access and portability: everything held about a person, as JSON or as consent records (Art. 15, 20)."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app import linked_data
from app.decision.catalogue import Timeline
from app.describing import describe, history_of
from app.storage import decisions, ledger, subjects
from app.storage.decisions import Told
from app.storage.store import Store

FORMAT = "maywe export v1"
_ALL = 2**31  # entries of one person: all of them


async def export(connection: AsyncConnection, store: Store, subject_id: str, *, now: datetime) -> dict[str, Any]:
    """Where everything stands, the whole history with its evidence, and which services asked, as far as the decision
    log tells. Raises Unknown, or Erased."""
    subject = await describe(connection, store, subject_id, now=now)
    history = await history_of(connection, store, subject_id, after=None, limit=_ALL)
    answers = await decisions.about(connection, await subjects.component_of(connection, subject["subject_id"]))
    return {
        "format": FORMAT,
        "exported_at": now,
        "subject": subject,
        "events": history.entries,
        "decisions": [decision_of(told) for told in answers],
    }


def decision_of(told: Told) -> dict[str, Any]:
    """An answer out of the decision log, with the name of the service that asked."""
    content = told.answer._asdict()
    del content["position"]
    return {"caller": told.caller, **content}


async def consent_records(
    connection: AsyncConnection, store: Store, subject_id: str, *, now: datetime
) -> dict[str, Any]:
    """The same as JSON-LD: one record per purpose and channel (ISO/IEC TS 27560, in the terms of W3C DPV 2.3)."""
    exported = await export(connection, store, subject_id, now=now)
    timeline: Timeline = await store.timeline(connection, await ledger.head(connection))
    return linked_data.of_person(exported, timeline, now)
