"""Webhooks: endpoints to which the rows of the change feed are pushed."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response as HttpResponse
from pydantic import Field, StrictInt, StrictStr

from app.destinations import Destinations
from app.doors.dependencies import JSON_BODY, TheReading, TheWrite, encoded, scoped
from app.doors.problems import responses
from app.doors.strict import StrictRoute
from app.doors.words import Channel, EventType, Instant, Key, Request, Response
from app.telling import Filter
from app.webhooks import Desk, Wanted, require_url

router = APIRouter(
    prefix="/v1/webhooks",
    route_class=StrictRoute,
    tags=["webhooks"],
    dependencies=[scoped("webhooks")],
    responses=responses(400, 401, 403, 404, 422, 503),
)

_DAY = 86400  # seconds
_WITH_BODY = responses(409, 413, 415)
WebhookId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[a-z0-9_]+$", examples=["wh_q7n3"])]
Url = Annotated[StrictStr, Field(min_length=1, max_length=2048)]
RowId = Annotated[StrictStr, Field(min_length=1, max_length=128)]
Cursor = Annotated[StrictStr, Field(min_length=1, max_length=256)]


class WebhookFilter(Request):
    """Which rows, as in `GET /v1/changes`; an empty list lets everything pass."""

    purpose: list[Key] = Field(default=[], max_length=100)
    channel: list[Channel] = Field(default=[], max_length=10)
    type: list[EventType] = Field(default=[], max_length=50)
    identifier_type: Key | None = Field(default=None, description="Tell each person's identifier of this type too.")

    def as_wanted(self) -> Wanted:
        """The same for the feed."""
        return Wanted(Filter(tuple(self.purpose), tuple(self.channel), tuple(self.type)), self.identifier_type)


class NewWebhook(Request):
    """An endpoint, and where in the feed it begins."""

    url: Url = Field(examples=["https://crm.example.com/hooks/maywe"])
    filter: WebhookFilter = WebhookFilter()
    after: Cursor | None = Field(default=None, description="A cursor of the feed; absent: from now on.")


class WebhookChange(Request):
    """What is to be otherwise; the filter as a whole."""

    url: Url | None = None
    filter: WebhookFilter | None = None


class Resumption(Request):
    """From where to go on."""

    after: Cursor | None = Field(
        default=None,
        description="A cursor of the feed, or `now`: what waits or is dead is forgotten. Absent: from where it was.",
    )


class Rotation(Request):
    """For how long messages are signed with the secret before, too."""

    overlap_seconds: StrictInt = Field(default=_DAY, ge=0, le=7 * _DAY)


class Replay(Request):
    """Which dead letters are to be delivered after all, by the `id` of their rows; absent: all."""

    ids: list[RowId] | None = Field(default=None, min_length=1, max_length=1000)


class WebhookTold(Response):
    """An endpoint: everything up to `cursor` was delivered, waits to be tried again, or is a dead letter."""

    webhook_id: str
    url: str
    filter: WebhookFilter
    state: Literal["active", "paused", "disabled"]
    reason: str | None = Field(description="Why it is disabled: `gone` (it answered 410), `cursor-ahead`, ...")
    cursor: str
    waiting: int = Field(description="Rows that were not accepted so far, and those that wait behind them.")
    dead_letters: int
    previous_secret_until: Instant | None
    created_at: Instant


class WebhookMade(WebhookTold):
    """A new endpoint with its secret, which is told only here."""

    secret: str


class WebhooksResponse(Response):
    """All endpoints, oldest first; there are 100 at most."""

    webhooks: list[WebhookTold]


class WebhookDeleted(Response):
    """Which endpoint was deleted."""

    webhook_id: str


class SecretRotated(Response):
    """The new secret, which is told only here, and until when messages are signed with the one before, too."""

    webhook_id: str
    secret: str
    previous_secret_until: Instant


class DeadLetter(Response):
    """A row that was given up; `outcome` is that of the last attempt."""

    id: str
    type: str
    subject_id: str | None
    attempts: int
    outcome: str | None
    dead_at: Instant


class DeadLettersResponse(Response):
    """Dead letters in the order of the feed."""

    dead_letters: list[DeadLetter]
    has_more: bool


class Replayed(Response):
    """How many dead letters wait again."""

    replayed: int


class Managing:
    """A write to the endpoints by a caller."""

    def __init__(self, request: HttpRequest, write: TheWrite) -> None:
        self._write = write
        self._destinations: Destinations = request.app.state.destinations

    def require_url(self, url: str | None) -> None:
        """Raise Invalid unless a webhook may be sent there."""
        if url is not None:
            require_url(self._destinations, url)

    async def perform(self, work: Callable[[Desk], Awaitable[Any]], status: int = 200) -> HttpResponse:
        """Do the work; the answer leaves only after the commit."""
        store, now = self._write.caller.store, self._write.now
        return await self._write.perform_on_connection(lambda connection: work(Desk(connection, store, now)), status)


async def _managing(request: HttpRequest, write: TheWrite) -> Managing:
    return Managing(request, write)


TheManaging = Annotated[Managing, Depends(_managing)]


@router.post(
    "",
    response_model=WebhookMade,
    status_code=201,
    summary="Make a webhook",
    dependencies=[JSON_BODY],
    responses=_WITH_BODY | responses(410),
)
async def create(body: NewWebhook, managing: TheManaging) -> HttpResponse:
    """Pushes rows of the feed as Standard Webhooks 1.0.0. The secret is told only in this answer."""
    managing.require_url(body.url)
    return await managing.perform(lambda desk: desk.create(body.url, body.filter.as_wanted(), body.after), 201)


@router.get("", response_model=WebhooksResponse, summary="List the webhooks")
async def list_webhooks(reading: TheReading) -> HttpResponse:
    """Without their secrets."""
    async with reading.begin() as (connection, _):
        return encoded({"webhooks": await Desk(connection, reading.store, reading.now).every()})


@router.get("/{webhook_id}", response_model=WebhookTold, summary="Read a webhook")
async def read(webhook_id: WebhookId, reading: TheReading) -> HttpResponse:
    """Without its secret."""
    async with reading.begin() as (connection, _):
        return encoded(await Desk(connection, reading.store, reading.now).one(webhook_id))


@router.patch(
    "/{webhook_id}",
    response_model=WebhookTold,
    summary="Change a webhook",
    dependencies=[JSON_BODY],
    responses=_WITH_BODY,
)
async def change(webhook_id: WebhookId, body: WebhookChange, managing: TheManaging) -> HttpResponse:
    """Holds for what was not delivered yet. Another URL begins the attempts anew."""
    wanted = None if body.filter is None else body.filter.as_wanted()
    managing.require_url(body.url)
    return await managing.perform(lambda desk: desk.change(webhook_id, body.url, wanted))


@router.delete("/{webhook_id}", response_model=WebhookDeleted, summary="Delete a webhook", responses=responses(409))
async def delete(webhook_id: WebhookId, managing: TheManaging) -> HttpResponse:
    """With its place in the feed and its dead letters."""
    return await managing.perform(lambda desk: desk.delete(webhook_id))


@router.post("/{webhook_id}/pause", response_model=WebhookTold, summary="Pause a webhook", responses=responses(409))
async def pause(webhook_id: WebhookId, managing: TheManaging) -> HttpResponse:
    """Nothing is lost: it goes on from where it was. A message under way may still arrive, and come again."""
    return await managing.perform(lambda desk: desk.pause(webhook_id))


@router.post(
    "/{webhook_id}/resume",
    response_model=WebhookTold,
    summary="Resume a webhook",
    dependencies=[JSON_BODY],
    responses=_WITH_BODY | responses(410),
)
async def resume(webhook_id: WebhookId, body: Resumption, managing: TheManaging) -> HttpResponse:
    """After a pause, or after what disabled it was mended. 409 or 410 if the feed cannot go on from its cursor: resync
    the receiver, and name the cursor from which to go on."""
    return await managing.perform(lambda desk: desk.resume(webhook_id, body.after))


@router.post(
    "/{webhook_id}/secret",
    response_model=SecretRotated,
    summary="Rotate the secret of a webhook",
    dependencies=[JSON_BODY],
    responses=_WITH_BODY,
)
async def rotate(webhook_id: WebhookId, body: Rotation, managing: TheManaging) -> HttpResponse:
    """While both are honoured, messages carry both signatures. The new secret is told only in this answer."""
    overlap = timedelta(seconds=body.overlap_seconds)
    return await managing.perform(lambda desk: desk.rotate(webhook_id, overlap))


@router.get("/{webhook_id}/dead-letters", response_model=DeadLettersResponse, summary="List dead letters")
async def dead_letters(
    webhook_id: WebhookId,
    reading: TheReading,
    after: Annotated[str | None, Query(max_length=128, description="The `id` of the last one read.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> HttpResponse:
    """Rows that were not accepted in all attempts."""
    async with reading.begin() as (connection, _):
        return encoded(await Desk(connection, reading.store, reading.now).dead_letters(webhook_id, after, limit))


@router.post(
    "/{webhook_id}/dead-letters/replay",
    response_model=Replayed,
    summary="Replay dead letters",
    dependencies=[JSON_BODY],
    responses=_WITH_BODY,
)
async def replay(webhook_id: WebhookId, body: Replay, managing: TheManaging) -> HttpResponse:
    """They are tried again from the first attempt on, before what waits of the same person. Later rows may have been
    delivered before: apply a row if its `version` is higher."""
    return await managing.perform(lambda desk: desk.replay(webhook_id, body.ids))
