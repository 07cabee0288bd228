"""The answer to a write of choices or facts."""

from typing import Any

from app.doors.words import Instant, Response
from app.recording import Record


class RecordedEvent(Response):
    """What became of one choice or fact on one standing; `event_id` is the event now in force."""

    event_id: str
    type: str
    purpose: str | None
    channel: str | None
    scope: str | None
    effective: bool
    status: str | None
    version: int | None
    occurred_at: Instant
    recorded_at: Instant


class RecordResponse(Response):
    """Who it was recorded about, the revision that includes it, and what became of it."""

    subject_id: str
    revision: str
    events: list[RecordedEvent]


def told(record: Record) -> dict[str, Any]:
    """The content of the answer."""
    return {**record._asdict(), "events": [event._asdict() for event in record.events]}
