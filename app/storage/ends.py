"""Which subjects time alone changed, and by which catalogue that was reckoned."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision.model import State
from app.storage import codec
from app.storage.tables import reckoning, subjects

_PAGE = 200


async def due(connection: AsyncConnection, now: datetime, *, limit: int) -> list[str]:
    """The subjects of whom something is to be told by now, the longest overdue first."""
    statement = select(subjects.c.subject_id).where(subjects.c.due_at <= now).order_by(subjects.c.due_at).limit(limit)
    return list((await connection.execute(statement)).scalars())


async def claim(connection: AsyncConnection, subject_ids: list[str], now: datetime) -> list[State]:
    """Take the rows of those subjects that are still due and that no other writer holds, until commit."""
    statement = (
        select(subjects.c.state)
        .where(subjects.c.subject_id.in_(subject_ids), subjects.c.due_at <= now)
        .order_by(subjects.c.subject_id)
        .with_for_update(skip_locked=True)
    )
    return [codec.decode(row.state) for row in await connection.execute(statement)]


async def set_due(connection: AsyncConnection, subject_id: str, at: datetime | None) -> None:
    """When there is next something to tell of a subject."""
    await connection.execute(update(subjects).where(subjects.c.subject_id == subject_id).values(due_at=at))


async def is_reckoned(connection: AsyncConnection, version: str) -> bool:
    """Whether every subject was looked at under this version of the catalogue."""
    return (await connection.execute(select(reckoning.c.version))).scalar() == version


async def reckon(connection: AsyncConnection, version: str, next_end: Callable[[State], datetime | None]) -> None:
    """Look at some more subjects under a new version, which may have made lives shorter. One process at a time."""
    row = (await connection.execute(select(reckoning).with_for_update(skip_locked=True))).first()
    if row is None or row.version == version:
        return
    reached = row.reached if row.doing == version else ""
    statement = (
        select(subjects.c.subject_id, subjects.c.due_at, subjects.c.state)
        .where(subjects.c.subject_id > reached, subjects.c.merged_into.is_(None))
        .order_by(subjects.c.subject_id)
        .limit(_PAGE)
        .with_for_update()
    )
    page = (await connection.execute(statement)).all()
    for subject in page:
        at = next_end(codec.decode(subject.state))
        if at != subject.due_at:
            await set_due(connection, subject.subject_id, at)
    done = {"version": version} if len(page) < _PAGE else {}
    reached = "" if done else page[-1].subject_id
    await connection.execute(update(reckoning).values(doing=version, reached=reached, **done))


async def forget(connection: AsyncConnection) -> None:
    """Let every subject be looked at again."""
    await connection.execute(update(reckoning).values(version="", doing="", reached=""))
