"""How a question is answered: the first step that settles it gives the reason. Deny overrides; a yes needs a ground."""

from collections.abc import Callable, Sequence
from datetime import datetime

from app.decision.catalogue import MARKETING, Catalogue, Ground, Purpose, Timeline
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
from app.decision.model import Consideration, Decision, Event, Person, Question
from app.decision.period import after, parse_period
from app.decision.plan import Plan, no, plan_of

_KEPT_FROM_CHILDREN = {
    "excluded": ("direct_marketing", "marketing_profiling", "analytics", "automated_decision"),
    "guardian": ("automated_decision",),
}
_NO_LIMITS = Limits()


def decide(question: Question, person: Person, timeline: Timeline, now: datetime, *, explain: bool = False) -> Decision:
    """Answer a question from the person's history, the catalogue and the clock (domain 4). Pure: the same inputs
    give the same answer, in whatever order and however often the events stand in the history. `considered` is told
    only to explain."""
    own, as_of = person.own, question.as_of
    at = max([as_of or now, *own.erasures]) if own.erasures else as_of or now  # not back behind an erasure
    catalogue = timeline.in_force(at)
    if catalogue is None:
        return Decision(False, "no_catalogue", valid_until=timeline.next_start(at))
    return _Evaluation(question, person, timeline, catalogue, at, considered=[] if explain else None).decide()


class _Evaluation:
    """One question about one person, at one instant, under one catalogue."""

    plan: Plan
    purpose: Purpose
    hearing: Hearing
    case: Case

    def __init__(
        self,
        question: Question,
        person: Person,
        timeline: Timeline,
        catalogue: Catalogue,
        at: datetime,
        *,
        considered: list[Consideration] | None,
    ) -> None:
        self.question = question
        self.person = person
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
        decision, reason, basis, failing, obligations, determining, valid_until, _, _ = settled
        for upcoming in (self.timeline.next_start(self.at), *self.horizon):
            if upcoming is not None and upcoming > self.at and (valid_until is None or upcoming < valid_until):
                valid_until = upcoming
        version, considered = self.catalogue.version, tuple(self.considered or ())
        return Decision(decision, reason, basis, failing, obligations, determining, valid_until, version, considered)

    # 1. Catalogue

    def _catalogue_step(self) -> Decision | None:
        question, at = self.question, self.at
        if question.as_of is not None or question.data_collected_at is not None:
            question = question._replace(as_of=None, data_collected_at=None)
        plan = plan_of(question, self.catalogue)
        if isinstance(plan, Decision):
            return plan
        self.plan, self.purpose = plan, plan.purpose
        if plan.review_ends is not None:
            if plan.review_ends <= at:
                return no("recipient_not_reviewed")
            self.horizon.append(plan.review_ends)
        settled = plan.fault or self._retained() or (None if plan.grounds else no("no_basis_in_jurisdiction"))
        if settled is None:
            self.hearing = Hearing(self.person, self.timeline, self.question.as_of and at)
            self.case = Case(question.purpose, question.channel, plan, self.hearing, self.timeline, at)
        return settled

    def _retained(self) -> Decision | None:
        collected = self.question.data_collected_at
        if collected is None or self.purpose.retention is None:
            return None
        ends = after(collected, parse_period(self.purpose.retention))
        if ends <= self.at:
            return no("retention_elapsed")
        self.horizon.append(ends)
        return None

    # 2. Person

    def _person_step(self) -> Decision | None:
        own = self.hearing.own
        if self.purpose.kind in MARKETING and own.is_suppressed(self.case.key, self.case.channel):
            return no("suppressed")
        child = own.child
        if child is None or child.until is None or child.until <= self.at:
            return None
        if self.purpose.kind not in _KEPT_FROM_CHILDREN[self.catalogue.children]:
            return None
        self.horizon.append(child.until)
        return no("child", child)

    # 3. Restriction (Art. 18)

    def _restriction_step(self) -> Decision | None:
        restrictions = self.hearing.open_restrictions(self.plan.data_categories)
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
        return None if self._holds(examine_choice) else no("restricted", restriction)

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
            return no("objected_to_marketing", *scopes, *noes)
        if noes:
            return self._marketing_no(noes[-1])
        if self.purpose.kind == "marketing_profiling":
            automation = self.hearing.automation_objections_in_force(self.case.key)
            if automation:
                return no("automation_opt_out", *automation)
        return None

    def _marketing_no(self, last: Event) -> Decision:
        if last.type == "choice.object" or not self.purpose.rests_on("consent"):
            return no("objected_to_marketing", last)
        return no("consent_refused" if last.type == "choice.refuse" else "consent_withdrawn", last)

    # 5. Automation (Art. 22, and the notice's own opt-out)

    def _automation_step(self) -> Decision | None:
        automation = self.hearing.automation_objections_in_force(self.case.key)
        if self.purpose.kind == "automated_decision":
            if automation:
                return no("automation_opt_out", *automation)
        elif automation and self.purpose.kind == "direct_marketing":
            self.obligations.append("no_segmentation")
        elif automation and self.question.automated:
            self.obligations.append("human_review")
        return None

    # 6. Special categories (Art. 9)

    def _special_categories_step(self) -> Decision | None:
        if not self.plan.is_special:
            return None
        limits = self.limits
        self.limits = limits._replace(explicit=True, implied=False)
        if self._holds(examine_choice):
            return None
        self.limits = limits
        said = self.case.consent
        if self._holds(examine_unless_explicit):
            return no("consent_not_explicit", *([said.give] if said.give is not None else []))
        return no(said.no_reason, said.no) if said.no is not None else no("special_category")

    # 7. Global Privacy Control

    def _gpc_step(self) -> Decision | None:
        if not (self.question.gpc and self.purpose.honours_gpc):
            return None
        give = self.case.consent.give
        return None if give is not None and give.explicit and self._holds(examine_choice) else no("gpc_opt_out")

    # 8. Grounds (Art. 6(1))

    def _grounds_step(self) -> Decision:
        arisen, grounds = [], self.plan.grounds
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
        return no(first.reason, *first.events)

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
