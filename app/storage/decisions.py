"""The decision log as it is kept: what was answered, to which caller, about whom. No identifier in it."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import RowMapping, Select, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.tables import api_keys, decisions, subjects

_PAGE = 1000


class Logged(NamedTuple):
    """One answer. `subject_id` is None where nobody was known by the name asked about; `position` is where the ledger
    ended for it. Of the question only what the catalogue declares."""

    decision_id: str
    answered_at: datetime
    key_id: str
    subject_id: str | None
    purpose: str | None
    channel: str | None
    recipient: str | None
    operation: str
    decision: bool
    reason: str
    basis: str | None
    catalogue_version: str | None
    position: int


async def add(connection: AsyncConnection, answers: Iterable[Logged]) -> None:
    """Keep some answers."""
    await connection.execute(insert(decisions), [answer._asdict() for answer in answers])


async def forget(connection: AsyncConnection, subject_ids: Sequence[str]) -> None:
    """Leave of the answers about some subjects only that they were given, to whom and why."""
    await connection.execute(update(decisions).where(decisions.c.subject_id.in_(subject_ids)).values(subject_id=None))


async def clean(connection: AsyncConnection, *, before: datetime) -> None:
    """Delete what was answered before an instant, and forget who was erased while an answer about them waited."""
    await connection.execute(delete(decisions).where(decisions.c.answered_at < before))
    erased = select(subjects.c.subject_id).where(subjects.c.erased_at.is_not(None))
    await connection.execute(update(decisions).where(decisions.c.subject_id.in_(erased)).values(subject_id=None))


class Told(NamedTuple):
    """An answer, and the name of the key of whoever got it."""

    answer: Logged
    caller: str | None


async def about(connection: AsyncConnection, subject_ids: Sequence[str]) -> list[Told]:
    """The answers about some subjects, oldest first."""
    found = await connection.execute(_all().where(decisions.c.subject_id.in_(subject_ids)).order_by(decisions.c.id))
    return [_told(row) for row in found.mappings()]


async def between(
    connection: AsyncConnection, since: datetime, until: datetime, purpose: str | None
) -> AsyncIterator[list[Told]]:
    """The answers from an instant until before another, some at a time, oldest first."""
    last = 0
    while True:
        statement = _all().where(
            decisions.c.id > last, decisions.c.answered_at >= since, decisions.c.answered_at < until
        )
        if purpose is not None:
            statement = statement.where(decisions.c.purpose == purpose)
        rows = (await connection.execute(statement.order_by(decisions.c.id).limit(_PAGE))).mappings().all()
        if not rows:
            return
        last = rows[-1]["id"]
        yield [_told(row) for row in rows]


def _all() -> Select[tuple[object, ...]]:
    joined = decisions.outerjoin(api_keys, api_keys.c.key_id == decisions.c.key_id)
    return select(decisions, api_keys.c.name.label("caller")).select_from(joined)


def _told(row: RowMapping) -> Told:
    return Told(Logged(*(row[name] for name in Logged._fields)), row["caller"])
