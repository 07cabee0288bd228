"""Subjects, their identifiers and states: one read for a question, rows taken in one order for a write."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision import due
from app.decision.catalogue import Timeline
from app.decision.model import State
from app.decision.present import present_of
from app.storage import codec
from app.storage.database import Conflict
from app.storage.inserting import add_rows, insert_new
from app.storage.tables import attachments, evidence, identifiers, subjects, tombstones

_PAGE = 1000


class Identifier(NamedTuple):
    """An identifier as it is stored; the value itself is sealed, and not known yet where only a link named it."""

    identifier_id: str
    digest: bytes
    type: str
    subject_id: str
    linked_at: datetime
    sealed: bytes | None


class Tombstone(NamedTuple):
    """What an erasure or unlinking left on an identifier nobody holds."""

    digest: bytes
    event_id: str
    state: State


# Finding


async def holder_of(connection: AsyncConnection, digests: Sequence[bytes]) -> Identifier | None:
    """The identifier row under any of the digests."""
    statement = select(*_IDENTIFIER).where(identifiers.c.digest.in_(digests))
    row = (await connection.execute(statement)).first()
    return None if row is None else Identifier(*row)


_IDENTIFIER = tuple(identifiers.c[name] for name in Identifier._fields)


async def holders_of(connection: AsyncConnection, digests: Sequence[bytes]) -> dict[bytes, Identifier]:
    """The identifier rows under any of many digests, by digest."""
    rows = await connection.execute(select(*_IDENTIFIER).where(identifiers.c.digest.in_(digests)))
    return {bytes(row.digest): Identifier(*row) for row in rows}


async def identifiers_of(connection: AsyncConnection, subject_ids: Sequence[str]) -> list[Identifier]:
    """The identifiers that belong to some subjects, in the order in which they came."""
    statement = (
        select(*_IDENTIFIER)
        .where(identifiers.c.subject_id.in_(subject_ids))
        .order_by(identifiers.c.linked_at, identifiers.c.identifier_id)
    )
    return [Identifier(*row) for row in await connection.execute(statement)]


async def named(connection: AsyncConnection, subject_ids: Sequence[str], identifier_type: str) -> dict[str, Identifier]:
    """The oldest identifier of a type, its value known, that each of some subjects has, if any."""
    is_asked = (identifiers.c.type == identifier_type) & identifiers.c.sealed.is_not(None)
    statement = (
        select(*_IDENTIFIER)
        .where(identifiers.c.subject_id.in_(subject_ids), is_asked)
        .order_by(identifiers.c.linked_at.desc(), identifiers.c.identifier_id.desc())
    )
    return {row.subject_id: Identifier(*row) for row in await connection.execute(statement)}


async def survivor_of(connection: AsyncConnection, subject_id: str) -> str | None:
    """The subject an id stands for today: itself, or the one it was merged into; None if there never was one."""
    survivor = func.coalesce(subjects.c.merged_into, subjects.c.subject_id)
    statement = select(survivor).where(subjects.c.subject_id == subject_id)
    found: str | None = (await connection.execute(statement)).scalar()
    return found


async def component_of(connection: AsyncConnection, subject_id: str) -> list[str]:
    """Every subject_id that stands for a survivor, its own included."""
    statement = select(subjects.c.subject_id).where(
        or_(subjects.c.subject_id == subject_id, subjects.c.merged_into == subject_id)
    )
    return list((await connection.execute(statement)).scalars())


async def attached_to(connection: AsyncConnection, *subject_ids: str) -> list[str]:
    """The subjects attached to any of some subjects."""
    statement = select(attachments.c.other_id).where(attachments.c.subject_id.in_(subject_ids)).distinct()
    return sorted((await connection.execute(statement)).scalars())


async def relations_of(
    connection: AsyncConnection, subject_ids: Sequence[str]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Who is attached to some subjects, and who was merged into them: pairs of one of them and the other."""
    attached = select(attachments.c.subject_id, attachments.c.other_id).where(attachments.c.subject_id.in_(subject_ids))
    merged = select(subjects.c.merged_into, subjects.c.subject_id).where(subjects.c.merged_into.in_(subject_ids))
    return (
        [(one, other) for one, other in await connection.execute(attached)],
        [(one, other) for one, other in await connection.execute(merged)],
    )


