"""The change feed: what changed, in commit order, for services that keep a copy of it in step."""

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response as HttpResponse
from pydantic import BaseModel, ConfigDict, Field

from app.changes import Page, Reader, Told, cursor_of, undeclared
from app.decision.catalogue import Timeline
from app.decision.refusal import Invalid
from app.doors.dependencies import Reading, TheReading, TheWatch, encoded, scoped
from app.doors.later import Later, waited_of
from app.doors.problems import responses
from app.doors.streaming import MEDIA_TYPE, encode_lines, streamed
from app.doors.strict import StrictRoute
from app.doors.words import Channel, EventType, Instant, Key, Response
from app.listing import Listing
from app.telling import Filter, Row

router = APIRouter(
    prefix="/v1/changes",
    route_class=StrictRoute,
    tags=["changes"],
    responses=responses(400, 401, 403, 409, 410, 422, 503),
)

CLOUD_EVENTS = "application/cloudevents-batch+json"


class SnapshotQuery(BaseModel):
    """Which rows are told. Each may be repeated; rows without purpose or channel pass those filters."""

    model_config = ConfigDict(extra="forbid")

    purpose: list[Key] = Field(default=[], max_length=100)
    channel: list[Channel] = Field(default=[], max_length=10)
    identifier_type: Key | None = Field(default=None, description="Tell each person's identifier of this type too.")

    def as_filter(self, timeline: Timeline) -> Filter:
        """The filter. Raises Invalid for a purpose or identifier type that no catalogue version declares: a typo would
        silently leave out everything."""
        faults = undeclared(timeline, self.purpose, self.identifier_type, "query:")
        if faults:
            raise Invalid(*faults)
        return Filter(tuple(self.purpose), tuple(self.channel))


class ChangesQuery(SnapshotQuery):
    """From where, how much, and which rows."""

    type: list[EventType] = Field(default=[], max_length=50)
    after: str | None = Field(
        default=None,
        max_length=256,
        description="`next` of the answer before, or `now`; absent: from the oldest kept.",
    )
    limit: int = Field(default=100, ge=1, le=1000)
    wait: float = Field(default=0, ge=0, le=30, description="Seconds to hold the answer until something matches.")

    last_event_id: str | None = Field(
        default=None, alias="lastEventId", max_length=128, description="The `id` of the last row read, for `after`."
    )
    timeout: int = Field(default=0, ge=0, le=30_000, description="Milliseconds, for `wait`.")

    def as_filter(self, timeline: Timeline) -> Filter:
        """The filter, of types too. Raises Invalid like that of the snapshot."""
        return super().as_filter(timeline)._replace(types=tuple(self.type))


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


@router.get(
    "",
    response_model=ChangesResponse,
    summary="Read what changed",
    dependencies=[scoped("changes")],
    responses={200: {"content": {CLOUD_EVENTS: {"schema": {"type": "array", "items": {"type": "object"}}}}}},
)
async def changes(
    query: Annotated[ChangesQuery, Query()], reading: TheReading, watch: TheWatch, request: Request
) -> HttpResponse:
    """At least once, in commit order: dedupe by `id`, apply the highest `version` per (subject_id, purpose, channel).

    Purpose and channel filters also pass rows where these are null: they change answers too. After
    `catalogue.published` read again what you derived from purposes.

    `Accept: application/cloudevents-batch+json` gives the same rows as CloudEvents (the HTTP Feeds profile), read on by
    `lastEventId` and `timeout`."""
    as_events = CLOUD_EVENTS in request.headers.get("accept", "")
    waited = waited_of(request.scope)
    until = waited.until if waited is not None else time.monotonic() + max(query.wait, query.timeout / 1000)
    reader, page = await _read(reading, query, waited.after if waited is not None else query.after)
    while as_events and page.has_more and not page.rows:  # they have no cursor to go on after
        reader, page = await _read(reading, query, page.next)
    if as_events:
        source = f"{request.app.state.settings.public_url}/v1/changes"
        events = msgspec.json.encode([_event(told, source) for told in page.rows])
        answer = HttpResponse(events, media_type=CLOUD_EVENTS)
    else:
        answer = encoded(_answer(page))
    if page.rows or page.has_more:
        return answer
    return Later(watch, reader.wanted, position=page.position, after=page.next, until=until, answer=answer)


async def _read(reading: Reading, query: ChangesQuery, after: str | None) -> tuple[Reader, Page]:
    async with reading.begin() as (connection, head):
        timeline = await reading.store.timeline(connection, head)
        reader = Reader(reading.store, query.as_filter(timeline), query.identifier_type)
        if after is None and query.last_event_id is not None:
            start = await reader.after_row(connection, head, query.last_event_id)
        else:
            start = await reader.start(connection, head, after)
        return reader, await reader.read(connection, head, start, query.limit)


def _event(told: Told, source: str) -> dict[str, Any]:
    """A row as a CloudEvent 1.0; what was erased says so as in the HTTP Feeds profile."""
    row = told.row
    event = {
        "specversion": "1.0",
        "id": row.id,
        "source": source,
        "type": row.type,
        "time": row.occurred_at,
        "datacontenttype": "application/json",
        "data": told.content(),
    }
    if row.subject_id is not None:
        event["subject"] = row.subject_id
    return event | ({"method": "DELETE"} if row.type == "subject.erased" else {})


def _answer(page: Page) -> dict[str, Any]:
    return {
        "changes": [told.content() for told in page.rows],
        "next": page.next,
        "has_more": page.has_more,
        "head": page.head,
    }


@router.get(
    "/snapshot",
    response_class=HttpResponse,
    summary="Stream where everybody stands",
    dependencies=[scoped("changes")],
    responses={
        200: {
            "description": "A line for each standing, each scope objected to, each fact that counts and each relation "
            'between subjects, in the shape of a change without `id` and `cursor`; then `{"end": true, "count", '
            '"cursor"}`: without that line the stream is incomplete.',
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
        }
    },
)
async def snapshot(query: Annotated[SnapshotQuery, Query()], reading: TheReading) -> HttpResponse:
    """List, then watch: one moment, and the cursor from which to read what changed since, with any filter."""
    return await streamed(_lines(query, reading))


async def _lines(query: SnapshotQuery, reading: Reading) -> AsyncGenerator[bytes]:
    async with reading.begin_long() as (connection, head):
        timeline = await reading.store.timeline(connection, head)
        listing = Listing(reading.store, timeline, query.as_filter(timeline), query.identifier_type, reading.now)
        cursor = await cursor_of(connection, reading.store, head)
        count = 0
        yield b""
        async for told in listing.read(connection):
            count += len(told)
            yield encode_lines([_line(row, subject) for row, subject in told])
        yield encode_lines([{"end": True, "count": count, "cursor": cursor}])


def _line(row: Row, subject: dict[str, str] | None) -> dict[str, Any]:
    line = row._asdict() | {"subject": subject}
    del line["id"]
    return line
