"""May we use this for that, about this person, now? One question, many, or everything at once."""

from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter
from fastapi.responses import Response as HttpResponse
from pydantic import Field, TypeAdapter, ValidationError, create_model

from app.asking import Answers, Asked, ask, ask_all
from app.decision.model import Question
from app.decision.refusal import Fault, Invalid
from app.decision_log import Answered
from app.doors.answers import noted, once, told
from app.doors.dependencies import JSON_BODY, Now, TheCaller, encoded, scoped
from app.doors.problems import ErrorItem, faults_of, responses
from app.doors.quick import quick_route
from app.doors.words import Flag, Instant, Jurisdiction, Key, NamedSubject, Request, Response, Revision, Text

router = APIRouter(
    prefix="/v1/check",
    route_class=quick_route("check", given=lambda _, caller, now: (caller, now)),
    tags=["check"],
    dependencies=[scoped("check"), JSON_BODY],
    responses=responses(400, 401, 403, 409, 413, 415, 422, 503),
)


class CheckRequest(Request):
    """A question; only subject and purpose are required."""

    subject: NamedSubject = Field(examples=[{"type": "customer", "id": "c-42"}])
    purpose: Key = Field(examples=["offers"])
    data_categories: Annotated[list[Key], Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="What is used; by default all that the purpose declares.", examples=[["email"]]
    )
    channel: Key | None = Field(default=None, examples=["email"])
    recipient: Key | None = Field(default=None, description="A third party the data would go to.", examples=[None])
    jurisdiction: Jurisdiction | None = Field(default=None, description="Where the person is.", examples=["DE"])
    operation: Literal["use", "store", "disclose"] = "use"
    automated: Flag = Field(default=False, description="Whether this is solely automated.")
    gpc: Flag = Field(default=False, description="Whether the browser sends Sec-GPC: 1.")
    data_collected_at: Instant | None = Field(default=None, examples=[None])
    as_of: Instant | None = Field(default=None, description="Ask what held then.", examples=[None])
    at_least: Revision | None = Field(default=None, description="A revision the answer must include.", examples=[None])
    explain: Flag = Field(default=False, description="Add `considered`: each step and ground, and why not.")


class BatchCheck(CheckRequest):
    """One check of a batch; `id` is the caller's own name for it, given back with the answer."""

    id: Text | None = Field(default=None, examples=["a"])


Defaults = create_model(  # type: ignore[call-overload]  # fields made of names
    "Defaults",
    __base__=Request,
    __doc__="Question fields for every check of the batch that does not say otherwise.",
    **{name: (Any, Field(default=None)) for name in CheckRequest.model_fields},
)


class DeterminingEvent(Response):
    """An event that determined the answer."""

    event_id: str
    type: str
    occurred_at: Instant
    notice: str | None


class Considered(Response):
    """One step or ground that was looked at."""

    step: str
    holds: bool
    reason: str | None
    basis: str | None
    reference: str | None


class CheckResponse(Response):
    """The answer, yes or no, with its reason. `basis` is null on every no, and on the two answers that need none."""

    decision: bool
    reason: str
    basis: str | None
    purpose: str
    channel: str | None
    failing_data_categories: list[str]
    obligations: list[str]
    determining: list[DeterminingEvent]
    valid_until: Instant | None
    revision: str
    catalogue_version: str | None
    decision_id: str
    evaluated_at: Instant
    hint: str | None = None
    considered: list[Considered] | None = None


class BatchItem(Response):
    """The answer to one check of a batch; `errors` only with the reason invalid_question."""

    id: str | None
    decision: bool
    reason: str
    basis: str | None = None
    purpose: str | None = None
    channel: str | None = None
    failing_data_categories: list[str] = Field(default_factory=list)
    obligations: list[str] = Field(default_factory=list)
    determining: list[DeterminingEvent] = Field(default_factory=list)
    valid_until: Instant | None = None
    hint: str | None = None
    considered: list[Considered] | None = None
    errors: list[ErrorItem] | None = None


class BatchResponse(Response):
    """The answers in the order of the checks, all at one revision."""

    revision: str
    catalogue_version: str
    decision_id: str
    evaluated_at: Instant
    decisions: list[BatchItem]


class BatchRequest(Request):
    """1 to 1,000 checks. An item that is malformed is answered `invalid_question`; the rest stand."""

    defaults: Defaults = Field(default_factory=Defaults)
    checks: list[Any] = Field(
        min_length=1,
        max_length=1000,
        examples=[
            [{"id": "a", "subject": {"type": "customer", "id": "c-42"}, "purpose": "offers", "channel": "email"}]
        ],
    )


class AllRequest(Request):
    """Every enabled purpose and channel about one person: what a storefront asks once per page."""

    subject: NamedSubject = Field(examples=[{"type": "customer", "id": "c-42"}])
    jurisdiction: Jurisdiction | None = Field(default=None, examples=["DE"])
    gpc: Flag = False


