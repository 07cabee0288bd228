"""People read many at a time, each with those they are attached to."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision.model import Person, State
from app.storage import codec
from app.storage.tables import attachments, identifiers, subjects, tombstones


class Holder(NamedTuple):
    """Somebody under one of their identifiers, whose value is sealed."""

    identifier_id: str
    type: str
    sealed: bytes
    person: Person


_HOLDER = (identifiers.c.identifier_id, identifiers.c.type, identifiers.c.sealed, subjects.c.state)
_HELD = identifiers.c.subject_id == subjects.c.subject_id


async def holders(connection: AsyncConnection, type: str, *, size: int) -> AsyncIterator[list[Holder]]:
    """Every identifier of a type whose value is known, with the person who holds it: so many at a time, in no order, to
    be read on a connection that holds one snapshot."""
    statement = (
        select(*_HOLDER).join(subjects, _HELD).where(identifiers.c.type == type, identifiers.c.sealed.is_not(None))
    )
    async with connection.stream(statement, execution_options={"yield_per": size}) as rows:
        async for page in rows.partitions(size):
            yield await _read(connection, page)


async def holders_after(connection: AsyncConnection, after: str, *, limit: int) -> list[Holder]:
    """So many identifiers whose value is known after an identifier_id, in the order of these."""
    statement = (
        select(*_HOLDER)
        .join(subjects, _HELD)
        .where(identifiers.c.identifier_id > after, identifiers.c.sealed.is_not(None))
        .order_by(identifiers.c.identifier_id)
        .limit(limit)
    )
    return await _read(connection, (await connection.execute(statement)).all())


class Counts(NamedTuple):
    """Identifiers: whose value is known, that only a link named, and that were erased or unlinked."""

    known: int
    unknown: int
    erased: int


async def count(connection: AsyncConnection) -> Counts:
    """How many identifiers there are."""
    statement = select(func.count(identifiers.c.sealed), func.count()).select_from(identifiers)
    known, held = (await connection.execute(statement)).one()
    erased = (await connection.execute(select(func.count()).select_from(tombstones))).scalar_one()
    return Counts(known, held - known, erased)


async def _read(connection: AsyncConnection, rows: Sequence[Any]) -> list[Holder]:
    states = [codec.decode(row.state) for row in rows]
    heard = await _heard(connection, [state.subject_id for state in states])
    return [
        Holder(row.identifier_id, row.type, row.sealed, Person(state, tuple(heard.get(state.subject_id, ()))))
        for row, state in zip(rows, states, strict=True)
    ]


async def living_after(connection: AsyncConnection, after: str, *, limit: int) -> list[Person]:
    """So many people after an id, in the order of their ids: neither erased nor merged into another."""
    statement = (
        select(subjects.c.state)
        .where(subjects.c.subject_id > after, subjects.c.merged_into.is_(None), subjects.c.erased_at.is_(None))
        .order_by(subjects.c.subject_id)
        .limit(limit)
    )
    return await _people(connection, (await connection.execute(statement)).scalars())


async def claim(connection: AsyncConnection, subject_ids: Sequence[str]) -> list[Person]:
    """Take the rows of some living people until commit, but for those that another writer holds."""
    statement = (
        select(subjects.c.state)
        .where(subjects.c.subject_id.in_(subject_ids), subjects.c.merged_into.is_(None), subjects.c.erased_at.is_(None))
        .order_by(subjects.c.subject_id)
        .with_for_update(skip_locked=True)
    )
    return await _people(connection, (await connection.execute(statement)).scalars())


async def _people(connection: AsyncConnection, encoded: Iterable[bytes]) -> list[Person]:
    states = [codec.decode(state) for state in encoded]
    heard = await _heard(connection, [state.subject_id for state in states])
    return [Person(state, tuple(heard.get(state.subject_id, ()))) for state in states]


async def _heard(connection: AsyncConnection, subject_ids: Sequence[str]) -> dict[str, list[State]]:
    """The states of those to whom some subjects are attached."""
    statement = (
        select(attachments.c.subject_id, subjects.c.state)
        .join(subjects, subjects.c.subject_id == attachments.c.other_id)
        .where(attachments.c.subject_id.in_(subject_ids))
    )
    heard: dict[str, list[State]] = {}
    for row in await connection.execute(statement):
        heard.setdefault(row.subject_id, []).append(codec.decode(row.state))
    return heard
