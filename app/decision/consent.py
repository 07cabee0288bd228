"""What became of consent: what the person last said about a purpose and channel, and how long a yes lives (Art. 7)."""

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from app.decision.catalogue import MARKETING, Catalogue, Ground, Purpose, Timeline
from app.decision.history import Hearing
from app.decision.model import Event
from app.decision.period import Period, after, parse_period


class Consent(NamedTuple):
    """At most one of `no`, `give`, `invalid` is set; `request` only where nothing was given or refused since."""

    no: Event | None = None
    give: Event | None = None
    invalid: Event | None = None
    request: Event | None = None

    @property
    def no_reason(self) -> str:
        """The reason a no gives: what the person said."""
        return "consent_refused" if self.no is not None and self.no.type == "choice.refuse" else "consent_withdrawn"


def consent_on(hearing: Hearing, key: str, channel: str | None, purpose: Purpose) -> Consent:
    """What the person last said about giving consent for a purpose on a channel. Lifting an objection never gives
    consent, so lifted noes count; an objection to all marketing withdraws the consents given before it, for good."""
    own = hearing.own
    give = own.latest_give(key, channel)
    no = max([*own.noes(key, channel), *hearing.heard_noes(key, channel)], key=lambda e: e.order, default=None)
    requests = own.on(key, "choice.request")
    request = max((e for e in requests if e.channel == channel), key=lambda e: e.order, default=None)
    if no is not None and (give is None or give.at <= no.at):
        return Consent(no=no, request=request if request is not None and request.at > no.at else None)
    if give is not None:
        withdrawing = _objections_to_marketing(hearing, key, channel) if purpose.kind in MARKETING else []
        scope = max((e for e in withdrawing if e.at >= give.at), key=lambda e: e.order, default=None)
        newest = max(give.at, scope.at if scope else give.at)
        asked_again = request if request is not None and request.at > newest else None
        return Consent(no=scope, request=asked_again) if scope else Consent(give=give, request=asked_again)
    invalid = max((e for e in own.gives(key) if e.channel == channel), key=lambda e: e.order, default=None)
    return Consent(invalid=invalid, request=request)


def _objections_to_marketing(hearing: Hearing, key: str, channel: str | None) -> list[Event]:
    return hearing.own.marketing_objections(channel) + hearing.heard_marketing_objections(key, channel)


def expiry(give: Event, ground: Ground, *, jurisdiction: str, timeline: Timeline, at: datetime) -> datetime | None:
    """The instant from which a consent is expired: the shortest life that the agreed notice, or any version in
    force since, has stated for consent here."""
    assert give.purpose is not None and give.notice is not None
    versions = timeline.in_force_between(give.at, max(at, give.at))
    agreed = timeline.named(give.notice)
    if agreed is not None and agreed not in versions:
        versions.append(agreed)
    lives = _stated_lives(tuple(versions), give.purpose, jurisdiction, ground.evidence)
    return min((after(give.at, life) for life in lives), default=None)


@lru_cache(maxsize=1024)
def _stated_lives(
    versions: tuple[Catalogue, ...], key: str, jurisdiction: str, evidence: str | None
) -> frozenset[Period]:
    """The lives that versions state for consent to a purpose, beside the same evidence."""
    return frozenset(
        parse_period(ground.expires_after)
        for version in versions
        if key in version.purposes
        for ground in version.purposes[key].grounds_in(jurisdiction)
        if ground.basis == "consent" and ground.evidence == evidence and ground.expires_after is not None
    )


def is_outdated(give: Event, timeline: Timeline, at: datetime) -> bool:
    """Whether a version after the agreed notice changed the meaning of the purpose: consent covers what was told."""
    assert give.purpose is not None and give.notice is not None
    return any(give.purpose in version.material_changes for version in timeline.since(give.notice, at))
