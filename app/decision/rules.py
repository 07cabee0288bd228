"""How a question is answered: the first step that settles it gives the reason. Deny overrides; a yes needs a ground."""

from collections.abc import Callable, Sequence
from datetime import datetime

from app.decision.catalogue import MARKETING, Catalogue, Ground, Purpose, Recipient, Timeline
from app.decision.consent import consent_on
from app.decision.grounds import (
    Case,
    Finding,
    Limits,
    examine,
    examine_choice,
    examine_unless_explicit,
    first_of,
)
from app.decision.history import Hearing
from app.decision.jurisdictions import lies_within
from app.decision.model import Consideration, Decision, Event, Person, Question
from app.decision.period import after, earliest, midnight, parse_period

_GROUND_ORDER = ("contract", "legal_obligation", "vital_interest", "public_task", "consent", "legitimate_interest")
_KEPT_FROM_CHILDREN = {
    "excluded": ("direct_marketing", "marketing_profiling", "analytics", "automated_decision"),
    "guardian": ("automated_decision",),
}
_REVIEW_LASTS = parse_period("P1Y")
_NO_LIMITS = Limits()


def decide(question: Question, person: Person, timeline: Timeline, now: datetime, *, explain: bool = False) -> Decision:
    """Answer a question from the person's history, the catalogue and the clock (domain 4). Pure: the same inputs
    give the same answer, in whatever order and however often the events stand in the history. `considered` is told
    only to explain."""
    at = max([question.as_of or now, *person.own.erasures])  # as_of does not reach back behind an erasure
    catalogue = timeline.in_force(at)
    if catalogue is None:
        return Decision(False, "no_catalogue")
    hearing = Hearing(person, timeline, at if question.as_of is not None else None)
    return _Evaluation(question, hearing, timeline, catalogue, at, considered=[] if explain else None).decide()


