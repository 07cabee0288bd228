"""All state from the ledger alone: what the subjects' rows, tombstones and attachments must be, told event by event."""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision import due, fold
from app.decision.catalogue import Timeline
from app.decision.model import State
from app.decision.present import Present, present_of
from app.entries import read, read_standing
from app.storage import ends, everything, ledger
from app.storage.everything import SubjectRow, TombstoneRow
from app.storage.ledger import Entry
from app.storage.store import read_timeline


@dataclass
class Rebuilt:
    """The state that the ledger tells of."""

    states: dict[str, State] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)  # subjects that were devices when they were merged away
    kept: dict[str, State] = field(default_factory=dict)  # event_id of the erasure or unlinking -> what it left
    attached: set[frozenset[str]] = field(default_factory=set)

    def state(self, subject_id: str) -> State:
        """The state of a subject, new if this is its first event."""
        return self.states.setdefault(subject_id, _empty(subject_id))

    def rows(self, known: Iterable[str]) -> Iterator[SubjectRow]:
        """The row of every subject the ledger tells of; one without events for those known that it does not."""
        for subject_id, state in self.states.items():
            yield SubjectRow(subject_id, None, was_device=False, erased_at=state.erased_at, state=state)
        for subject_id, survivor in self.merged.items():
            is_device = subject_id in self.devices
            yield SubjectRow(subject_id, survivor, was_device=is_device, erased_at=None, state=_empty(subject_id))
        for subject_id in set(known) - self.states.keys() - self.merged.keys():
            yield SubjectRow(subject_id, None, was_device=False, erased_at=None, state=_empty(subject_id))


def _empty(subject_id: str) -> State:
    return State(subject_id=subject_id, side=subject_id)


async def rebuild(connection: AsyncConnection, *, only_compare: bool) -> int:
    """Compare all state with what the ledger tells and, unless only asked to compare, write the latter; writers wait
    meanwhile. Returns how many rows differed. Which identifiers there are, only their own rows tell."""
    await ledger.reserve(connection, 0)
    timeline = await read_timeline(connection)
    told = await rebuild_from(ledger.everything(connection))
    stored = {row.subject_id: row async for row in everything.subject_rows(connection)}
    subjects = [row for row in told.rows(stored) if not _same_subject(row, stored.get(row.subject_id), timeline)]
    tombstones = [
        row._replace(state=told.kept.get(row.event_id))
        for row in await everything.tombstone_rows(connection)
        if not _same(row.state, told.kept.get(row.event_id))
    ]
    pairs = {(one, other) for pair in told.attached for one in pair for other in pair - {one}}
    attached = await everything.attachment_rows(connection)
    if not only_compare:
        await _write(connection, subjects, tombstones, timeline)
        await ends.forget(connection)
        if attached != pairs:
            await everything.put_attachments(connection, pairs)
    return len(subjects) + len(tombstones) + len(attached ^ pairs)


async def _write(
    connection: AsyncConnection, subjects: list[SubjectRow], tombstones: list[TombstoneRow], timeline: Timeline
) -> None:
    for subject in subjects:
        await everything.put_subject(connection, subject, timeline)
    for tombstone in tombstones:
        await everything.put_tombstone(connection, tombstone)


def _same_subject(told: SubjectRow, stored: SubjectRow | None, timeline: Timeline) -> bool:
    if stored is None or told._replace(state=None) != stored._replace(state=None, present=None):
        return False
    return _same(told.state, stored.state) and _same_present(told.state, stored.present, timeline)


def _same(told: State | None, stored: State | None) -> bool:
    return told is not None and stored is not None and _canonical(told) == _canonical(stored)


def _same_present(told: State | None, stored: Present | None, timeline: Timeline) -> bool:
    """Whether what checks read is what a state came down to, under the versions published when it was written."""
    if told is None or stored is None or stored.versions > len(timeline.versions):
        return False
    present = present_of(told, timeline.first(stored.versions))
    return present._replace(state=stored.state) == stored and _same(present.state, stored.state)


