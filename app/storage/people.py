"""People read many at a time, each with those they are attached to."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision.model import Person
from app.storage import codec
from app.storage.lookup import Found
from app.storage.tables import attachments, identifiers, subjects, tombstones


class Holder(NamedTuple):
    """Somebody under one of their identifiers, whose value is sealed."""

    identifier_id: str
    type: str
    sealed: bytes
    person: Person


class PresentHolder(NamedTuple):
    """The same, as far as answers about now go."""

    identifier_id: str
    sealed: bytes
    subject_id: str
    found: Found


_HOLDER = (identifiers.c.identifier_id, identifiers.c.type, identifiers.c.sealed, subjects.c.state)
_PRESENT = (identifiers.c.identifier_id, identifiers.c.sealed, subjects.c.subject_id, subjects.c.present)
_HELD = identifiers.c.subject_id == subjects.c.subject_id


async def holders(connection: AsyncConnection, type: str, *, size: int) -> AsyncIterator[list[PresentHolder]]:
    """Every identifier of a type whose value is known, with the person who holds it: so many at a time, in no order, to
    be read on a connection that holds one snapshot."""
    statement = (
        select(*_PRESENT).join(subjects, _HELD).where(identifiers.c.type == type, identifiers.c.sealed.is_not(None))
    )
    async with connection.stream(statement, execution_options={"yield_per": size}) as rows:
        async for page in rows.partitions(size):
            heard = await _heard(connection, [row.subject_id for row in page], subjects.c.present)
            yield [
                PresentHolder(name, sealed, subject_id, Found(own, tuple(heard.get(subject_id, ())), is_whole=False))
                for name, sealed, subject_id, own in page
            ]


async def whole(connection: AsyncConnection, subject_ids: Collection[str]) -> dict[str, Person]:
    """Some people with all that is on file."""
    statement = select(subjects.c.state).where(subjects.c.subject_id.in_(subject_ids))
    found = await _people(connection, (await connection.execute(statement)).scalars())
    return {person.own.subject_id: person for person in found}


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


async def holders_concerned(connection: AsyncConnection, subject_ids: Collection[str]) -> list[Holder]:
    """Every identifier, its value known, of whoever an event about some subjects bears on: of these, of those they were
    merged into, and of those attached to either."""
    heirs = select(subjects.c.merged_into).where(
        subjects.c.subject_id.in_(subject_ids), subjects.c.merged_into.is_not(None)
    )
    concerned = {*subject_ids, *(await connection.execute(heirs)).scalars()}
    attached = select(attachments.c.other_id).where(attachments.c.subject_id.in_(concerned))
    concerned |= set((await connection.execute(attached)).scalars())
    statement = (
        select(*_HOLDER)
        .join(subjects, _HELD)
        .where(subjects.c.subject_id.in_(concerned), identifiers.c.sealed.is_not(None))
        .order_by(identifiers.c.identifier_id)
    )
    return await _read(connection, (await connection.execute(statement)).all())


class Counts(NamedTuple):
    """Identifiers: whose value is known, that only a link named, and that were erased or unlinked; and people who are
    known under several."""

    known: int
    unknown: int
    erased: int
    linked: int


async def count(connection: AsyncConnection) -> Counts:
    """How many identifiers there are."""
    statement = select(func.count(identifiers.c.sealed), func.count()).select_from(identifiers)
    known, held = (await connection.execute(statement)).one()
    erased = (await connection.execute(select(func.count()).select_from(tombstones))).scalar_one()
    several = select(identifiers.c.subject_id).group_by(identifiers.c.subject_id).having(func.count() > 1).subquery()
    linked = (await connection.execute(select(func.count()).select_from(several))).scalar_one()
    return Counts(known, held - known, erased, linked)


async def _read(connection: AsyncConnection, rows: Sequence[Any]) -> list[Holder]:
    people = await _people(connection, [row.state for row in rows])
    return [Holder(row.identifier_id, row.type, row.sealed, person) for row, person in zip(rows, people, strict=True)]


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
    heard = await _heard(connection, [state.subject_id for state in states], subjects.c.state)
    return [Person(state, tuple(map(codec.decode, heard.get(state.subject_id, ())))) for state in states]


async def _heard(
    connection: AsyncConnection, subject_ids: Sequence[str], form: Column[bytes]
) -> dict[str, list[bytes]]:
    """Those to whom some subjects are attached, in the form in which a column keeps them."""
    statement = (
        select(attachments.c.subject_id, form)
        .join(subjects, subjects.c.subject_id == attachments.c.other_id)
        .where(attachments.c.subject_id.in_(subject_ids))
    )
    heard: dict[str, list[bytes]] = {}
    for subject_id, kept in await connection.execute(statement):
        heard.setdefault(subject_id, []).append(kept)
    return heard
