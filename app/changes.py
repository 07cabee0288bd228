"""The change feed, read: pages of rows after a cursor, derived from the ledger (domain 5, no lost change)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto, cursors
from app.cursors import ALL_ROWS, Cursor
from app.decision.catalogue import Timeline
from app.decision.refusal import Conflicting, Expired, Fault, Unreadable
from app.storage import ledger, subjects
from app.storage.ledger import Head
from app.storage.store import Store
from app.telling import Filter, Row, read_row_id, rows_of

REACH = 10_000  # positions that one page looks at, so that a filter that leaves out much costs no more
NOW = "now"
_RESYNC = (
    "Read GET /v1/changes/snapshot into an empty copy, then go on from the cursor of its last line; "
    "`oldest` replays everything instead."
)


class Told(NamedTuple):
    """A row with its cursor, and the identifier of the person it is about, if asked for."""

    row: Row
    cursor: str
    subject: dict[str, str] | None

    def content(self) -> dict[str, Any]:
        """The row as it goes out."""
        return self.row._asdict() | {"cursor": self.cursor, "subject": self.subject}


class Page(NamedTuple):
    """Rows in commit order; `next` goes on after the last that was looked at, wanted or not."""

    rows: list[Told]
    next: str
    has_more: bool
    head: str
    position: int  # up to where the feed was looked at


def undeclared(timeline: Timeline, purposes: Iterable[str], identifier_type: str | None, where: str) -> list[Fault]:
    """The purposes and the identifier type that no catalogue version declares: a typo would silently leave out
    everything. Their pointers begin with `where`."""
    faults = [
        Fault(f"{where}purpose", "unknown-purpose", "No catalogue version declares this purpose.")
        for purpose in purposes
        if not timeline.with_purpose(purpose)
    ]
    declared = {name for version in timeline.versions for name in version.identifier_types}
    if identifier_type is not None and identifier_type not in declared:
        detail = "No catalogue version declares this identifier type."
        faults.append(Fault(f"{where}identifier_type", "unknown-identifier-type", detail))
    return faults


async def cursor_of(connection: AsyncConnection, store: Store, head: Head) -> str:
    """The place up to which everything committed at a head was told, for any filter."""
    return cursors.write_cursor(store.secrets, await _at(connection, head.epoch, head.position, cursors.EVERYTHING))


async def _at(connection: AsyncConnection, epoch: str, position: int, fingerprint: bytes) -> Cursor:
    digest = await ledger.digest_at(connection, position)
    assert digest is not None, "up to the head every position has an entry"
    return Cursor(epoch, position, ALL_ROWS, digest, fingerprint)


class Reader:
    """Reads the feed for one caller, who asked for some rows and for identifiers of a type."""

    def __init__(self, store: Store, wanted: Filter, identifier_type: str | None = None) -> None:
        self._store = store
        self.wanted = wanted
        self._identifier_type = identifier_type
        self._fingerprint = cursors.fingerprint(*wanted)

    async def start(self, connection: AsyncConnection, head: Head, after: str | None) -> Cursor:
        """The place a reader names: a cursor, `now`, or nothing for the beginning. Raises Unreadable, Expired for a
        history that is no more, Conflicting for a place this history has not reached."""
        if after is None:
            return self._beginning(head)
        if after == NOW:
            return await self._at(connection, head, head.position)
        try:
            cursor = cursors.read_cursor(self._store.secrets, after)
        except ValueError:
            raise Unreadable("malformed-cursor", "This is no cursor that this service gave out.") from None
        if cursor.fingerprint not in (cursors.EVERYTHING, self._fingerprint):
            detail = "This cursor was given out for another filter: rows could be lost. Use it with the same filter."
            raise Unreadable("cursor-of-another-filter", detail)
        if cursor.epoch != head.epoch:
            raise self._expired(head, "This cursor is from before the database was begun anew.")
        digest = await ledger.digest_at(connection, cursor.position)
        if cursor.position > head.position or digest is None or digest[: len(cursor.digest)] != cursor.digest:
            detail = f"The database was restored from an older backup: it never told this place. {_RESYNC}"
            raise Conflicting("cursor-ahead", detail, oldest=self._write(self._beginning(head)))
        return cursor._replace(fingerprint=self._fingerprint)

    async def after_row(self, connection: AsyncConnection, head: Head, row_id: str) -> Cursor:
        """The place right after a row, by the id of the row. Raises Unreadable, or Expired if there is none."""
        try:
            event_id, n = read_row_id(row_id)
        except ValueError:
            raise Unreadable("malformed-cursor", "This is no id of a row of this feed.") from None
        position = await ledger.position_of(connection, event_id)
        if position is None:
            raise self._expired(head, "This row is not in the history of this database.")
        return (await self._at(connection, head, position))._replace(row=n)

    def _expired(self, head: Head, why: str) -> Expired:
        return Expired("cursor-expired", f"{why} {_RESYNC}", oldest=self._write(self._beginning(head)))

    def _beginning(self, head: Head) -> Cursor:
        return Cursor(head.epoch, 0, ALL_ROWS, crypto.GENESIS, self._fingerprint)

    async def _at(self, connection: AsyncConnection, head: Head, position: int) -> Cursor:
        return await _at(connection, head.epoch, position, self._fingerprint)

    def _write(self, cursor: Cursor) -> str:
        return cursors.write_cursor(self._store.secrets, cursor)

    async def read(self, connection: AsyncConnection, head: Head, start: Cursor, limit: int) -> Page:
        """The next rows after a place, `limit` at most; what one page looks at is bounded."""
        end = min(head.position, start.position + REACH)
        found: list[tuple[Row, Cursor]] = []
        first = start.position + 1 if start.row == ALL_ROWS else start.position
        while first <= end and len(found) <= limit:
            entries = await ledger.between(
                connection, first, end, limit=limit + 1, types=self.wanted.types, purposes=self.wanted.purposes
            )
            found += [told for linked in entries for told in self._rows(linked, start)]
            first = entries[-1].entry.position + 1 if len(entries) > limit else end + 1
        more = len(found) > limit
        place = found[limit - 1][1] if more else await self._at(connection, head, end)
        top = place if place.position == head.position else await self._at(connection, head, head.position)
        return Page(
            rows=await self._with_names(connection, found[:limit]),
            next=self._write(place),
            has_more=more or end < head.position,
            head=self._write(top._replace(row=ALL_ROWS)),
            position=end,
        )

    def again(self, head: Head, linked: ledger.Linked) -> list[Told]:
        """The rows of one entry, without names, if they are wanted."""
        return [Told(row, self._write(cursor), None) for row, cursor in self._rows(linked, self._beginning(head))]

    def _rows(self, linked: ledger.Linked, start: Cursor) -> Iterator[tuple[Row, Cursor]]:
        entry, digest = linked
        rows = rows_of(entry)
        for n, row in enumerate(rows):
            is_new = entry.position > start.position or n > start.row
            if is_new and self.wanted.passes(row):
                place = ALL_ROWS if row is rows[-1] else n
                yield row, Cursor(start.epoch, entry.position, place, digest, self._fingerprint)

    async def _with_names(self, connection: AsyncConnection, found: Sequence[tuple[Row, Cursor]]) -> list[Told]:
        subject_ids = {row.subject_id for row, _ in found if row.subject_id is not None}
        named = await names(connection, self._store, subject_ids, self._identifier_type)
        return [Told(row, self._write(cursor), named.get(row.subject_id or "")) for row, cursor in found]


async def names(
    connection: AsyncConnection, store: Store, subject_ids: Iterable[str], identifier_type: str | None
) -> dict[str, dict[str, str]]:
    """The oldest identifier of a type of each subject that is neither erased nor merged into another."""
    if identifier_type is None:
        return {}
    oldest = await subjects.named(connection, sorted(subject_ids), identifier_type)
    return {
        subject_id: {
            "type": found.type,
            "id": store.secrets.unseal(found.sealed, found.identifier_id.encode()).decode(),
        }
        for subject_id, found in oldest.items()
        if found.sealed is not None
    }
