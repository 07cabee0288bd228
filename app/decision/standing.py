"""The folded state of one (subject, purpose, channel), as kept beside the ledger and told by the change feed."""

from datetime import datetime

from app.decision.catalogue import MARKETING, OBJECTABLE, Purpose, Timeline
from app.decision.consent import Consent, consent_on, expiry, is_outdated
from app.decision.history import Hearing
from app.decision.model import Event, Person, Standing, State

AUTOMATED = frozenset({"automated_decision", "marketing_profiling"})  # kinds that the automation objection stops
_RESTS_ON_A_GIVE = ("given", "expired", "outdated")
_SAID = {"choice.refuse": "refused"}


def standing(state: State, key: str, channel: str | None, *, timeline: Timeline, now: datetime) -> Standing:
    """The standing now, from the subject's own history alone, without a version (it is counted where it is stored). An
    erasure is to marketing what an objection to all of it is, until a newer consent (domain 3.4)."""
    purpose = timeline.purpose_at(key, now)
    nothing = Standing(None, objected=False, event_id=None, since=None, basis=None)
    if purpose is None or not (state.scopes or is_named(state, key, channel)):
        return nothing  # seldom anything else, when many standings are folded
    hearing = Hearing(Person(state), timeline, None)
    objections = _objections(hearing, key, channel, purpose)
    suppressed = purpose.kind in MARKETING and hearing.own.is_suppressed(key, channel)
    if purpose.rests_on("consent"):
        consent = consent_on(hearing, key, channel, purpose)
        status, event = _consent_status(consent, purpose, timeline, now)
        if suppressed and status in _RESTS_ON_A_GIVE:
            return Standing("withdrawn", True, None, state.suppressed_since, "consent")
        basis = "consent" if status else None
        return Standing(status, bool(objections) or suppressed, event and event.id, event and event.at, basis)
    basis = next((g.basis for g in purpose.grounds if g.basis in OBJECTABLE), None)
    if objections:
        objection = max(objections, key=lambda e: e.order)
        return Standing("objected", True, objection.id, objection.at, basis)
    return Standing("objected", True, None, state.suppressed_since, basis) if suppressed else nothing


def is_named(state: State, key: str, channel: str | None) -> bool:
    """Whether anything on file names the purpose and reaches the channel."""
    return any(channel is None or event.channel in (None, channel) for event in state.by_purpose.get(key, ()))


def _objections(hearing: Hearing, key: str, channel: str | None, purpose: Purpose) -> list[Event]:
    """What is in force against a purpose besides the state of its consent, objections to a scope included."""
    own = hearing.own
    objections: list[Event] = []
    if purpose.rests_on(*OBJECTABLE):
        objections += own.noes_in_force(key, channel)
        if purpose.kind in MARKETING:
            objections += own.marketing_objections_in_force(key, channel)
    if purpose.kind in AUTOMATED:
        objections += own.automation_objections_in_force(key)
    return objections


def _consent_status(
    consent: Consent, purpose: Purpose, timeline: Timeline, now: datetime
) -> tuple[str | None, Event | None]:
    if consent.give is not None:
        status = _given_status(consent.give, purpose, timeline, now)
        if status == "given" or consent.request is None:
            return status, consent.give
    if consent.request is not None:
        return "requested", consent.request
    if consent.no is not None:
        return _SAID.get(consent.no.type, "withdrawn"), consent.no
    if consent.invalid is not None:
        return "invalidated", consent.invalid
    return None, None


def _given_status(give: Event, purpose: Purpose, timeline: Timeline, now: datetime) -> str:
    if is_outdated(give, timeline, now):
        return "outdated"
    end = valid_until(give, purpose, timeline, now)
    return "expired" if end is not None and end <= now else "given"


def valid_until(give: Event, purpose: Purpose, timeline: Timeline, now: datetime) -> datetime | None:
    """When a consent expires where questions name no jurisdiction (the default one)."""
    catalogue = timeline.in_force(now)
    if catalogue is None:
        return None
    where = catalogue.default_jurisdiction
    consents = [g for g in purpose.grounds_in(where) if g.basis == "consent" and g.evidence is None]
    ends = [expiry(give, ground, jurisdiction=where, timeline=timeline, at=now) for ground in consents]
    return min((end for end in ends if end is not None), default=None)
