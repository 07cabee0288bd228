"""The change feed: what changed, in commit order, for services that keep a copy of it in step."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response as HttpResponse
from pydantic import BaseModel, ConfigDict, Field

from app.changes import Page, Reader, Told
from app.decision.catalogue import Timeline
from app.decision.refusal import Fault, Invalid
from app.doors.dependencies import TheReading, encoded, scoped
from app.doors.problems import responses
from app.doors.words import Instant, Key, Response
from app.telling import TYPES, Filter

router = APIRouter(prefix="/v1/changes", tags=["changes"], responses=responses(400, 401, 403, 409, 410, 422, 503))

EventType = Literal[TYPES]  # type: ignore[valid-type]  # the words are listed once, where rows are made
Channel = Literal["email", "sms", "post", "phone", "push", "on_site"]


class Wanted(BaseModel):
    """Which rows are told. Each may be repeated; rows without purpose or channel pass those filters."""

    model_config = ConfigDict(extra="forbid")

    purpose: list[Key] = Field(default=[], max_length=100)
    channel: list[Channel] = Field(default=[], max_length=10)
    type: list[EventType] = Field(default=[], max_length=50)
    identifier_type: Key | None = Field(default=None, description="Tell each person's identifier of this type too.")

    def as_filter(self, timeline: Timeline) -> Filter:
        """The filter. Raises Invalid for a purpose or identifier type that no catalogue version declares: a typo would
        silently leave out everything."""
        faults = [
            Fault("query:purpose", "unknown-purpose", "No catalogue version declares this purpose.")
            for purpose in self.purpose
            if not timeline.with_purpose(purpose)
        ]
        declared = {name for version in timeline.versions for name in version.identifier_types}
        if self.identifier_type is not None and self.identifier_type not in declared:
            detail = "No catalogue version declares this identifier type."
            faults.append(Fault("query:identifier_type", "unknown-identifier-type", detail))
        if faults:
            raise Invalid(*faults)
        return Filter(tuple(self.purpose), tuple(self.channel), tuple(self.type))


class ChangesQuery(Wanted):
    """From where, how much, and which rows."""

    after: str | None = Field(
        default=None,
        max_length=256,
        description="`next` of the answer before, or `now`; absent: from the oldest kept.",
    )
    limit: int = Field(default=100, ge=1, le=1000)


class NamedPerson(Response):
    """The person's oldest identifier of the asked type."""

    type: str
    id: str


class ChangeTold(Response):
    """One row. With a `version` it tells where a (subject_id, purpose, channel) stands after its commit: the last row
    is the truth. Without one it tells of something else that answers depend on; `details` hold what only its type
    has."""

    id: str
    event_id: str
    cursor: str
    type: str
    subject_id: str | None
    subject: NamedPerson | None
    purpose: str | None
    channel: str | None
    scope: str | None
    status: str | None
    previous_status: str | None
    objected: bool | None = Field(description="Whether an objection stands against it, whatever the status says.")
    version: int | None
    basis: str | None
    method: str | None
    notice: str | None
    merged_into: str | None
    details: dict[str, Any] | None
    occurred_at: Instant
    recorded_at: Instant


class ChangesResponse(Response):
    """Rows in commit order. `next` is always there, and moves past what a filter left out."""

    changes: list[ChangeTold]
    next: str
    has_more: bool
    head: str


@router.get("", response_model=ChangesResponse, summary="Read what changed", dependencies=[scoped("changes")])
async def changes(query: Annotated[ChangesQuery, Query()], reading: TheReading) -> HttpResponse:
    """At least once, in commit order: dedupe by `id`, apply the highest `version` per (subject_id, purpose, channel).

    Purpose and channel filters also pass rows where these are null: they change answers too. After
    `catalogue.published` read again what you derived from purposes."""
    async with reading.begin() as (connection, head):
        timeline = await reading.store.timeline(connection, head)
        reader = Reader(reading.store, query.as_filter(timeline), query.identifier_type)
        start = await reader.start(connection, head, query.after)
        page = await reader.read(connection, head, start, query.limit)
    return encoded(_answer(page))


def _answer(page: Page) -> dict[str, Any]:
    return {
        "changes": [as_row(told) for told in page.rows],
        "next": page.next,
        "has_more": page.has_more,
        "head": page.head,
    }


def as_row(told: Told) -> dict[str, Any]:
    """A row as it goes out."""
    return told.row._asdict() | {"cursor": told.cursor, "subject": told.subject}
