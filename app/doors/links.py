"""Links for mails, made up to 1,000 at a time, and for people who are signed in."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response as HttpResponse
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision.refusal import Fault, Invalid, Refusal
from app.describing import reached_on
from app.doors.dependencies import JSON_BODY, Reading, TheReading, TheWrite, encoded, scoped
from app.doors.problems import ErrorItem, responses
from app.doors.strict import StrictRoute
from app.doors.words import Instant, Key, NamedSubject, Response, Text
from app.doors.words import Request as Body
from app.links import Made, Minter, Wanted, is_language
from app.preferring import VALID_FOR, Session, write_session
from app.writing import Unit, no_catalogue

router = APIRouter(
    prefix="/v1",
    route_class=StrictRoute,
    tags=["links"],
    responses=responses(400, 401, 403, 404, 409, 410, 413, 415, 422, 503),
)


class WantedLink(Body):
    """A link to make: whose, and what it stops. Without a purpose: all marketing on the channel."""

    subject: NamedSubject = Field(examples=[{"type": "email", "id": "ada@example.com"}])
    purpose: Key | None = Field(default=None, examples=["offers"])
    channel: Key | None = Field(default=None, examples=["email"])
    campaign: Text | None = Field(default=None, description="For the record, up to 30 octets.", examples=["spring"])
    language: str | None = Field(default=None, description="Of the pages: en or de.", examples=["en"])


class LinksRequest(Body):
    """1 to 1,000 links to make."""

    links: list[WantedLink] = Field(min_length=1, max_length=1000)


class Headers(Response):
    """Both headers of a mail, to be covered by its DKIM signature (RFC 8058, 4)."""

    list_unsubscribe: str = Field(alias="List-Unsubscribe")
    list_unsubscribe_post: str = Field(alias="List-Unsubscribe-Post")


class MadeLink(Response):
    """A link, the link to the preference page, and the headers; or what was wrong with the item."""

    url: str | None = None
    preferences_url: str | None = None
    headers: Headers | None = None
    errors: list[ErrorItem] | None = None


class LinksResponse(Response):
    """The links, in the order in which they were asked for."""

    links: list[MadeLink]


@router.post(
    "/unsubscribe-links",
    response_model=LinksResponse,
    response_model_exclude_unset=True,
    summary="Make up to 1,000 links to unsubscribe",
    dependencies=[scoped("links"), JSON_BODY],
)
async def unsubscribe_links(body: LinksRequest, request: Request, reading: TheReading) -> HttpResponse:
    """Links never expire. An item that could not be made has `errors` in the place of a link, the rest stand; if none
    could be made it is 422."""
    settings = request.app.state.settings
    async with reading.begin() as (connection, head):
        catalogue = (await reading.store.timeline(connection, head)).judging(reading.now)
        if catalogue is None:
            raise no_catalogue()
        minter = Minter(
            catalogue,
            reading.store.secrets,
            public_url=settings.public_url,
            mailbox=settings.unsubscribe_mailbox,
        )
        made = [await _make(connection, reading, minter, item, f"/links/{n}") for n, item in enumerate(body.links)]
    refused = [item for item in made if isinstance(item, Refusal)]
    if len(refused) == len(made):
        raise _together(refused)
    return encoded({"links": [_told(item) for item in made]})


class PreferencesRequest(Body):
    """Who is signed in."""

    subject: NamedSubject = Field(examples=[{"type": "customer", "id": "c-42"}])
    language: str | None = Field(default=None, description="Of the page: en or de.", examples=["en"])


class PreferencesResponse(Response):
    """The address of the page, for this person only, and when it ends."""

    url: str
    expires_at: Instant


@router.post(
    "/preference-links",
    response_model=PreferencesResponse,
    summary="Make a link to the preferences of somebody who is signed in",
    dependencies=[scoped("links"), JSON_BODY],
)
async def preference_links(body: PreferencesRequest, request: Request, write: TheWrite) -> HttpResponse:
    """The page shows what the person chose and lets them turn things on as well, so hand it to nobody else. It ends
    after half an hour. Somebody of whom nothing is on file becomes a subject."""
    public_url = request.app.state.settings.public_url
    if body.language is not None and not is_language(body.language):
        raise Invalid(Fault("/language", "invalid-language", "A language of the page is two letters, such as de."))

    async def make(unit: Unit) -> dict[str, Any]:
        state = await unit.hold(body.subject.as_subject())
        await unit.finish()
        expires_at = (unit.now + VALID_FOR).replace(microsecond=0)
        token = write_session(unit.store.secrets, Session(state.subject_id, expires_at, body.language))
        return {"url": f"{public_url}/preferences/{token}", "expires_at": expires_at}

    return await write.perform(make, 200)


async def _make(
    connection: AsyncConnection, reading: Reading, minter: Minter, item: WantedLink, pointer: str
) -> Made | Refusal:
    subject = item.subject.as_subject(f"{pointer}/subject")
    try:
        if subject.subject_id is not None:
            subject = await reached_on(connection, reading.store, subject, item.channel, minter.catalogue)
        return minter.mint(Wanted(subject, item.purpose, item.channel, item.campaign, item.language, pointer))
    except Refusal as refusal:
        return refusal


def _together(refused: list[Refusal]) -> Refusal:
    """One refusal of a request none of whose items could be made."""
    invalid = [fault for refusal in refused if isinstance(refusal, Invalid) for fault in refusal.faults]
    return Invalid(*invalid) if invalid else refused[0]


def _told(item: Made | Refusal) -> dict[str, Any]:
    if isinstance(item, Made):
        return item._asdict()
    faults = item.faults if isinstance(item, Invalid) else (Fault("/subject", item.slug, item.detail),)
    return {"errors": [fault._asdict() for fault in faults]}
