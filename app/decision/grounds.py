"""Whether one ground holds for one case, and why or why not (domain 4, step 8)."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import NamedTuple

from app.decision.catalogue import MARKETING, Ground, Purpose, Timeline
from app.decision.consent import Consent, consent_on, expiry, is_outdated
from app.decision.history import END_OF_TIME, Hearing
from app.decision.model import Event
from app.decision.period import after, parse_period

_NEVER_SWAPPED = ("legal_obligation", "vital_interest")
_MISSING = {
    "contract": "no_contract",
    "sale": "no_permission_for_channel",
    "enquiry": "no_permission_for_channel",
    "informed": "not_informed",
}


class Finding(NamedTuple):
    """Whether a ground holds, the reason either way, and until when time alone lets it hold."""

    holds: bool
    reason: str
    events: tuple[Event, ...] = ()
    until: datetime | None = None
    obligations: tuple[str, ...] = ()


class Limits(NamedTuple):
    """What alone may carry a yes: an explicit consent (special categories), a consent newer than a restriction."""

    explicit: bool = False
    newer_than: Event | None = None

    @property
    def any(self) -> bool:
        """Whether only a choice of consent may carry a yes."""
        return self.explicit or self.newer_than is not None


class Case(NamedTuple):
    """One purpose and channel of one person, at an instant, in a jurisdiction."""

    key: str
    channel: str | None
    purpose: Purpose
    jurisdiction: str
    grounds: tuple[Ground, ...]
    hearing: Hearing
    consent: Consent
    timeline: Timeline
    at: datetime

    @property
    def noes(self) -> list[Event]:
        """The noes in force, own and heard, oldest first."""
        return self.hearing.noes_in_force(self.key, self.channel)

    @property
    def consent_grounds(self) -> list[Ground]:
        """The grounds here that are consent."""
        return [ground for ground in self.grounds if ground.basis == "consent"]


def examine(case: Case, ground: Ground, limits: Limits) -> Finding:
    """Whether the ground holds for the case."""
    if _added_after_refusal(case, ground):
        return Finding(False, "basis_added_after_refusal", tuple(case.noes))
    if ground.basis == "consent":
        return examine_consent(case, ground, limits)
    if limits.any:
        return Finding(False, "special_category" if limits.explicit else "restricted")
    if ground.basis in ("legal_obligation", "vital_interest", "contract"):
        return _examine_evidence(case, ground, ground.basis)
    return _examine_interest(case, ground)


def _added_after_refusal(case: Case, ground: Ground) -> bool:
    """No swap of basis (EDPB 05/2020 par. 121-123): a no is not answered with a ground that came later."""
    if ground.basis in _NEVER_SWAPPED:
        return False
    return any(
        not _had_ground(case, ground.basis, no.at) and not (ground.basis == "contract" and _contracted_since(case, no))
        for no in case.noes
    )


def _had_ground(case: Case, basis: str, at: datetime) -> bool:
    version = case.timeline.judging(at)
    purpose = version.purposes.get(case.key) if version else None
    return purpose is not None and any(g.basis == basis for g in purpose.grounds_in(case.jurisdiction))


def _contracted_since(case: Case, no: Event) -> bool:
    contracts = case.hearing.own.open_contracts()
    return any(c.at > no.at and _had_ground(case, "contract", c.at) for c in contracts)


# Consent


def examine_consent(case: Case, ground: Ground, limits: Limits) -> Finding:
    """Consent given, or, where the ground says so and nothing stricter is asked, a fact that stands in for it."""
    finding = _examine_choice(case, ground, limits)
    if finding.holds or ground.evidence is None or ground.explicit or limits.any:
        return finding
    implied = _examine_implied(case, ground)
    if implied is None or (not implied.holds and finding.reason != "no_consent"):
        return finding
    return implied


def _examine_choice(case: Case, ground: Ground, limits: Limits) -> Finding:
    said = case.consent
    if said.no is not None:
        return Finding(False, said.no_reason, (said.no,))
    if said.give is None:
        return _not_given(case)
    give = said.give
    until = expiry(give, ground, jurisdiction=case.jurisdiction, timeline=case.timeline, at=case.at)
    faults = (
        ((ground.explicit or limits.explicit) and not give.explicit, "consent_not_explicit"),
        (is_outdated(give, case.timeline, case.at), "consent_outdated"),
        (until is not None and until <= case.at, "consent_expired"),
        (limits.newer_than is not None and give.at <= limits.newer_than.at, "restricted"),
    )
    reason = next((reason for failed, reason in faults if failed), None)
    return Finding(False, reason, (give,)) if reason else Finding(True, "consent_given", (give,), until)


def _not_given(case: Case) -> Finding:
    said = case.consent
    if said.invalid is not None:
        by_child = not case.hearing.own.invalidated(said.invalid)
        return Finding(False, "child_consent_invalid" if by_child else "consent_invalid", (said.invalid,))
    if said.request is not None:
        return Finding(False, "consent_requested", (said.request,))
    return Finding(False, "channel_not_consented" if _given_elsewhere(case) else "no_consent")


def _given_elsewhere(case: Case) -> bool:
    """Whether consent stands for another channel of the purpose."""
    others = {give.channel for give in case.hearing.own.gives(case.key)} - {case.channel}
    return any(_stands_on(case, channel) for channel in others)


def _stands_on(case: Case, channel: str | None) -> bool:
    give = consent_on(case.hearing, case.key, channel, case.purpose).give
    if give is None:
        return False
    ends = (
        expiry(give, ground, jurisdiction=case.jurisdiction, timeline=case.timeline, at=case.at)
        for ground in case.consent_grounds
    )
    return any(end is None or end > case.at for end in ends)


def _examine_implied(case: Case, ground: Ground) -> Finding | None:
    """A fact standing in for the choice (CASL s.10): until a no, and after it was lifted only a newer one."""
    silent_since = _silent_since(case)
    facts = [e for e in _evidence(case, ground) if silent_since is None or e.at > silent_since]
    if not facts:
        return None
    latest = max(facts, key=lambda e: e.order)
    if case.hearing.own.given_by_unauthorised_child(latest):
        return Finding(False, "child_consent_invalid", (latest,))
    until = _life(latest, ground)
    if until is not None and until <= case.at:
        return Finding(False, "consent_expired", (latest,))
    return Finding(True, "consent_given", (latest,), until)


def _silent_since(case: Case) -> datetime | None:
    """The instant after which a fact may stand in for a choice; the end of time while a no is in force."""
    heard = case.hearing.heard_noes(case.key, case.channel)
    is_marketing = case.purpose.kind in MARKETING
    if is_marketing:
        heard += case.hearing.heard_marketing_objections(case.key, case.channel)
    if heard:
        return END_OF_TIME
    return case.hearing.own.silence_ended(case.key, case.channel, marketing=is_marketing)


# The other grounds


def _evidence(case: Case, ground: Ground) -> list[Event]:
    own = case.hearing.own
    if ground.evidence == "contract":
        return own.open_contracts()
    facts = own.facts(f"fact.{ground.evidence}")
    is_soft_opt_in = ground.evidence == "sale" and ground.basis != "consent"
    return [e for e in facts if e.holds or not is_soft_opt_in]


def _examine_evidence(case: Case, ground: Ground, reason: str) -> Finding:
    """Whether the fact that must be on file is, and is not too old."""
    if ground.evidence is None:
        return Finding(True, reason)
    living = [(until, e) for e in _evidence(case, ground) if (until := _life(e, ground) or END_OF_TIME) > case.at]
    if not living:
        return Finding(False, _MISSING[ground.evidence])
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
        return found
    return answer._replace(events=answer.events + found.events, until=earliest((answer.until, found.until)))


def _answer_to(case: Case, noes: list[Event], ground: Ground) -> Finding | None:
    """What carries on in spite of an objection: claims, an override for this person, a standing assessment."""
    own = case.hearing.own
    if case.purpose.kind == "legal":
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


def midnight(day: date) -> datetime:
    """The beginning of a day, in UTC."""
    return datetime.combine(day, time(), UTC)


def _life(event: Event, ground: Ground) -> datetime | None:
    return after(event.at, parse_period(ground.expires_after)) if ground.expires_after else None


def earliest(instants: Iterable[datetime | None]) -> datetime | None:
    """The earliest of some instants, those that are none left out."""
    return min((instant for instant in instants if instant is not None), default=None)
