"""Whether one ground holds for one case, and why or why not (domain 4, step 8)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from app.decision.catalogue import MARKETING, OBJECTABLE, Ground, Timeline
from app.decision.consent import Consent, consent_on, expiry, is_outdated
from app.decision.history import Hearing, History
from app.decision.model import Event
from app.decision.period import END_OF_TIME, after, earliest, midnight, parse_period
from app.decision.plan import Plan

_NEVER_SWAPPED = ("legal_obligation", "vital_interest")
_IMPLYING = ("sale", "enquiry")  # on a consent ground such a fact stands in for the choice (domain 2.1)
_MISSING = {
    "contract": "no_contract",
    "sale": "no_permission_for_channel",
    "enquiry": "no_permission_for_channel",
    "informed": "not_informed",
}
# Of what arose while no ground held, the first of these is the reason (domain 4, step 8).
_REASONS = (
    "objected",
    "consent_withdrawn",
    "consent_refused",
    "basis_added_after_refusal",
    "consent_invalid",
    "child_consent_invalid",
    "consent_not_explicit",
    "consent_outdated",
    "consent_expired",
    "consent_requested",
    "channel_not_consented",
    "no_contract",
    "no_permission_for_channel",
    "not_informed",
    "no_consent",
    "restricted",
    "special_category",
)


class Finding(NamedTuple):
    """Whether a ground holds, the reason either way, and until when time alone leaves it so."""

    holds: bool
    reason: str
    events: tuple[Event, ...] = ()
    until: datetime | None = None
    obligations: tuple[str, ...] = ()


class Limits(NamedTuple):
    """What alone may carry a yes: an explicit consent (special categories), a consent newer than a restriction; and
    whether a fact may stand in for a choice of consent."""

    explicit: bool = False
    newer_than: Event | None = None
    implied: bool = True

    @property
    def only_consent(self) -> bool:
        """Whether no other basis than consent may carry a yes."""
        return self.explicit or self.newer_than is not None


@dataclass(slots=True)
class Case:
    """One purpose and channel of one person, at an instant."""

    key: str
    channel: str | None
    plan: Plan
    hearing: Hearing
    timeline: Timeline
    at: datetime
    _noes: list[Event] | None = None
    _noes_anywhere: list[Event] | None = None
    _consent: Consent | None = None

    @property
    def consent(self) -> Consent:
        """What became of consent."""
        if self._consent is None:
            self._consent = consent_on(self.hearing, self.key, self.channel, self.plan.purpose)
        return self._consent

    @property
    def noes(self) -> list[Event]:
        """The noes in force, own and heard, oldest first."""
        if self._noes is None:
            self._noes = self.hearing.noes_in_force(self.key, self.channel)
        return self._noes

    @property
    def noes_anywhere(self) -> list[Event]:
        """The noes in force on any channel that the purpose has or a no was said on, oldest first."""
        if self._noes_anywhere is None and not self.hearing.has_noes(self.key):
            self._noes_anywhere = []
        if self._noes_anywhere is None:
            said_on = {no.channel for no in self.hearing.noes_in_force(self.key, None)} - {None}
            places = {*(self.plan.purpose.channels or (None,)), *said_on}
            found = {no for place in places for no in self.hearing.noes_in_force(self.key, place)}
            self._noes_anywhere = sorted(found, key=lambda e: e.order)
        return self._noes_anywhere

    @property
    def consent_grounds(self) -> list[Ground]:
        """The grounds here that are consent."""
        return [ground for ground in self.plan.grounds if ground.basis == "consent"]


def first_of(findings: Iterable[Finding]) -> Finding:
    """Of findings that do not hold, the one whose reason comes first."""
    return min(findings, key=lambda finding: _REASONS.index(finding.reason))


def examine(case: Case, ground: Ground, limits: Limits) -> Finding:
    """Whether the ground holds for the case."""
    if _added_after_refusal(case, ground):
        return Finding(False, "basis_added_after_refusal", tuple(case.noes_anywhere))
    if ground.basis == "consent":
        return examine_consent(case, ground, limits)
    if limits.only_consent:
        return Finding(False, "special_category" if limits.explicit else "restricted")
    if ground.basis in ("legal_obligation", "vital_interest", "contract"):
        return _examine_evidence(case, ground, ground.basis)
    return _examine_interest(case, ground)


def _added_after_refusal(case: Case, ground: Ground) -> bool:
    """No swap of basis (EDPB 05/2020 par. 121-123): a no is not answered with a ground that came later, on no channel
    of the purpose."""
    if ground.basis in _NEVER_SWAPPED:
        return False
    give = case.consent.give if ground.basis == "consent" else None  # what was agreed to since is no swap
    refused = [no for no in case.noes_anywhere if give is None or give.at <= no.at]
    return any(
        not _had_ground(case, ground.basis, no.at) and not (ground.basis == "contract" and _contracted_since(case, no))
        for no in refused
    )


def _had_ground(case: Case, basis: str, at: datetime) -> bool:
    version = case.timeline.judging(at)
    purpose = version.purposes.get(case.key) if version else None
    return purpose is not None and any(g.basis == basis for g in purpose.grounds_in(case.plan.jurisdiction))


def _contracted_since(case: Case, no: Event) -> bool:
    contracts = case.hearing.own.open_contracts()
    return any(c.at > no.at and _had_ground(case, "contract", c.at) for c in contracts)


# Consent


def examine_consent(case: Case, ground: Ground, limits: Limits) -> Finding:
    """Consent given, or, where the ground says so and nothing stricter is asked, a fact that stands in for it."""
    chosen = examine_choice(case, ground, limits)
    if chosen.holds or not limits.implied:
        return chosen
    implied = _examine_implied(case, ground)
    if implied is None or implied.holds:
        return implied or chosen
    return first_of([chosen, implied])._replace(until=chosen.until)


def examine_unless_explicit(case: Case, ground: Ground, limits: Limits) -> Finding:
    """Consent that holds if it need not be explicit."""
    chosen = examine_choice(case, replace(ground, explicit=False), limits)
    return chosen if chosen.holds else examine_consent(case, ground, limits)


def examine_choice(case: Case, ground: Ground, limits: Limits) -> Finding:
    """Consent as the person gave it, whatever else may stand in for it."""
    said = case.consent
    if said.no is not None:
        return Finding(False, said.no_reason, (said.no,))
    if said.give is None:
        return _not_given(case)
    give = said.give
    required = _examine_required(case, ground)
    until = expiry(give, ground, jurisdiction=case.plan.jurisdiction, timeline=case.timeline, at=case.at)
    if (ground.explicit or limits.explicit) and not give.explicit:
        return Finding(False, "consent_not_explicit", (give,))
    if is_outdated(give, case.timeline, case.at):
        return Finding(False, "consent_outdated", (give,))
    if until is not None and until <= case.at:
        return Finding(False, "consent_expired", (give,))
    if not required.holds:
        return Finding(False, required.reason, (give,), until)  # then it is expired, which comes first
    until = earliest((until, required.until))
    if limits.newer_than is not None and give.at <= limits.newer_than.at:
        return Finding(False, "restricted", (give,), until)
    return Finding(True, "consent_given", (give, *required.events), until)


def _examine_required(case: Case, ground: Ground) -> Finding:
    """The fact that must be on file beside a consent, where the ground asks for one that cannot stand in for it."""
    beside = ground if ground.evidence not in _IMPLYING else replace(ground, evidence=None)
    return _examine_evidence(case, beside, "consent_given")


def _not_given(case: Case) -> Finding:
    said = case.consent
    if said.invalid is not None:
        by_child = not case.hearing.own.invalidated(said.invalid)
        return Finding(False, "child_consent_invalid" if by_child else "consent_invalid", (said.invalid,))
    if said.request is not None:
        return Finding(False, "consent_requested", (said.request,))
    until = _given_elsewhere_until(case)
    if until is None:
        return Finding(False, "no_consent")
    return Finding(False, "channel_not_consented", until=None if until == END_OF_TIME else until)


def _given_elsewhere_until(case: Case) -> datetime | None:
    """How long consent stands for another channel of the purpose; None if it stands for none."""
    others = {give.channel for give in case.hearing.own.gives(case.key)} - {case.channel, None}
    ends = (end for channel in others for end in _ends_on(case, channel))
    return max((end for end in ends if end > case.at), default=None)


def _ends_on(case: Case, channel: str | None) -> list[datetime]:
    """When, by each ground, the consent for a channel ends; nothing if none stands."""
    give = consent_on(case.hearing, case.key, channel, case.plan.purpose).give
    if give is None:
        return []
    return [
        expiry(give, ground, jurisdiction=case.plan.jurisdiction, timeline=case.timeline, at=case.at) or END_OF_TIME
        for ground in case.consent_grounds
    ]


def _examine_implied(case: Case, ground: Ground) -> Finding | None:
    """A fact standing in for the choice (CASL s.10): until a no, and after it was lifted only a newer one."""
    if ground.evidence not in _IMPLYING or ground.explicit:
        return None
    marketing = case.plan.purpose.kind in MARKETING
    silent_since = case.hearing.silence_ended(case.key, case.channel, marketing=marketing)
    facts = [e for e in evidence_on_file(case.hearing.own, ground) if silent_since is None or e.at > silent_since]
    if not facts:
        return None
    latest = max(facts, key=lambda e: e.order)
    if case.hearing.own.given_by_unauthorised_child(latest):
        return Finding(False, "child_consent_invalid", (latest,))
    until = life(latest, ground)
    if until is not None and until <= case.at:
        return Finding(False, "consent_expired", (latest,))
    return Finding(True, "consent_given", (latest,), until)


# The other grounds


def evidence_on_file(own: History, ground: Ground) -> list[Event]:
    """The facts that are evidence for a ground, however old."""
    if ground.evidence == "contract":
        return own.open_contracts()
    facts = own.facts(f"fact.{ground.evidence}")
    is_soft_opt_in = ground.evidence == "sale" and ground.basis in OBJECTABLE
    return [e for e in facts if e.holds or not is_soft_opt_in]


def _examine_evidence(case: Case, ground: Ground, reason: str) -> Finding:
    """Whether the fact that must be on file is, and is not too old."""
    if ground.evidence is None:
        return Finding(True, reason)
    living = [
        (until, e)
        for e in evidence_on_file(case.hearing.own, ground)
        if (until := life(e, ground) or END_OF_TIME) > case.at
    ]
    if not living:
        return Finding(False, "no_contract" if ground.basis == "contract" else _MISSING[ground.evidence])
    until, event = max(living, key=lambda found: (found[0], found[1].order))
    return Finding(True, reason, (event,), until if until != END_OF_TIME else None)


def _examine_interest(case: Case, ground: Ground) -> Finding:
    """Legitimate interest and public task: they hold until objected to (Art. 21(1))."""
    found = _examine_evidence(case, ground, "soft_opt_in" if ground.evidence == "sale" else ground.basis)
    noes = case.noes
    if not noes:
        return found
    answer = _answer_to(case, noes, ground)
    if answer is None:
        return Finding(False, "objected", tuple(noes))
    if not found.holds:
        return found._replace(until=answer.until)
    return answer._replace(events=answer.events + found.events, until=earliest((answer.until, found.until)))


def _answer_to(case: Case, noes: list[Event], ground: Ground) -> Finding | None:
    """What carries on in spite of an objection: claims, an override for this person, a standing assessment."""
    own = case.hearing.own
    if case.plan.purpose.kind == "legal":
        return Finding(True, "legal_claims", tuple(noes))
    if all(own.is_overridden(no) for no in noes):
        return Finding(True, "objection_overridden", tuple(noes))
    assessment = ground.standing_assessment
    if assessment is None or own.is_upheld_since(case.key, noes[0].at):
        return None
    until = midnight(assessment.until)
    if until <= case.at:
        return None
    return Finding(True, "objection_overridden", tuple(noes), until, ("review_individual_case",))


def life(event: Event, ground: Ground) -> datetime | None:
    """When a fact is too old to be evidence for a ground; None: never."""
    return after(event.at, parse_period(ground.expires_after)) if ground.expires_after else None