def _canonical(state: State) -> tuple[object, ...]:
    """A state with everything whose order means nothing in one order."""
    events = sorted(state.events(), key=lambda e: (e.position, e.side, e.channel or "", e.id))
    return (
        events,
        state.subject_id,
        state.side,
        state.sides,
        state.erasures,
        state.standings,
        state.erased_at,
        state.ends_told,
        state.due_told,
    )


async def rebuild_from(entries: AsyncIterator[Entry]) -> Rebuilt:
    """Replay a ledger from its beginning."""
    rebuilt = Rebuilt()
    async for entry in entries:
        if entry.subject_id is None:
            continue
        if entry.type.startswith("subject."):
            _SUBJECT[entry.type](rebuilt, entry, rebuilt.state(entry.subject_id))
        elif entry.type == "evidence.expired":
            key = due.key(entry.purpose or "", entry.data["evidence"])
            rebuilt.state(entry.subject_id).ends_told[key] = entry.occurred_at
        elif entry.type == "erasure_due":
            due_told = rebuilt.state(entry.subject_id).due_told
            due_told |= dict.fromkeys(entry.data["data_categories"], entry.occurred_at)
        elif entry.type != "consent.expired":  # its standing is all it tells
            state = rebuilt.state(entry.subject_id)
            fold.place(state, read(entry, state.side))
        _keep_standings(rebuilt, entry)
    return rebuilt


def _keep_standings(rebuilt: Rebuilt, entry: Entry) -> None:
    for row in entry.data.get("standings", ()):
        state = rebuilt.state(entry.subject_id or "")
        state.standings.setdefault(row["purpose"], {})[row["channel"] or ""] = read_standing(row)


def _linked(rebuilt: Rebuilt, entry: Entry, state: State) -> None:
    data = entry.data
    if "takes_over" in data:
        fold.take_over(state, rebuilt.kept[data["takes_over"]], side=entry.event_id)
    elif "merged" in data:
        loser = data["merged"]
        fold.join(state, rebuilt.states.pop(loser), side=entry.event_id)
        rebuilt.merged = {old: state.subject_id if now == loser else now for old, now in rebuilt.merged.items()}
        rebuilt.merged[loser] = state.subject_id
        moved = {frozenset({state.subject_id if one == loser else one for one in pair}) for pair in rebuilt.attached}
        rebuilt.attached = {pair for pair in moved if len(pair) > 1}
    elif "attached" in data:
        rebuilt.state(data["attached"])
        rebuilt.attached.add(frozenset({state.subject_id, data["attached"]}))


def _unlinked(rebuilt: Rebuilt, entry: Entry, state: State) -> None:
    rebuilt.kept[entry.event_id] = _read_tombstone(entry)
    if "attached" in entry.data:
        rebuilt.attached.discard(frozenset({state.subject_id, entry.data["attached"]}))


def _merged(rebuilt: Rebuilt, entry: Entry, state: State) -> None:
    """The survivor's own entry, `subject.linked`, tells how the two became one."""
    if entry.data.get("was_device"):
        rebuilt.devices.add(state.subject_id)


def _erased(rebuilt: Rebuilt, entry: Entry, state: State) -> None:
    kept = _read_tombstone(entry)
    rebuilt.kept[entry.event_id] = kept
    rebuilt.states[state.subject_id] = kept


_SUBJECT = {
    "subject.linked": _linked,
    "subject.unlinked": _unlinked,
    "subject.merged": _merged,
    "subject.erased": _erased,
}


def _read_tombstone(entry: Entry) -> State:
    """What an erasure or unlinking kept, as the ledger tells it."""
    kept = State(
        subject_id=entry.subject_id or "",
        side=entry.event_id,
        erasures=[entry.occurred_at],
        erased_at=entry.occurred_at,
    )
    for row in entry.data["kept"]:
        fold.place(kept, read(_as_entry(row), entry.event_id))
    return kept


def _as_entry(row: dict[str, Any]) -> Entry:
    at = datetime.fromisoformat(row["at"])
    columns = {name: row[name] for name in ("event_id", "type", "purpose", "channel", "scope", "position")}
    return Entry(occurred_at=at, recorded_at=at, data=row, **columns)
