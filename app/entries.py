"""What an entry of the ledger keeps of an event and of the standings it changed, and these told from it again."""

from datetime import datetime
from typing import Any

from app.decision.fold import Change
from app.decision.model import Event, Standing
from app.documents import instant
from app.storage.ledger import Entry

_TOLD = ("notice", "explicit", "reference", "data_categories", "holds")


def told(event: Event) -> dict[str, Any]:
    """What the ledger keeps of an event beside its columns: only what is set."""
    data = {name: value for name in _TOLD if (value := getattr(event, name))}
    return data | ({"until": instant(event.until)} if event.until else {})


def digest_of_evidence(entry: Entry) -> str | None:
    """The keyed digest of what lies sealed beside an entry, if anything. Of `evidence.expired` the field of that name
    says what ended."""
    digest: str | None = entry.data.get("evidence")
    return None if entry.type == "evidence.expired" else digest


def read(entry: Entry, side: str) -> Event:
    """The event that an entry of the ledger tells of, recorded about a side."""
    data = {name: entry.data[name] for name in _TOLD if name in entry.data}
    if "data_categories" in data:
        data["data_categories"] = tuple(data["data_categories"])
    until = entry.data.get("until")
    return Event(
        id=entry.event_id,
        type=entry.type,
        at=entry.occurred_at,
        position=entry.position,
        side=side,
        purpose=entry.purpose,
        channel=entry.channel,
        scope=entry.scope,
        until=datetime.fromisoformat(until) if until else None,
        **data,
    )


def written(change: Change) -> dict[str, Any]:
    """What the ledger keeps of a standing: what it is now, what it was, and whether that is a change."""
    now = change.standing
    return {
        "purpose": change.purpose,
        "channel": change.channel,
        "status": now.status,
        "objected": now.objected,
        "event_id": now.event_id,
        "since": now.since.isoformat() if now.since else None,
        "basis": now.basis,
        "version": now.version,
        "previous_status": change.previous.status,
        "effective": change.effective,
    }


def read_standing(row: dict[str, Any]) -> Standing:
    """The standing that the ledger tells of."""
    since = datetime.fromisoformat(row["since"]) if row["since"] else None
    return Standing(row["status"], row["objected"], row["event_id"], since, row["basis"], row["version"])
