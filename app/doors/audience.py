"""Who may be addressed for a purpose: a list filtered, or everybody with a yes as a stream."""

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response as HttpResponse
from pydantic import Field

from app.asking import require_revision
from app.audience import Audience, Filtered, Member, filter_subjects
from app.changes import cursor_of
from app.decision.model import Question
from app.decision.refusal import Invalid
from app.decision_log import Answered
from app.doors.dependencies import JSON_BODY, Reading, TheReading, encoded, scoped
from app.doors.problems import responses
from app.doors.streaming import MEDIA_TYPE, encode_lines, streamed
from app.doors.strict import StrictRoute
from app.doors.words import Flag, Jurisdiction, Key, NamedSubject, Request, Response, Revision
from app.storage.ledger import Head

router = APIRouter(
    prefix="/v1/audience",
    route_class=StrictRoute,
    tags=["audience"],
    dependencies=[scoped("audience"), JSON_BODY],
    responses=responses(400, 401, 403, 409, 413, 415, 422, 503),
)


class AudienceRequest(Request):
    """The question that is asked about everybody."""

    purpose: Key = Field(examples=["offers"])
    channel: Key | None = Field(default=None, examples=["email"])
    data_categories: Annotated[list[Key], Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="What is used; by default all that the purpose declares.", examples=[["email"]]
    )
    recipient: Key | None = Field(default=None, description="A third party the data would go to.", examples=[None])
    jurisdiction: Jurisdiction | None = Field(default=None, description="Where these people are.", examples=["DE"])
    automated: Flag = Field(default=False, description="Whether this is solely automated.")
    at_least: Revision | None = Field(default=None, description="A revision the answer must include.", examples=[None])

    def as_question(self) -> Question:
        """The question."""
        categories = self.data_categories
        return Question(
            purpose=self.purpose,
            data_categories=None if categories is None else tuple(dict.fromkeys(categories)),
            channel=self.channel,
            recipient=self.recipient,
            jurisdiction=self.jurisdiction,
            automated=self.automated,
        )


class FilterRequest(AudienceRequest):
    """1 to 10,000 subjects to ask about. One whose identifier is wrong is denied as `invalid_question`."""

    subjects: list[NamedSubject] = Field(
        min_length=1, max_length=10_000, examples=[[{"type": "email", "id": "ada@example.com"}]]
    )
    denied: Literal["list", "omit"] = Field(default="list", description="Whether to tell who is denied, and why.")


class ExportRequest(AudienceRequest):
    """Everybody with a yes, under their identifiers of one type."""

    identifier_type: Key = Field(examples=["email"])


class DeniedSubject(Response):
    """A subject with a no."""

    subject: NamedSubject
    reason: str


class FilterResponse(Response):
    """The subjects with a yes and with a no, each in the order of the request, all at one revision. `obligations` are
    those of the allowed subjects, one list for each."""

    revision: str
    allowed: list[NamedSubject]
    obligations: list[list[str]]
    denied: list[DeniedSubject] | None = None


@router.post("/filter", response_model=FilterResponse, summary="Keep those of a list who may be addressed")
async def filter_list(request: FilterRequest, reading: TheReading) -> HttpResponse:
    """Each is answered as by a check."""
    named = [subject.as_subject() for subject in request.subjects]
    async with reading.begin_long() as (connection, head):
        if request.at_least is not None:
            require_revision(head, request.at_least)
        filtered = await filter_subjects(connection, reading.store, named, request.as_question(), now=reading.now)
    await _log(reading, filtered.answered, head)
    return encoded(_told(request, filtered))


def _told(request: FilterRequest, filtered: Filtered) -> dict[str, Any]:
    allowed, obligations, denied = [], [], []
    for subject, decision in zip(request.subjects, filtered.decisions, strict=True):
        sent = subject.model_dump()
        if isinstance(decision, Invalid):
            denied.append({"subject": sent, "reason": "invalid_question"})
        elif decision.decision:
            allowed.append(sent)
            obligations.append(decision.obligations)
        else:
            denied.append({"subject": sent, "reason": decision.reason})
    told = {"revision": filtered.head.revision, "allowed": allowed, "obligations": obligations}
    return told if request.denied == "omit" else told | {"denied": denied}


@router.post(
    "/export",
    response_class=HttpResponse,
    summary="Stream everybody who may be addressed",
    responses={
        200: {
            "description": 'A line `{"subject": {type, id}, "subject_id", "obligations"}` for each identifier, and a '
            'last one `{"end": true, "count", "denied", "revision", "changes_cursor"}`: without it the stream is '
            "incomplete.",
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
        }
    },
)
async def export(request: ExportRequest, reading: TheReading) -> HttpResponse:
    """One snapshot. To stay right afterwards, read the changes after `changes_cursor`. `denied` counts the reasons."""
    return await streamed(_lines(request, reading))


async def _lines(request: ExportRequest, reading: TheReading) -> AsyncGenerator[bytes]:
    async with reading.begin_long() as (connection, head):
        if request.at_least is not None:
            require_revision(head, request.at_least)
        question = request.as_question()
        audience = await Audience.begin(connection, reading.store, question, request.identifier_type, now=reading.now)
        yield b""
        async for members in audience.members(connection, now=reading.now):
            await _log(reading, audience.answered, head)
            yield encode_lines([_line(member) for member in members])
        cursor = await cursor_of(connection, reading.store, audience.head)
        end = {"end": True, "count": audience.count, "denied": audience.denied}
        yield encode_lines([end | {"revision": audience.head.revision, "changes_cursor": cursor}])


async def _log(reading: Reading, answered: Sequence[Answered], head: Head) -> None:
    """Put what was answered into the decision log."""
    catalogue, caller = reading.store.known[1].judging(reading.now), reading.caller
    if caller.log is not None and catalogue is not None:
        caller.log.note(answered, key_id=caller.key_id, head=head, catalogue=catalogue, at=reading.now)
        await caller.log.make_room()


def _line(member: Member) -> dict[str, Any]:
    subject = {"type": member.type, "id": member.id}
    return {"subject": subject, "subject_id": member.subject_id, "obligations": member.obligations}