class _Evaluation:
    """One question against one history, at one instant, under one catalogue."""

    purpose: Purpose
    data_categories: tuple[str, ...]
    case: Case

    def __init__(
        self,
        question: Question,
        hearing: Hearing,
        timeline: Timeline,
        catalogue: Catalogue,
        at: datetime,
        *,
        considered: list[Consideration] | None,
    ) -> None:
        self.question = question
        self.hearing = hearing
        self.timeline = timeline
        self.catalogue = catalogue
        self.at = at
        self.limits = _NO_LIMITS
        self.exempt = False  # restricted, and may go on all the same
        self.obligations: list[str] = []
        self.considered = considered  # None: nobody asked
        self.horizon: list[datetime] = []  # instants at which time alone may change the answer

    def decide(self) -> Decision:
        """Take the steps in order; the first that settles the question gives the answer."""
        for name, step in _STEPS:
            settled = step(self)
            if self.considered is not None:
                reason = settled.reason if settled is not None else None
                self.considered.append(Consideration(name, settled is None or settled.decision, reason))
            if settled is not None:
                return self._finish(settled)
        return self._finish(self._grounds_step())

    def _finish(self, settled: Decision) -> Decision:
        upcoming = [self.timeline.next_start(self.at), settled.valid_until, *self.horizon]
        return settled._replace(
            valid_until=earliest(instant for instant in upcoming if instant is not None and instant > self.at),
            catalogue_version=self.catalogue.version,
            considered=tuple(self.considered or ()),
        )

    # 1. Catalogue

    def _catalogue_step(self) -> Decision | None:
        question = self.question
        purpose = self.catalogue.purposes.get(question.purpose)
        if purpose is None:
            return _no("unknown_purpose")
        if not purpose.enabled:
            return _no("purpose_disabled")
        self.purpose = purpose
        if not purpose.personal:
            return Decision(True, "not_personal_data")
        asked = question.data_categories
        self.data_categories = purpose.data_categories if asked is None else asked
        settled = self._covered() or self._channel_declared() or self._recipient_declared() or self._retained()
        if settled is not None:
            return settled
        jurisdiction = question.jurisdiction or self.catalogue.default_jurisdiction
        grounds = purpose.grounds_in(jurisdiction)
        if not grounds:
            return _no("no_basis_in_jurisdiction")
        said = consent_on(self.hearing, question.purpose, question.channel, purpose)
        self.case = Case(
            question.purpose,
            question.channel,
            purpose,
            jurisdiction,
            grounds,
            self.hearing,
            said,
            self.timeline,
            self.at,
        )
        return None

    def _covered(self) -> Decision | None:
        unknown = tuple(c for c in self.data_categories if c not in self.catalogue.data_categories)
        if unknown:
            return _no("unknown_data_category", failing=unknown)
        uncovered = tuple(c for c in self.data_categories if c not in self.purpose.data_categories)
        return _no("data_category_not_covered", failing=uncovered) if uncovered else None

    def _channel_declared(self) -> Decision | None:
        channel, declared = self.question.channel, self.purpose.channels or ()
        if channel is None:
            return _no("channel_required") if declared else None
        return None if channel in declared else _no("channel_not_declared")

    def _recipient_declared(self) -> Decision | None:
        key = self.question.recipient
        if key is None:
            return None
        recipient = self.catalogue.recipients.get(key)
        if recipient is None:
            return _no("recipient_not_declared")
        fault = self._fault_of(recipient)
        if fault is not None:
            return _no(fault)
        if key not in self.purpose.recipients:
            return _no("recipient_not_declared")
        if recipient.data_categories is None:
            return None
        withheld = tuple(c for c in self.data_categories if c not in recipient.data_categories)
        return _no("recipient_not_declared", failing=withheld) if withheld else None

    def _fault_of(self, recipient: Recipient) -> str | None:
        if recipient.role == "processor":
            if recipient.own_purposes:
                return "recipient_own_purposes"
            if recipient.contract is None or recipient.reviewed_on is None:
                return "recipient_not_reviewed"
            review_ends = after(midnight(recipient.reviewed_on), _REVIEW_LASTS)
            if review_ends <= self.at:
                return "recipient_not_reviewed"
            self.horizon.append(review_ends)
        if not lies_within(recipient.country, self.catalogue.home) and recipient.transfer_safeguard is None:
            return "no_transfer_safeguard"
        return None

    def _retained(self) -> Decision | None:
        collected = self.question.data_collected_at
        if collected is None or self.purpose.retention is None:
            return None
        ends = after(collected, parse_period(self.purpose.retention))
        if ends <= self.at:
            return _no("retention_elapsed")
        self.horizon.append(ends)
        return None

    # 2. Person

    def _person_step(self) -> Decision | None:
        own = self.hearing.own
        if self.purpose.kind in MARKETING and own.erased_at is not None:
            give = own.latest_give(self.case.key, self.case.channel)
            if give is None or give.at <= own.erased_at:
                return _no("suppressed")
        child = own.child
        if child is None or child.until is None or child.until <= self.at:
            return None
        if self.purpose.kind not in _KEPT_FROM_CHILDREN[self.catalogue.children]:
            return None
        self.horizon.append(child.until)
        return _no("child", child)

    # 3. Restriction (Art. 18)

    def _restriction_step(self) -> Decision | None:
        restrictions = self.hearing.open_restrictions(self.data_categories)
        if not restrictions:
            return None
        restriction = max(restrictions, key=lambda e: e.order)
        if self.question.operation == "store":
            obligations = self._obligations_of_kind()
            return Decision(True, "restriction_storage", obligations=obligations, determining=(restriction,))
        self.limits = Limits(implied=False)
        if self.purpose.restriction_exempt is not None:
            self.exempt = True
            return None
        self.limits = self.limits._replace(newer_than=restriction)
        return None if self._holds(examine_choice) else _no("restricted", restriction)

    def _holds(self, examine: Callable[[Case, Ground, Limits], Finding]) -> bool:
        """Whether a consent holds within the limits; if so, the answer may change when the last one ends."""
        findings = [examine(self.case, ground, self.limits) for ground in self.case.consent_grounds]
        ends = [finding.until for finding in findings if finding.holds]
        if ends and None not in ends:
            self.horizon.append(max(end for end in ends if end is not None))
        return bool(ends)

    # 4. Marketing (Art. 21(2), (3))

    def _marketing_step(self) -> Decision | None:
        if self.purpose.kind not in MARKETING:
            return None
        scopes = self.hearing.marketing_objections_in_force(self.case.key, self.case.channel)
        noes = self.case.noes
        if scopes:
            return _no("objected_to_marketing", *scopes, *noes)
        if noes:
            return self._marketing_no(noes[-1])
        if self.purpose.kind == "marketing_profiling":
            automation = self.hearing.automation_objections_in_force(self.case.key)
            if automation:
                return _no("automation_opt_out", *automation)
        return None

    def _marketing_no(self, last: Event) -> Decision:
        if last.type == "choice.object" or not self.purpose.rests_on("consent"):
            return _no("objected_to_marketing", last)
        return _no("consent_refused" if last.type == "choice.refuse" else "consent_withdrawn", last)

    # 5. Automation (Art. 22, and the notice's own opt-out)

    def _automation_step(self) -> Decision | None:
        automation = self.hearing.automation_objections_in_force(self.case.key)
        if self.purpose.kind == "automated_decision":
            if automation:
                return _no("automation_opt_out", *automation)
        elif automation and self.purpose.kind == "direct_marketing":
            self.obligations.append("no_segmentation")
        elif automation and self.question.automated:
            self.obligations.append("human_review")
        return None

    # 6. Special categories (Art. 9)

    def _special_categories_step(self) -> Decision | None:
        if not any(self.catalogue.data_categories[c].special for c in self.data_categories):
            return None
        limits = self.limits
        self.limits = limits._replace(explicit=True, implied=False)
        if self._holds(examine_choice):
            return None
        self.limits = limits
        said = self.case.consent
        if self._holds(examine_unless_explicit):
            return _no("consent_not_explicit", *([said.give] if said.give is not None else []))
        return _no(said.no_reason, said.no) if said.no is not None else _no("special_category")

    # 7. Global Privacy Control

    def _gpc_step(self) -> Decision | None:
        if not (self.question.gpc and self.purpose.honours_gpc):
            return None
        give = self.case.consent.give
        return None if give is not None and give.explicit and self._holds(examine_choice) else _no("gpc_opt_out")

    # 8. Grounds (Art. 6(1))

    def _grounds_step(self) -> Decision:
        arisen = []
        grounds = sorted(self.case.grounds, key=lambda g: _GROUND_ORDER.index(g.basis))
        for n, ground in enumerate(grounds):
            finding = examine(self.case, ground, self.limits)
            if self.considered is not None:
                told = Consideration("ground", finding.holds, finding.reason, ground.basis, ground.reference)
                self.considered.append(told)
            if finding.holds:
                until = self._lasts(ground, finding, grounds[n + 1 :])
                return self._yes(ground, finding._replace(until=until))
            arisen.append(finding)
        first = first_of(arisen)
        if first.reason != "objected":  # nothing that time ends gives an earlier reason
            ends = [f.until for f in arisen if f is first or f.reason != "channel_not_consented"]
            self.horizon += [end for end in ends if end is not None]
        return _no(first.reason, *first.events)

    def _lasts(self, ground: Ground, finding: Finding, others: Sequence[Ground]) -> datetime | None:
        """Until when time alone leaves the yes as it is: one of the grounds after this may carry on with the same."""
        until = finding.until
        for other in others:
            if until is None:
                break
            heir = examine(self.case, other, self.limits)
            if heir.holds and (heir.until is None or heir.until > until):
                same = (other.basis, heir.reason, heir.obligations)
                if same != (ground.basis, finding.reason, finding.obligations):
                    break
                until = heir.until
        return until

    def _yes(self, ground: Ground, finding: Finding) -> Decision:
        return Decision(
            True,
            "restriction_exempt" if self.exempt else finding.reason,
            basis=ground.basis,
            obligations=(*self._obligations_of_kind(), *self.obligations, *finding.obligations),
            determining=finding.events,
            valid_until=finding.until,
        )

    def _obligations_of_kind(self) -> tuple[str, ...]:
        if self.purpose.kind == "direct_marketing" and self.case.channel in ("email", "sms"):
            return ("unsubscribe_link",)
        return ("human_review", "contest") if self.purpose.kind == "automated_decision" else ()


_STEPS: tuple[tuple[str, Callable[[_Evaluation], Decision | None]], ...] = (
    ("catalogue", _Evaluation._catalogue_step),
    ("person", _Evaluation._person_step),
    ("restriction", _Evaluation._restriction_step),
    ("marketing", _Evaluation._marketing_step),
    ("automation", _Evaluation._automation_step),
    ("special_categories", _Evaluation._special_categories_step),
    ("gpc", _Evaluation._gpc_step),
)


def _no(reason: str, *events: Event, failing: tuple[str, ...] = ()) -> Decision:
    return Decision(False, reason, failing_data_categories=failing, determining=events)