async def living(connection: AsyncConnection, subject_ids: Sequence[str]) -> list[str]:
    """Those of some subjects that were not erased."""
    statement = select(subjects.c.subject_id).where(
        subjects.c.subject_id.in_(subject_ids), subjects.c.erased_at.is_(None)
    )
    return list((await connection.execute(statement)).scalars())


async def types_in_use(connection: AsyncConnection) -> set[str]:
    """The identifier types that subjects have."""
    return set((await connection.execute(select(identifiers.c.type).distinct())).scalars())


# Writing


async def take(connection: AsyncConnection, subject_ids: Iterable[str]) -> dict[str, State]:
    """Take the rows of some subjects until commit, in the order of their ids so that no two writers wait for each
    other, and read their states. Raises Conflict if one was merged away meanwhile."""
    wanted = sorted(set(subject_ids))
    statement = (
        select(subjects.c.subject_id, subjects.c.merged_into, subjects.c.state)
        .where(subjects.c.subject_id.in_(wanted))
        .order_by(subjects.c.subject_id)
        .with_for_update()
    )
    rows = (await connection.execute(statement)).all()
    if len(rows) != len(wanted) or any(row.merged_into is not None for row in rows):
        raise Conflict
    return {row.subject_id: codec.decode(row.state) for row in rows}


def _due(state: State, timeline: Timeline, now: datetime) -> dict[str, datetime | None]:
    """When time alone will next change what is to be told of a subject."""
    return {"due_at": due.next_end(state, timeline, now)}


async def create(connection: AsyncConnection, states: Sequence[State], timeline: Timeline, now: datetime) -> None:
    """Add subjects."""
    rows = [
        {"subject_id": state.subject_id, **written(state, timeline), **_due(state, timeline, now)} for state in states
    ]
    await add_rows(connection, subjects, rows)


async def save(connection: AsyncConnection, states: Iterable[State], timeline: Timeline, now: datetime) -> None:
    """Write the states of subjects back."""
    kept: dict[str, Any] = {name: bindparam(name) for name in ("due_at", "erased_at", "present", "state")}
    statement = update(subjects).where(subjects.c.subject_id == bindparam("saved")).values(kept)
    rows = [{"saved": state.subject_id, **written(state, timeline), **_due(state, timeline, now)} for state in states]
    if rows:
        await connection.execute(statement, rows)


def written(state: State, timeline: Timeline) -> dict[str, Any]:
    """The columns that hold a state: the whole of it, and what answers about now depend on."""
    present = codec.encode_present(present_of(state, timeline))
    return {"erased_at": state.erased_at, "present": present, "state": codec.encode(state)}


async def add_identifiers(connection: AsyncConnection, *added: Identifier) -> None:
    """Give subjects identifiers that nobody holds. Raises Conflict if another writer was first."""
    rows = [identifier._asdict() for identifier in sorted(added, key=lambda i: i.digest)]
    if await add_rows(connection, identifiers, rows, only_new=True) < len(rows):
        raise Conflict


async def add_value(connection: AsyncConnection, identifier_id: str, sealed: bytes) -> None:
    """Keep the value of an identifier that only a link had named."""
    statement = update(identifiers).where(identifiers.c.identifier_id == identifier_id, identifiers.c.sealed.is_(None))
    await connection.execute(statement.values(sealed=sealed))


async def remove_identifier(connection: AsyncConnection, identifier_id: str) -> None:
    """Take an identifier from its subject, with its sealed value."""
    await connection.execute(delete(identifiers).where(identifiers.c.identifier_id == identifier_id))


async def was_device(connection: AsyncConnection, subject_id: str) -> bool:
    """Whether a subject that was merged away was a device until then."""
    statement = select(subjects.c.was_device).where(subjects.c.subject_id == subject_id)
    return bool((await connection.execute(statement)).scalar())


async def merge(connection: AsyncConnection, loser: str, survivor: str, *, is_device: bool) -> None:
    """Let a subject's identifiers, evidence, attachments and earlier ids pass to the survivor."""
    for table in (identifiers, evidence):
        await connection.execute(update(table).where(table.c.subject_id == loser).values(subject_id=survivor))
    statement = update(subjects).where(or_(subjects.c.subject_id == loser, subjects.c.merged_into == loser))
    await connection.execute(statement.values(merged_into=survivor))
    await connection.execute(update(subjects).where(subjects.c.subject_id == loser).values(was_device=is_device))
    others = [other for other in await attached_to(connection, loser) if other != survivor]
    await detach(connection, loser)
    for other in others:
        await attach(connection, survivor, other)


