"""One person under many identifiers: find, read, link, unlink, erase. Identifiers never travel in URLs."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import Response as HttpResponse
from pydantic import Field

from app import access, describing, linking
from app.addressing import Subject
from app.doors.dependencies import JSON_BODY, TheReading, TheWrite, encoded, scoped
from app.doors.problems import responses
from app.doors.strict import StrictRoute
from app.doors.words import Flag, Identifier, Instant, Request, Response, Revision, Text
from app.writing import Unit

router = APIRouter(
    prefix="/v1/subjects", route_class=StrictRoute, tags=["subjects"], responses=responses(401, 403, 404, 422, 503)
)

LINKED_DATA = "application/ld+json"
_READ, _MANAGE = scoped("subjects:read"), scoped("subjects:manage")
SubjectId = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+$", examples=["sub_q7n3"])]
IdentifierId = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+$", examples=["idn_q7n3"])]


class FoundResponse(Response):
    """The opaque id of a subject."""

    subject_id: str


class HeldIdentifier(Response):
    """An identifier of a subject; `attached` if it belongs to a device that stays its own subject. `id` is null while
    only a link, which holds no address, has named it."""

    identifier_id: str
    type: str
    id: str | None
    attached: bool


class StandingTold(Response):
    """Where one purpose and channel stands."""

    purpose: str
    channel: str | None
    status: str | None
    basis: str | None
    since: Instant | None
    valid_until: Instant | None
    event_id: str | None
    version: int


class OpenRestriction(Response):
    """Processing that is restricted; null categories: all."""

    event_id: str
    since: Instant
    data_categories: list[str] | None


class OpenContract(Response):
    """A contract that has not ended."""

    event_id: str
    since: Instant
    reference: str | None


class SubjectResponse(Response):
    """Everything a subject stands at now."""

    subject_id: str
    identifiers: list[HeldIdentifier]
    standings: list[StandingTold]
    scopes: dict[str, str | None]
    restrictions: list[OpenRestriction]
    open_contracts: list[OpenContract]
    child_until: date | None
    erased_at: Instant | None
    revision: str


class HistoryStanding(Response):
    """What an event made of a standing."""

    purpose: str
    channel: str | None
    status: str | None
    previous_status: str | None
    version: int
    effective: bool


class HistoryEntry(Response):
    """One event in a person's history, with how it came about."""

    event_id: str
    type: str
    purpose: str | None
    channel: str | None
    scope: str | None
    occurred_at: Instant
    recorded_at: Instant
    details: dict[str, Any]
    standings: list[HistoryStanding]


class HistoryResponse(Response):
    """A page of a history, oldest first."""

    events: list[HistoryEntry]
    next: str
    has_more: bool


class LinkRequest(Identifier):
    """An identifier to give to a subject."""

    carry_consents: Flag = Field(default=False, description="Merge a device into the person instead of attaching it.")


class LinkResponse(Response):
    """The survivor, who was merged into it, and whether the identifier stays a subject of its own."""

    subject_id: str
    merged: list[str]
    attached: bool
    identifier_id: str
    revision: str


class UnlinkResponse(Response):
    """The revision without the identifier."""

    revision: str


class ErasureRequest(Request):
    """A person asks to be forgotten (Art. 17)."""

    reason: Text | None = Field(
        default=None, description="For the caller's own log; it is not kept here.", examples=[None]
    )
    force: Flag = Field(default=False, description="Erase although a contract is open.")


class ErasureResponse(Response):
    """When the subject was erased."""

    erased_at: Instant
    revision: str


@router.post(
    "/find",
    response_model=FoundResponse,
    summary="Find a subject by an identifier",
    dependencies=[_READ, JSON_BODY],
    responses=responses(400, 413, 415),
)
async def find(request: Identifier, reading: TheReading) -> HttpResponse:
    """404 if nobody is known under the identifier."""
    subject = Subject(request.type, request.id, pointer="")
    async with reading.begin() as (connection, head):
        found = await describing.find(connection, reading.store, subject, head=head, now=reading.now)
    return encoded({"subject_id": found})


