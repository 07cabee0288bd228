"""What people write back, handed on by the provider of text messages and by the mailbox."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response as HttpResponse
from pydantic import AfterValidator, Field, StrictStr
from starlette.exceptions import HTTPException

from app.addressing import Subject
from app.decision.catalogue import Catalogue
from app.decision.refusal import Invalid
from app.doors.dependencies import JSON_BODY, TheWrite, scoped
from app.doors.pages import DEFAULT_LANGUAGE, LANGUAGES, messages
from app.doors.problems import responses
from app.doors.recorded import RecordedEvent
from app.doors.strict import StrictRoute
from app.doors.words import LANGUAGE_TAG, Instant, Response, clean
from app.doors.words import Request as Body
from app.inbound import read_mail, read_word, receive_mail, receive_text, sender_of
from app.links import Minter, Wanted
from app.recording import Circumstances
from app.writing import Unit

router = APIRouter(
    prefix="/v1/inbound",
    route_class=StrictRoute,
    tags=["unsubscribe"],
    responses=responses(400, 401, 403, 409, 413, 415, 422, 503),
)


def _language(text: str) -> str | None:
    """A language, if it is one: no stop is lost to what a provider says of languages."""
    return text if re.fullmatch(LANGUAGE_TAG, text) else None


class TextMessage(Body):
    """A text message that came in."""

    sender: StrictStr = Field(alias="from", max_length=64, examples=["+4915112345678"])
    body: Annotated[StrictStr, Field(max_length=4096, examples=["STOP"]), AfterValidator(clean)]
    occurred_at: Instant | None = Field(default=None, description="When it was sent; by default now.", examples=[None])
    language: Annotated[StrictStr, AfterValidator(_language)] | None = Field(
        default=None, description="Of the reply: en or de. What is no language counts as none.", examples=["en"]
    )


class InboundResponse(Response):
    """What it was taken for, what to answer (once, if anything), and what was recorded. `possible_stop` wants to be
    looked at by somebody; until then marketing on the channel pauses."""

    recognised: str | None
    reply: str | None
    events: list[RecordedEvent]


class MailResponse(InboundResponse):
    """`found_in` is where the token was: subject, address or body."""

    found_in: str | None


@router.post(
    "/sms",
    response_model=InboundResponse,
    summary="Hand on a text message",
    dependencies=[scoped("withdraw", "choices"), JSON_BODY],
)
async def sms(message: TextMessage, request: Request, write: TheWrite) -> HttpResponse:
    """STOP and its like as a whole message stop all marketing by text message; START gives back the consents that it
    ended; HELP only gets an answer."""
    word = read_word(message.body, request.app.state.settings.sms_stop_words)
    how = Circumstances(
        write.caller.key_id,
        method="sms",
        actor_kind="subject",
        language=message.language,
        evidence={"body": message.body},
        occurred_at=message.occurred_at,
    )

    async def work(unit: Unit) -> dict[str, Any]:
        received = await receive_text(unit, sender_of(message.sender, unit.catalogue), word, how)
        changed = any(event.effective for event in received.events)
        return {
            "recognised": word,
            "reply": _reply(word, message.language, unit.catalogue, changed=changed),
            "events": [event._asdict() for event in received.events],
        }

    return await write.perform(work, 200)


def _reply(word: str | None, language: str | None, catalogue: Catalogue, *, changed: bool) -> str | None:
    """What to answer: one text, and none when nothing changed (a stop said twice is not answered twice)."""
    said = messages(language if language in LANGUAGES else DEFAULT_LANGUAGE)["sms"]
    name = word if changed or word == "help" else "not_started" if word == "start" else None
    if name is None:
        return None
    controller = catalogue.controller
    text = str(said[name])
    if name == "help" and controller is not None and controller.contact:
        text += " " + str(said["contact"]).format(contact=controller.contact.removeprefix("mailto:"))
    return f"{controller.name}: {text}" if controller is not None else text


async def _raw_mail(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "message/rfc822":
        raise HTTPException(415)
    return await request.body()


@router.post(
    "/email",
    response_model=MailResponse,
    summary="Hand on a mail",
    dependencies=[scoped("withdraw", "choices")],
    openapi_extra={
        "requestBody": {"required": True, "content": {"message/rfc822": {"schema": {"type": "string"}}}},
    },
)
async def email(raw: Annotated[bytes, Depends(_raw_mail)], request: Request, write: TheWrite) -> HttpResponse:
    """The raw message. Only its token says whom it is about; `From` proves nothing. Answers of machines are ignored.
    The reply to a mail without token has a link in it, and goes to the address the mail claims to come from."""
    store, settings = write.caller.store, request.app.state.settings
    mail = read_mail(raw, store.secrets)
    how = Circumstances(write.caller.key_id, method="email", actor_kind="subject", evidence={"found_in": mail.found_in})

    async def work(unit: Unit) -> dict[str, Any]:
        if mail.is_automatic or mail.token is None:
            reply = None if mail.is_automatic else _with_link(mail.sender, unit, settings.public_url)
            recognised = "automatic" if mail.is_automatic else None
            return {"recognised": recognised, "reply": reply, "events": [], "found_in": None}
        events = await receive_mail(unit, mail.token, how)
        told = [event._asdict() for event in events]
        return {"recognised": "stop", "reply": None, "events": told, "found_in": mail.found_in}

    return await write.perform(work, 200)


def _with_link(sender: str, unit: Unit, public_url: str) -> str | None:
    """An answer with a link for whoever reads the mail of the claimed sender."""
    types = unit.catalogue.identifier_types.items()
    type = next((name for name, declared in types if declared.channel == "email"), None)
    if type is None or not sender:
        return None
    minter = Minter(unit.catalogue, unit.store.secrets, public_url=public_url, mailbox=None)
    try:
        made = minter.mint(Wanted(Subject(type, sender), None, "email"))
    except Invalid:
        return None
    return str(messages(DEFAULT_LANGUAGE)["mail"]["open_the_link"]).format(url=made.url)