async def attach(connection: AsyncConnection, one: str, other: str) -> bool:
    """Let two subjects hear each other; False if they did already."""
    pair = [{"subject_id": one, "other_id": other}, {"subject_id": other, "other_id": one}]
    statement = insert_new(connection, attachments).values(pair)
    return (await connection.execute(statement.returning(attachments.c.other_id))).first() is not None


async def detach(connection: AsyncConnection, subject_id: str, other_id: str | None = None) -> None:
    """Part a subject from another one, or from all."""
    one, other = attachments.c.subject_id, attachments.c.other_id
    if other_id is None:
        where: ColumnElement[bool] = or_(one == subject_id, other == subject_id)
    else:
        where = one.in_((subject_id, other_id)) & other.in_((subject_id, other_id))
    await connection.execute(delete(attachments).where(where))


async def tombstones_on(connection: AsyncConnection, digests: Sequence[bytes]) -> list[Tombstone]:
    """What was left on identifiers, taken until commit."""
    statement = (
        select(tombstones).where(tombstones.c.digest.in_(digests)).order_by(tombstones.c.digest).with_for_update()
    )
    rows = await connection.execute(statement)
    return [Tombstone(bytes(row.digest), row.event_id, codec.decode(row.state)) for row in rows]


async def add_tombstone(connection: AsyncConnection, tombstone: Tombstone) -> None:
    """Leave a tombstone on an identifier."""
    row = {**tombstone._asdict(), "state": codec.encode(tombstone.state)}
    await connection.execute(insert(tombstones).values(row))


async def remove_tombstones(connection: AsyncConnection, digests: Sequence[bytes]) -> None:
    """Remove tombstones that somebody took over."""
    await connection.execute(delete(tombstones).where(tombstones.c.digest.in_(digests)))


async def add_evidence(connection: AsyncConnection, rows: Sequence[tuple[str, str, bytes]]) -> None:
    """Lay sealed evidence beside the ledger: (evidence_id, subject_id, sealed)."""
    await add_rows(connection, evidence, [dict(zip(evidence.c.keys(), row, strict=True)) for row in rows])


async def evidence_of(connection: AsyncConnection, subject_id: str) -> dict[str, bytes]:
    """The sealed evidence about a subject, by evidence_id."""
    statement = select(evidence.c.evidence_id, evidence.c.sealed).where(evidence.c.subject_id == subject_id)
    return {row.evidence_id: row.sealed for row in await connection.execute(statement)}


async def evidence_named(connection: AsyncConnection, evidence_ids: Sequence[str]) -> dict[str, bytes]:
    """Some sealed evidence, by evidence_id."""
    statement = select(evidence.c.evidence_id, evidence.c.sealed).where(evidence.c.evidence_id.in_(evidence_ids))
    return {row.evidence_id: row.sealed for row in await connection.execute(statement)}


async def evidence_for(connection: AsyncConnection, event_id: str) -> bytes | None:
    """The sealed evidence of one event, if there is any."""
    statement = select(evidence.c.sealed).where(evidence.c.evidence_id == event_id)
    found: bytes | None = (await connection.execute(statement)).scalar()
    return found


async def erase(connection: AsyncConnection, subject_id: str) -> None:
    """Delete the sealed identifiers and evidence of a subject."""
    for table in (identifiers, evidence):
        await connection.execute(delete(table).where(table.c.subject_id == subject_id))


async def states(connection: AsyncConnection) -> AsyncIterator[State]:
    """The state of every subject that was not merged away, read in pages."""
    last = ""
    while True:
        statement = (
            select(subjects.c.subject_id, subjects.c.state)
            .where(subjects.c.subject_id > last, subjects.c.merged_into.is_(None))
            .order_by(subjects.c.subject_id)
            .limit(_PAGE)
        )
        page = (await connection.execute(statement)).all()
        for row in page:
            yield codec.decode(row.state)
        if len(page) < _PAGE:
            return
        last = page[-1].subject_id
