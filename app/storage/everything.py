"""All state at once: read to be compared with what the ledger tells, written where it differs."""

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision.catalogue import Timeline
from app.decision.model import State
from app.decision.present import Present
from app.storage import codec
from app.storage.subjects import written
from app.storage.tables import attachments, subjects, tombstones

_T = TypeVar("_T")
_PAGE = 1000


class SubjectRow(NamedTuple):
    """The row of a subject as it is stored. `state` and `present` are None where they cannot be read."""

    subject_id: str
    merged_into: str | None
    was_device: bool
    erased_at: datetime | None
    state: State | None
    present: Present | None = None


class TombstoneRow(NamedTuple):
    """What lies on an identifier that nobody holds. `state` is None where it cannot be read."""

    digest: bytes
    event_id: str
    state: State | None


async def subject_rows(connection: AsyncConnection) -> AsyncIterator[SubjectRow]:
    """The row of every subject, read in pages."""
    statement = select(*(subjects.c[name] for name in SubjectRow._fields)).order_by(subjects.c.subject_id).limit(_PAGE)
    last = ""
    while True:
        page = (await connection.execute(statement.where(subjects.c.subject_id > last))).all()
        for row in page:
            state, present = _readable(row.state, codec.decode), _readable(row.present, codec.decode_present)
            yield SubjectRow(row.subject_id, row.merged_into, row.was_device, row.erased_at, state, present)
        if len(page) < _PAGE:
            return
        last = page[-1].subject_id


def _readable(value: bytes, decode: Callable[[bytes], _T]) -> _T | None:
    try:
        return decode(value)
    except (msgspec.MsgspecError, TypeError):  # on SQLite a column may hold anything
        return None


async def put_subject(connection: AsyncConnection, row: SubjectRow, timeline: Timeline) -> None:
    """Write the row of a subject, whether or not there was one."""
    assert row.state is not None
    await connection.execute(delete(subjects).where(subjects.c.subject_id == row.subject_id))
    await connection.execute(insert(subjects).values(row._asdict() | written(row.state, timeline)))


async def tombstone_rows(connection: AsyncConnection) -> list[TombstoneRow]:
    """Every tombstone."""
    found = await connection.execute(select(tombstones.c.digest, tombstones.c.event_id, tombstones.c.state))
    return [TombstoneRow(bytes(row.digest), row.event_id, _readable(row.state, codec.decode)) for row in found]


async def put_tombstone(connection: AsyncConnection, row: TombstoneRow) -> None:
    """Write what lies on an identifier; without a state, let nothing lie there."""
    here = tombstones.c.digest == row.digest
    if row.state is None:
        await connection.execute(delete(tombstones).where(here))
    else:
        await connection.execute(update(tombstones).where(here).values(state=codec.encode(row.state)))


async def attachment_rows(connection: AsyncConnection) -> set[tuple[str, str]]:
    """Every attachment, in both directions."""
    found = await connection.execute(select(attachments.c.subject_id, attachments.c.other_id))
    return {(row.subject_id, row.other_id) for row in found}


async def put_attachments(connection: AsyncConnection, pairs: Iterable[tuple[str, str]]) -> None:
    """Let these be all the attachments there are."""
    await connection.execute(delete(attachments))
    rows = [{"subject_id": one, "other_id": other} for one, other in sorted(pairs)]
    if rows:
        await connection.execute(insert(attachments), rows)