@router.get(
    "/{subject_id}",
    response_model=SubjectResponse,
    summary="Read a subject",
    dependencies=[_READ],
    responses=responses(410),
)
async def read(subject_id: SubjectId, reading: TheReading) -> HttpResponse:
    """An old id of a merged subject answers with the survivor."""
    async with reading.begin() as (connection, _):
        return encoded(await describing.describe(connection, reading.store, subject_id, now=reading.now))


@router.get(
    "/{subject_id}/events",
    response_model=HistoryResponse,
    summary="Read a person's history",
    dependencies=[_READ],
    responses=responses(410),
)
async def events(
    subject_id: SubjectId,
    reading: TheReading,
    after: Annotated[Revision | None, Query(description="Go on from `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> HttpResponse:
    """In full, oldest first, with the evidence that was recorded."""
    async with reading.begin() as (connection, _):
        page = await describing.history_of(connection, reading.store, subject_id, after=after, limit=limit)
    return encoded({"events": page.entries, "next": page.next, "has_more": page.has_more})


@router.get(
    "/{subject_id}/export",
    response_model=dict[str, Any],
    summary="Everything held about a person",
    dependencies=[_READ],
    responses=responses(410)
    | {200: {"description": "Everything held", "content": {LINKED_DATA: {"schema": {"type": "object"}}}}},
)
async def export(
    subject_id: SubjectId, reading: TheReading, accept: Annotated[str | None, Header()] = None
) -> HttpResponse:
    """For the person (Art. 15, 20). `decisions` are the answers about them that the decision log keeps, with the
    service that asked. `Accept: application/ld+json` gives consent records (ISO/IEC TS 27560) in the terms of the W3C
    Data Privacy Vocabulary 2.3."""
    linked = LINKED_DATA in (accept or "")
    told = access.consent_records if linked else access.export
    if reading.caller.log is not None:
        await reading.caller.log.write()  # so that what was just answered is among it
    async with reading.begin() as (connection, _):
        content = await told(connection, reading.store, subject_id, now=reading.now)
    answer = encoded(content, headers={"Vary": "Accept"})
    if linked:
        answer.headers["Content-Type"] = LINKED_DATA
    return answer


@router.post(
    "/{subject_id}/identifiers",
    response_model=LinkResponse,
    summary="Link an identifier",
    dependencies=[_MANAGE, JSON_BODY],
    responses=responses(400, 409, 410, 413, 415),
)
async def link(subject_id: SubjectId, request: LinkRequest, write: TheWrite) -> HttpResponse:
    """Merges if the identifier belongs to another subject; a device is attached unless `carry_consents` is true."""
    identifier = Subject(request.type, request.id, pointer="")

    async def work(unit: Unit) -> dict[str, Any]:
        return (await linking.link(unit, subject_id, identifier, carry_consents=request.carry_consents))._asdict()

    return await write.perform(work, 200)


@router.delete(
    "/{subject_id}/identifiers/{identifier_id}",
    response_model=UnlinkResponse,
    summary="Unlink an identifier",
    dependencies=[_MANAGE],
    responses=responses(410),
)
async def unlink(subject_id: SubjectId, identifier_id: IdentifierId, write: TheWrite) -> HttpResponse:
    """Its opt-outs stay on it."""

    async def work(unit: Unit) -> dict[str, Any]:
        return {"revision": await linking.unlink(unit, subject_id, identifier_id)}

    return await write.perform(work, 200)


@router.post(
    "/{subject_id}/erasure",
    response_model=ErasureResponse,
    summary="Erase a subject",
    dependencies=[_MANAGE, JSON_BODY],
    responses=responses(400, 409, 413, 415),
)
async def erase(subject_id: SubjectId, request: ErasureRequest, write: TheWrite) -> HttpResponse:
    """Again: the same answer. Opt-outs stay, as digests that name nobody."""

    async def work(unit: Unit) -> dict[str, Any]:
        return (await linking.erase(unit, subject_id, force=request.force, key_id=write.caller.key_id))._asdict()

    return await write.perform(work, 200)
