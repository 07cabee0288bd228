"""What people decided: consents, refusals, withdrawals, objections."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response as HttpResponse
from pydantic import Discriminator, Field, Tag

from app.doors.dependencies import JSON_BODY, TheWrite, Write, encoded, scoped
from app.doors.problems import responses
from app.doors.quick import quick_route
from app.doors.recorded import RecordResponse, told
from app.doors.words import (
    Actor,
    Evidence,
    Flag,
    Instant,
    Key,
    Language,
    Method,
    NamedSubject,
    Request,
)
from app.judging import A_NO, Choice, ChoiceWord
from app.recording import Circumstances, record_choices
from app.writing import Unit

_SCOPES = ("choices", "withdraw")

router = APIRouter(
    prefix="/v1/choices",
    route_class=quick_route(*_SCOPES, given=lambda request, caller, now: (Write(request, caller, now, None),)),
    tags=["choices"],
    responses=responses(400, 401, 403, 404, 409, 410, 413, 415, 422, 503),
)


class PurposeChoice(Request):
    """A choice about one purpose; without a channel a no reaches all of them, a give names one."""

    purpose: Key = Field(examples=["offers"])
    channel: Key | None = Field(default=None, examples=["email"])
    choice: ChoiceWord = Field(examples=["withdraw"])
    explicit: Flag = False


class ScopeChoice(Request):
    """An objection to all marketing (Art. 21(2)), or to automated processing, or its withdrawal."""

    scope: Literal["all_marketing", "automation"] = Field(examples=["all_marketing"])
    channel: Key | None = None
    choice: ChoiceWord = Field(examples=["object"])


def _about(value: Any) -> str:
    has_scope = "scope" in value if isinstance(value, dict) else hasattr(value, "scope")
    return "ScopeChoice" if has_scope else "PurposeChoice"


AnyChoice = Annotated[
    Annotated[PurposeChoice, Tag("PurposeChoice")] | Annotated[ScopeChoice, Tag("ScopeChoice")], Discriminator(_about)
]


class ChoicesRequest(Request):
    """1 to 100 choices of one person, made at one instant: all are recorded, or none."""

    subject: NamedSubject = Field(examples=[{"type": "email", "id": "ada@example.com"}])
    choices: list[AnyChoice] = Field(min_length=1, max_length=100)
    notice: Key | None = Field(
        default=None, description="The notice version shown; a consent needs it.", examples=["2026-11"]
    )
    language: Language | None = None
    method: Method | None = Field(
        default=None, description="How it was said; a consent needs it.", examples=["web_form"]
    )
    actor: Actor | None = None
    occurred_at: Instant | None = Field(
        default=None, description="When the person acted; by default now.", examples=[None]
    )
    evidence: Evidence | None = Field(
        default=None, description="Wording, form, ticket: kept sealed.", examples=[{"form": "checkout"}]
    )


@router.post(
    "",
    status_code=201,
    response_model=RecordResponse,
    summary="Record choices",
    dependencies=[scoped(*_SCOPES), JSON_BODY],
)
async def choices(request: ChoicesRequest, write: TheWrite) -> HttpResponse:
    """A key with the scope `withdraw` alone may record refuse, withdraw and object."""
    if any(choice.choice not in A_NO for choice in request.choices):
        write.caller.require("choices")
    actor = request.actor
    how = Circumstances(
        key_id=write.caller.key_id,
        method=request.method,
        notice=request.notice,
        language=request.language,
        actor_kind=actor.kind if actor else None,
        actor_reference=actor.reference if actor else None,
        evidence=request.evidence,
        occurred_at=request.occurred_at,
    )

    subject, said = request.subject.as_subject(), [_choice(choice) for choice in request.choices]
    if write.is_once or subject.subject_id is not None:

        async def record(unit: Unit) -> dict[str, Any]:
            return told(await record_choices(unit, subject, said, how))

        return await write.perform(record, 201)
    return encoded(told(await write.record(subject, said, how)), 201)


def _choice(choice: PurposeChoice | ScopeChoice) -> Choice:
    if isinstance(choice, ScopeChoice):
        return Choice(choice.choice, scope=choice.scope, channel=choice.channel)
    return Choice(choice.choice, purpose=choice.purpose, channel=choice.channel, explicit=choice.explicit)
