"""What the controller established: contracts, sales, restrictions, decisions on objections."""

from abc import ABC, abstractmethod
from datetime import UTC, datetime, time
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response as HttpResponse
from pydantic import Field

from app.doors.dependencies import JSON_BODY, TheWrite, scoped
from app.doors.problems import responses
from app.doors.recorded import RecordResponse, told
from app.doors.strict import StrictRoute
from app.doors.words import Actor, Day, Evidence, Flag, Instant, Key, NamedSubject, Request, Text, Words
from app.judging import Fact
from app.recording import Circumstances, record_facts
from app.writing import Unit

router = APIRouter(
    prefix="/v1/facts",
    route_class=StrictRoute,
    tags=["facts"],
    responses=responses(400, 401, 403, 404, 409, 410, 413, 415, 422, 503),
)


class _FactRequest(Request, ABC):
    occurred_at: Instant | None = Field(default=None, description="When it happened; by default now.", examples=[None])

    @abstractmethod
    def as_fact(self) -> Fact:
        """The fact; free text apart, to be sealed."""


class Contract(_FactRequest):
    """A contract began or ended (Art. 6(1)(b))."""

    fact: Literal["contract_started", "contract_ended"]
    reference: Text = Field(examples=["order-991"])

    def as_fact(self) -> Fact:
        return Fact(self.fact, self.occurred_at, reference=self.reference, sealed={"reference": self.reference})


class Sale(_FactRequest):
    """A sale; with both conditions true it carries the soft opt-in (Art. 13(2) ePrivacy)."""

    fact: Literal["sale"]
    reference: Text = Field(examples=["order-991"])
    opt_out_offered: Flag = False
    own_similar_products: Flag = False

    def as_fact(self) -> Fact:
        flags = {"opt_out_offered": self.opt_out_offered, "own_similar_products": self.own_similar_products}
        return Fact(
            self.fact,
            self.occurred_at,
            reference=self.reference,
            holds=all(flags.values()),
            flags=flags,
            sealed={"reference": self.reference},
        )


class Enquiry(_FactRequest):
    """The person asked about an offer (CASL s.10(10)(e))."""

    fact: Literal["enquiry"]
    reference: Text

    def as_fact(self) -> Fact:
        return Fact(self.fact, self.occurred_at, reference=self.reference, sealed={"reference": self.reference})


class Informed(_FactRequest):
    """The person was informed about data that came from elsewhere (Art. 14)."""

    fact: Literal["informed"]
    notice: Key | None = None

    def as_fact(self) -> Fact:
        return Fact(self.fact, self.occurred_at, notice=self.notice)


class Restriction(_FactRequest):
    """Processing is restricted, or no longer (Art. 18); without categories, for all data."""

    fact: Literal["restriction_started", "restriction_lifted"]
    data_categories: Annotated[list[Key], Field(min_length=1, max_length=200)] | None = None

    def as_fact(self) -> Fact:
        categories = None if self.data_categories is None else tuple(sorted(set(self.data_categories)))
        return Fact(self.fact, self.occurred_at, data_categories=categories)


class Child(_FactRequest):
    """The person counts as a child until 00:00 UTC of that date (Art. 8)."""

    fact: Literal["child"]
    until: Day = Field(examples=["2031-05-01"])
    guardian_authorised: Flag = False

    def as_fact(self) -> Fact:
        until = datetime.combine(self.until, time(), UTC)
        return Fact(self.fact, self.occurred_at, until=until, holds=self.guardian_authorised)


class ObjectionUpheld(_FactRequest):
    """An objection was examined and stands (Art. 21(1))."""

    fact: Literal["objection_upheld"]
    purpose: Key
    grounds: Words | None = None
    decided_by: Words | None = None

    def as_fact(self) -> Fact:
        sealed = {"grounds": self.grounds, "decided_by": self.decided_by}
        return Fact(self.fact, self.occurred_at, purpose=self.purpose, sealed={k: v for k, v in sealed.items() if v})


class ObjectionOverridden(_FactRequest):
    """Compelling grounds override the objections before it (Art. 21(1)); never for marketing."""

    fact: Literal["objection_overridden"]
    purpose: Key
    grounds: Words
    decided_by: Words

    def as_fact(self) -> Fact:
        sealed = {"grounds": self.grounds, "decided_by": self.decided_by}
        return Fact(self.fact, self.occurred_at, purpose=self.purpose, sealed=sealed)


class ConsentInvalidated(_FactRequest):
    """The consents given so far were never valid: they carry nothing and lift nothing."""

    fact: Literal["consent_invalidated"]
    purpose: Key
    channel: Key | None = None
    reason: Words

    def as_fact(self) -> Fact:
        return Fact(
            self.fact, self.occurred_at, purpose=self.purpose, channel=self.channel, sealed={"reason": self.reason}
        )


AnyFact = Annotated[
    Contract
    | Sale
    | Enquiry
    | Informed
    | Restriction
    | Child
    | ObjectionUpheld
    | ObjectionOverridden
    | ConsentInvalidated,
    Field(discriminator="fact"),
]
_DECIDED = (ObjectionUpheld, ObjectionOverridden, ConsentInvalidated)


class FactsRequest(Request):
    """1 to 100 facts about one person: all are recorded, or none."""

    subject: NamedSubject = Field(examples=[{"type": "customer", "id": "c-42"}])
    facts: list[AnyFact] = Field(
        min_length=1, max_length=100, examples=[[{"fact": "contract_started", "reference": "order-991"}]]
    )
    actor: Actor | None = None
    evidence: Evidence | None = Field(default=None, description="Kept sealed.", examples=[None])


@router.post(
    "",
    status_code=201,
    response_model=RecordResponse,
    summary="Record facts",
    dependencies=[scoped("facts", "facts:decide"), JSON_BODY],
)
async def facts(request: FactsRequest, write: TheWrite) -> HttpResponse:
    """Decisions on objections and invalidations need the scope `facts:decide`, all others `facts`."""
    for fact in request.facts:
        write.caller.require("facts:decide" if isinstance(fact, _DECIDED) else "facts")
    actor = request.actor
    how = Circumstances(
        key_id=write.caller.key_id,
        actor_kind=actor.kind if actor else None,
        actor_reference=actor.reference if actor else None,
        evidence=request.evidence,
    )

    async def record(unit: Unit) -> dict[str, Any]:
        return told(await record_facts(unit, request.subject.as_subject(), [f.as_fact() for f in request.facts], how))

    return await write.perform(record, 201)
