"""What time alone ends: a consent, or the evidence a ground rests on. Telling it changes no answer."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from app.decision.catalogue import Timeline
from app.decision.consent import is_outdated
from app.decision.grounds import evidence_on_file, life
from app.decision.history import History
from app.decision.model import Event, Standing, State
from app.decision.standing import standing, valid_until


class EndedConsent(NamedTuple):
    """A standing that was last told as given, and is no more."""

    purpose: str
    channel: str | None
    at: datetime
    notice: str | None
    previous: Standing
    standing: Standing  # with its next version


class EndOfEvidence(NamedTuple):
    """When the last fact of a kind is too old for a purpose."""

    at: datetime
    purpose: str
    evidence: str

    @property
    def key(self) -> str:
        """Under what it is remembered that it was told."""
        return key(self.purpose, self.evidence)


def key(purpose: str, evidence: str) -> str:
    """Under what it is remembered that the end of evidence for a purpose was told."""
    return f"{purpose} {evidence}"


def ended_consents(state: State, timeline: Timeline, now: datetime) -> list[EndedConsent]:
    """The standings told as given whose consent is over. What a newer notice made outdated is told by its
    publication."""
    return [
        EndedConsent(purpose, channel, end, give.notice, told, fresh._replace(version=told.version + 1))
        for purpose, channel, told, give, end in _given(state, timeline, now)
        if end <= now
        for fresh in [standing(state, purpose, channel, timeline=timeline, now=now)]
        if fresh.status in ("expired", "requested")
    ]


def _given(
    state: State, timeline: Timeline, now: datetime
) -> Iterator[tuple[str, str | None, Standing, Event, datetime]]:
    """Each standing told as given, with the consent it rests on and when that ends."""
    for key, by_channel in state.standings.items():
        purpose = timeline.purpose_at(key, now)
        for channel, told in by_channel.items():
            if purpose is None or told.status != "given":
                continue
            give = next((e for e in state.by_purpose.get(key, ()) if e.id == told.event_id), None)
            if give is None or give.type != "choice.give" or is_outdated(give, timeline, now):
                continue
            end = valid_until(give, purpose, timeline, now)
            if end is not None:
                yield key, channel or None, told, give, end


def ends_of_evidence(state: State, timeline: Timeline, now: datetime) -> list[EndOfEvidence]:
    """The ends, past and future, of the evidence on file that were not told yet, by the catalogue in force."""
    catalogue = timeline.in_force(now)
    if catalogue is None or not state.facts:
        return []
    own = History(state, timeline, None)
    ends = {
        EndOfEvidence(max(lives), purpose, ground.evidence)
        for purpose, meaning in catalogue.purposes.items()
        for ground in meaning.grounds
        if ground.evidence is not None and ground.expires_after is not None
        for lives in [[end for end in (life(e, ground) for e in evidence_on_file(own, ground)) if end is not None]]
        if lives
    }
    return sorted(end for end in ends if end.key not in state.ends_told or state.ends_told[end.key] < end.at)


def next_end(state: State, timeline: Timeline, now: datetime) -> datetime | None:
    """When there is something to tell of this subject that nobody did; None if never."""
    consents = [end for *_, end in _given(state, timeline, now)]
    return min([*consents, *(end.at for end in ends_of_evidence(state, timeline, now))], default=None)