@router.post("", response_model=CheckResponse, summary="Ask one question")
async def check(request: CheckRequest, caller: TheCaller, now: Now) -> HttpResponse:
    """Answers 200 for every computed answer, yes or no."""
    asked, revisions = asked_in(request, now)
    answers = await _ask(caller, [asked], now, revisions)
    decision = answers.decisions[0]
    if isinstance(decision, Invalid):
        raise decision
    note = noted(caller, answers, [Answered(decision, asked.question, answers.subject_ids[0])], now)
    structlog.contextvars.bind_contextvars(**note)
    content = told(decision, asked, answers.catalogue)
    return encoded(content | once(answers, decision.catalogue_version, now, note))


@router.post("/batch", response_model=BatchResponse, summary="Ask up to 1,000 questions of one snapshot")
async def check_batch(request: BatchRequest, caller: TheCaller, now: Now) -> HttpResponse:
    """One revision for all answers."""
    defaults = request.defaults.model_dump(exclude_unset=True)
    items = [_read_item(item, defaults, now) for item in request.checks]
    asked = [item for item in items if not isinstance(item, Invalid)]
    answers = await _ask(caller, [a for a, _ in asked], now, [r for _, revisions in asked for r in revisions])
    decisions = iter(zip(asked, answers.decisions, answers.subject_ids, strict=True))
    tellings: list[dict[str, Any]] = []
    answered: list[Answered] = []
    for sent, item in zip(request.checks, items, strict=True):
        answer: dict[str, Any] = {"id": _id_of(sent)}
        if isinstance(item, Invalid):
            tellings.append(answer | _invalid(item))
            continue
        (question, _), decision, subject_id = next(decisions)
        if isinstance(decision, Invalid):
            tellings.append(answer | _invalid(decision))
            continue
        tellings.append(answer | told(decision, question, answers.catalogue))
        answered.append(Answered(decision, question.question, subject_id))
    return _together(caller, answers, now, tellings, answered)


@router.post("/all", response_model=BatchResponse, summary="Ask about every purpose and channel")
async def check_all(request: AllRequest, caller: TheCaller, now: Now) -> HttpResponse:
    """Every enabled purpose and channel of the catalogue in force, with its decision."""
    subject = request.subject.as_subject()
    answers, questions = await ask_all(
        caller.store, subject, jurisdiction=request.jurisdiction, gpc=request.gpc, now=now
    )
    await caller.confirm(None, answers.head, now)
    answered: list[Answered] = []
    for question, decision, subject_id in zip(questions, answers.decisions, answers.subject_ids, strict=True):
        if isinstance(decision, Invalid):
            raise decision
        answered.append(Answered(decision, question, subject_id))
    tellings = [{"id": None} | told(a.decision, Asked(subject, a.question), answers.catalogue) for a in answered]
    return _together(caller, answers, now, tellings, answered)


async def _ask(caller: TheCaller, asked: list[Asked], now: Now, revisions: list[str]) -> Answers:
    answers = await ask(caller.store, asked, now=now, at_least=revisions)
    await caller.confirm(None, answers.head, now)
    return answers


def asked_in(request: CheckRequest, now: Now) -> tuple[Asked, list[str]]:
    """The question in a request, and the revisions its answer must include. Raises Invalid."""
    if request.as_of is not None and request.as_of > now:
        raise Invalid(Fault("/as_of", "as-of-in-future", "What will hold is not known; as_of lies in the past."))
    categories = request.data_categories
    question = Question(
        purpose=request.purpose,
        data_categories=None if categories is None else tuple(dict.fromkeys(categories)),
        channel=request.channel,
        recipient=request.recipient,
        jurisdiction=request.jurisdiction,
        operation=request.operation,
        automated=request.automated,
        gpc=request.gpc,
        data_collected_at=request.data_collected_at,
        as_of=request.as_of,
    )
    asked = Asked(request.subject.as_subject(), question, request.explain)
    return asked, [request.at_least] if request.at_least else []


def _read_item(item: Any, defaults: dict[str, Any], now: Now) -> tuple[Asked, list[str]] | Invalid:
    if not isinstance(item, dict):
        return Invalid(Fault("", "invalid-question", "A check is an object."))
    body = defaults | item
    try:
        request = BatchCheck.model_validate(body)
        return asked_in(request, now)
    except ValidationError as error:
        found = [{**e, "loc": ("body", *e["loc"])} for e in error.errors(include_input=False, include_url=False)]
        return Invalid(*faults_of(found, body))
    except Invalid as invalid:
        return invalid


_ID: TypeAdapter[str | None] = TypeAdapter(Text | None)


def _id_of(item: Any) -> str | None:
    """The caller's own name for a check, given back so that answers can be told apart."""
    try:
        return _ID.validate_python(item.get("id")) if isinstance(item, dict) else None
    except ValidationError:
        return None


def _invalid(invalid: Invalid) -> dict[str, Any]:
    return {"decision": False, "reason": "invalid_question", "errors": [fault._asdict() for fault in invalid.faults]}


def _together(
    caller: TheCaller, answers: Answers, now: Now, tellings: list[dict[str, Any]], answered: list[Answered]
) -> HttpResponse:
    note = noted(caller, answers, answered, now)
    structlog.contextvars.bind_contextvars(**note)
    return encoded(once(answers, answers.catalogue.version, now, note) | {"decisions": tellings})
