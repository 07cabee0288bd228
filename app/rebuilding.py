"""All state from the ledger alone: what the subjects' rows, tombstones and attachments must be, told event by event."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.decision import fold
from app.decision.model import State
from app.storage.ledger import Entry
from app.writing import read, read_standing


@dataclass
class Rebuilt:
    """The state that the ledger tells of."""

    states: dict[str, State] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    kept: dict[str, State] = field(default_factory=dict)  # event_id of the erasure or unlinking -> what it left
    attached: set[frozenset[str]] = field(default_factory=set)

    def state(self, subject_id: str) -> State:
        """The state of a subject, new if this is its first event."""
        return self.states.setdefault(subject_id, State(subject_id=subject_id, side=subject_id))


async def rebuild_from(entries: AsyncIterator[Entry]) -> Rebuilt:
    """Replay a ledger from its beginning."""
    rebuilt = Rebuilt()
    async for entry in entries:
        if entry.subject_id is None:
            continue
        if entry.type.startswith("subject."):
            _SUBJECT[entry.type](rebuilt, entry, rebuilt.state(entry.subject_id))
        else:
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


def _merged(_rebuilt: Rebuilt, _entry: Entry, _state: State) -> None:
    """The survivor's own entry, `subject.linked`, tells how the two became one."""


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
