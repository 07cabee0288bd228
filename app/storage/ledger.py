"""The ledger: append-only, chained, positions dense and in commit order; and its head, by which a read knows its
revision."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto
from app.storage.inserting import add_rows
from app.storage.tables import ledger, ledger_head

_PAGE = 1000


class Head(NamedTuple):
    """Where the ledger ends, and the counters that say whether catalogue and keys are still those known."""

    position: int
    epoch: str
    catalogue_serial: int
    keys_serial: int

    @property
    def revision(self) -> str:
        """The position as callers see it: opaque."""
        return crypto.write_revision(self.epoch, self.position)


class Entry(NamedTuple):
    """One event as the ledger keeps it. `data` holds what the type adds; never an identifier, never free text."""

    event_id: str
    type: str
    occurred_at: datetime
    recorded_at: datetime
    data: dict[str, Any]
    subject_id: str | None = None
    purpose: str | None = None
    channel: str | None = None
    scope: str | None = None
    position: int = 0


HEAD = (ledger_head.c.position, ledger_head.c.epoch, ledger_head.c.catalogue_serial, ledger_head.c.keys_serial)


async def head(connection: AsyncConnection) -> Head:
    """Where the ledger ends now."""
    return Head(*(await connection.execute(select(*HEAD))).one())


async def reserve(connection: AsyncConnection, count: int) -> tuple[Head, bytes]:
    """Take the next positions, holding the head until commit; to be called after the subjects' rows were taken, so that
    positions follow commit order. Returns where the ledger ended before, and the digest there."""
    statement = (
        update(ledger_head).values(position=ledger_head.c.position + count).returning(*HEAD, ledger_head.c.digest)
    )
    *taken, digest = (await connection.execute(statement)).one()
    ended = Head(*taken)
    return ended._replace(position=ended.position - count), digest


async def append(connection: AsyncConnection, entries: Sequence[Entry], *, digest: bytes) -> None:
    """Add entries at the reserved positions, each chained to the one before it."""
    rows = []
    for entry in entries:
        row = _row(entry)
        digest = crypto.chain_digest(digest, _chained(row))
        rows.append({**row, "digest": digest})
    await add_rows(connection, ledger, rows)
    await connection.execute(update(ledger_head).values(digest=digest))


def _row(entry: Entry) -> dict[str, Any]:
    return {**entry._asdict(), "data": crypto.canonical_json(entry.data).decode()}


def _chained(row: dict[str, Any] | RowMapping) -> bytes:
    """The bytes of an entry that its digest covers: every column but the digest itself."""
    instants = {
        name: row[name].astimezone(UTC).isoformat(timespec="microseconds") for name in ("occurred_at", "recorded_at")
    }
    return crypto.canonical_json({name: instants.get(name, row[name]) for name in Entry._fields})


async def of_subjects(
    connection: AsyncConnection, subject_ids: Sequence[str], *, after: int = 0, limit: int | None = None
) -> list[Entry]:
    """The entries about some subjects after a position, oldest first."""
    statement = (
        select(*(ledger.c[name] for name in Entry._fields))
        .where(ledger.c.subject_id.in_(subject_ids), ledger.c.position > after)
        .order_by(ledger.c.position)
        .limit(limit)
    )
    return [_entry(row) for row in (await connection.execute(statement)).mappings()]


class Linked(NamedTuple):
    """An entry with its digest in the chain."""

    entry: Entry
    digest: bytes


async def between(
    connection: AsyncConnection,
    first: int,
    last: int,
    *,
    limit: int,
    types: Sequence[str] = (),
    purposes: Sequence[str] = (),
) -> list[Linked]:
    """The entries at some positions, both included, oldest first; of given types, and with a given purpose or none."""
    statement = select(ledger).where(ledger.c.position.between(first, last))
    if types:
        statement = statement.where(ledger.c.type.in_(types))
    if purposes:
        statement = statement.where(or_(ledger.c.purpose.is_(None), ledger.c.purpose.in_(purposes)))
    rows = await connection.execute(statement.order_by(ledger.c.position).limit(limit))
    return [Linked(_entry(row), bytes(row["digest"])) for row in rows.mappings()]


async def at(connection: AsyncConnection, positions: Sequence[int]) -> dict[int, Linked]:
    """The entries at some positions, where there are any."""
    rows = await connection.execute(select(ledger).where(ledger.c.position.in_(positions)))
    return {row["position"]: Linked(_entry(row), bytes(row["digest"])) for row in rows.mappings()}


async def digest_at(connection: AsyncConnection, position: int) -> bytes | None:
    """The digest of the chain at a position; None where the ledger does not reach."""
    if position == 0:
        return crypto.GENESIS
    found = (await connection.execute(select(ledger.c.digest).where(ledger.c.position == position))).scalar()
    return None if found is None else bytes(found)


async def position_of(connection: AsyncConnection, event_id: str) -> int | None:
    """Where an event stands in the ledger."""
    found: int | None = (
        await connection.execute(select(ledger.c.position).where(ledger.c.event_id == event_id))
    ).scalar()
    return found


async def named(connection: AsyncConnection, event_ids: Sequence[str]) -> dict[str, Entry]:
    """Some entries by their event_ids."""
    statement = select(*(ledger.c[name] for name in Entry._fields)).where(ledger.c.event_id.in_(event_ids))
    return {row["event_id"]: _entry(row) for row in (await connection.execute(statement)).mappings()}


async def publications_before(connection: AsyncConnection, position: int) -> int:
    """How many catalogue versions had been published before an entry was recorded; no clock is asked."""
    about_nobody = ledger.c.subject_id.is_(None) & (
        ledger.c.type == "catalogue.published"
    )  # found by ix_ledger_subject
    statement = select(func.count()).select_from(ledger).where(about_nobody, ledger.c.position < position)
    return int((await connection.execute(statement)).scalar_one())


async def recorded_at(connection: AsyncConnection, event_id: str) -> datetime:
    """When an event was committed."""
    statement = select(ledger.c.recorded_at).where(ledger.c.event_id == event_id)
    at: datetime = (await connection.execute(statement)).scalar_one()
    return at


async def everything(connection: AsyncConnection) -> AsyncIterator[Entry]:
    """Every entry in order, read in pages."""
    async for row in _rows(connection):
        yield _entry(row)


def _entry(row: RowMapping) -> Entry:
    return Entry(**{name: row[name] for name in Entry._fields if name != "data"}, data=json.loads(row["data"]))


async def _rows(connection: AsyncConnection, *, after: int = 0, until: int | None = None) -> AsyncIterator[RowMapping]:
    position = after
    statement = select(ledger).order_by(ledger.c.position).limit(_PAGE)
    if until is not None:
        statement = statement.where(ledger.c.position <= until)
    while True:
        page = (await connection.execute(statement.where(ledger.c.position > position))).mappings().all()
        for row in page:
            yield row
        if len(page) < _PAGE:
            return
        position = page[-1]["position"]


# The chain


class Link(NamedTuple):
    """A place in the chain: a position and the digest there, which covers everything up to it."""

    position: int
    digest: bytes


START = Link(0, crypto.GENESIS)


async def chain_head(connection: AsyncConnection) -> tuple[str, Link]:
    """The epoch of this history, and the last link of its chain."""
    columns = select(ledger_head.c.epoch, ledger_head.c.position, ledger_head.c.digest)
    epoch, position, digest = (await connection.execute(columns)).one()
    return epoch, Link(position, bytes(digest))


class Place(NamedTuple):
    """An entry in the chain: the octets its digest covers, its link and the one before it."""

    entry: Entry
    octets: bytes
    link: Link
    before: Link


async def place_of(connection: AsyncConnection, event_id: str) -> Place | None:
    """Where an event stands in the chain; None if there is no such event."""
    row = (await connection.execute(select(ledger).where(ledger.c.event_id == event_id))).mappings().first()
    if row is None:
        return None
    statement = select(ledger.c.position, ledger.c.digest).where(ledger.c.position == row["position"] - 1)
    before = (await connection.execute(statement)).first()
    return Place(
        _entry(row),
        _chained(row),
        Link(row["position"], bytes(row["digest"])),
        START if before is None else Link(before.position, bytes(before.digest)),
    )


class Verification(NamedTuple):
    """What a walk along the chain found: the entries checked, and the first fault, if any."""

    checked: int
    fault: str | None


async def verify(connection: AsyncConnection, *, after: Link = START, through: Sequence[Link] = ()) -> Verification:
    """Walk the chain from a link to its head: positions dense, every digest right, the head where the last entry is,
    and the chain passing through every link given. What is appended after the walk began is left out."""
    last = func.coalesce(select(func.max(ledger.c.position)).scalar_subquery(), 0)
    end, end_digest, last_position = (
        await connection.execute(select(ledger_head.c.position, ledger_head.c.digest, last))
    ).one()
    at = after
    signed: dict[int, set[bytes]] = {}
    for link in through:
        signed.setdefault(link.position, set()).add(link.digest)
    async for row in _rows(connection, after=at.position, until=end):
        fault = _fault_between(at, row)
        if fault is not None:
            return Verification(at.position, fault)
        at = Link(at.position + 1, bytes(row["digest"]))
        if signed.pop(at.position, {at.digest}) != {at.digest}:
            return Verification(at.position, f"the chain at position {at.position} is another than was signed")
    return Verification(at.position, _fault_at_end(at, Link(end, bytes(end_digest)), last_position, signed))


def _fault_between(before: Link, row: RowMapping) -> str | None:
    position = before.position + 1
    if row["position"] != position:
        return f"position {position} is missing"
    altered = crypto.chain_digest(before.digest, _chained(row)) != row["digest"]
    return f"the entry at position {position} was altered" if altered else None


def _fault_at_end(at: Link, head: Link, last_position: int, signed: dict[int, set[bytes]]) -> str | None:
    if not last_position == head.position == at.position:
        return f"the ledger ends at {last_position}, its head says {head.position}"
    if at.digest != head.digest:
        return "the digest in the head is not that of the last entry"
    missing = [position for position, digests in signed.items() if position or digests != {crypto.GENESIS}]
    return f"the ledger ends before position {max(missing)}, which was signed" if missing else None
