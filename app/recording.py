"""Choices and facts: judged by the catalogue, then recorded. The one way they are written, whichever door they
came through."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from app import crypto
from app.addressing import Subject
from app.decision.catalogue import MARKETING
from app.decision.fold import Change, objected_scopes, repeated, standings
from app.decision.model import ALL_MARKETING, Event, State
from app.decision.refusal import Fault, Invalid
from app.decision.standing import AUTOMATED
from app.judging import Choice, Fact, faults_of_choices, faults_of_facts, faults_of_overrides
from app.writing import Unit

_LEAD = timedelta(seconds=60)  # clocks differ: an event this little ahead happened when it was recorded


class Circumstances(NamedTuple):
    """How something was said or established: what makes it demonstrable (Art. 7(1)). The free text is sealed."""

    key_id: str
    method: str | None = None
    notice: str | None = None
    language: str | None = None
    actor_kind: str | None = None
    actor_reference: str | None = None
    evidence: dict[str, Any] | None = None
    occurred_at: datetime | None = None


class Recorded(NamedTuple):
    """What became of one choice or fact on one standing: `event_id` is the event now in force."""

    event_id: str
    type: str
    purpose: str | None
    channel: str | None
    scope: str | None
    effective: bool
    status: str | None
    version: int | None
    occurred_at: datetime
    recorded_at: datetime


class Record(NamedTuple):
    """The answer to a write."""

    subject_id: str
    revision: str
    events: list[Recorded]


async def record_choices(unit: Unit, subject: Subject, choices: Sequence[Choice], how: Circumstances) -> Record:
    """Record what a person decided: all choices or none, at one instant. Raises Invalid with every fault found."""
    at = judge_choices(unit, choices, how)
    state = await unit.hold(subject)
    events = await place_choices(unit, state, choices, how, at=at)
    return Record(state.subject_id, await unit.finish(), events)


def judge_choices(unit: Unit, choices: Sequence[Choice], how: Circumstances) -> datetime | None:
    """When choices were made, if that was said. Raises Invalid with every fault found."""
    at = instant_of(how.occurred_at, unit.now, "/occurred_at")
    faults = faults_of_choices(choices, how.notice, how.method, unit.timeline, at or unit.now)
    if faults:
        raise Invalid(*faults)
    return at


async def place_choices(
    unit: Unit, state: State, choices: Sequence[Choice], how: Circumstances, *, at: datetime | None
) -> list[Recorded]:
    """Place choices that the catalogue allows in the history of a subject whose row is taken."""
    at = at or unit.after_all(state)
    events: list[Recorded] = []
    for choice in choices:
        events += await record_choice(unit, state, event_of(choice, state, at, how), how)
    return events


def event_of(choice: Choice, state: State, at: datetime, how: Circumstances) -> Event:
    """The event that a choice of a subject is, before it has a position."""
    return Event(
        id=crypto.new_id("evt_"),
        type=f"choice.{choice.choice}",
        at=at,
        position=0,
        side=state.side,
        purpose=choice.purpose,
        channel=choice.channel,
        scope=choice.scope,
        notice=how.notice,
        explicit=choice.explicit,
    )


async def record_choice(unit: Unit, state: State, event: Event, how: Circumstances) -> list[Recorded]:
    """Place an event that the catalogue allows in the history of a subject whose row is taken."""
    purposes = _concerned(state, event, unit)
    scopes_before = objected_scopes(state, unit.timeline)
    known = repeated(state, event)
    if known is not None:
        recorded_at = await unit.recorded_at(known)
        now = standings(state, purposes, unit.timeline, unit.now)
        changes = [Change(purpose, channel, standing, standing) for (purpose, channel), standing in now.items()]
    else:
        recorded_at = max(unit.now, event.at)
        changes = unit.place(state, event, purposes, data=_how(how), sealed=_sealed(how))
    if event.scope is None:
        return _told(known or event, changes, recorded_at)
    objected = objected_scopes(state, unit.timeline)
    status = "objected" if (event.scope, event.channel) in objected else None
    own = _on_file(known or event, recorded_at, effective=objected != scopes_before, status=status)
    return [own, *_told(known or event, [change for change in changes if change.effective], recorded_at)]


def _concerned(state: State, event: Event, unit: Unit) -> list[str]:
    """The purposes whose standings a choice can change."""
    if event.purpose is not None:
        return [event.purpose]
    kinds = MARKETING if event.scope == ALL_MARKETING else AUTOMATED
    known = {p: unit.timeline.purpose_at(p, unit.now) for p in state.by_purpose}
    return [p for p, purpose in known.items() if purpose is not None and purpose.kind in kinds]


def _told(event: Event, changes: list[Change], recorded_at: datetime) -> list[Recorded]:
    """One entry per standing a choice reaches."""
    return [_on_standing(event, c, recorded_at) for c in changes if event.channel is None or c.channel == event.channel]


def _on_standing(event: Event, change: Change, recorded_at: datetime) -> Recorded:
    now = change.standing
    return _on_file(event, recorded_at, effective=change.effective, status=now.status)._replace(
        event_id=now.event_id or event.id,
        purpose=change.purpose,
        channel=change.channel,
        version=now.version or None,
    )


def _on_file(event: Event, recorded_at: datetime, *, effective: bool, status: str | None = None) -> Recorded:
    return Recorded(
        event_id=event.id,
        type=event.type,
        purpose=event.purpose,
        channel=event.channel,
        scope=event.scope,
        effective=effective,
        status=status,
        version=None,
        occurred_at=event.at,
        recorded_at=recorded_at,
    )


async def record_facts(unit: Unit, subject: Subject, facts: Sequence[Fact], how: Circumstances) -> Record:
    """Record what the controller established: all facts or none. Raises Invalid with every fault found."""
    instants = [
        instant_of(fact.occurred_at or how.occurred_at, unit.now, f"/facts/{n}/occurred_at")
        for n, fact in enumerate(facts)
    ]
    faults = faults_of_facts(facts, unit.timeline, unit.now)
    if faults:
        raise Invalid(*faults)
    state = await unit.hold(subject)
    faults = faults_of_overrides(facts, state)
    if faults:
        raise Invalid(*faults)
    now = unit.after_all(state)
    events = [await record_fact(unit, state, fact, at or now, how) for fact, at in zip(facts, instants, strict=True)]
    return Record(state.subject_id, await unit.finish(), events)


async def record_fact(unit: Unit, state: State, fact: Fact, at: datetime, how: Circumstances) -> Recorded:
    """Place a fact that the catalogue allows in the history of a subject whose row is taken; not effective if it is on
    file already."""
    event = Event(
        id=crypto.new_id("evt_"),
        type=f"fact.{fact.fact}",
        at=at,
        position=0,
        side=state.side,
        purpose=fact.purpose,
        channel=fact.channel,
        notice=fact.notice,
        reference=_reference(unit, state, fact.reference),
        data_categories=fact.data_categories,
        until=fact.until,
        holds=fact.holds,
    )
    known = repeated(state, event)
    if known is not None:
        recorded_at = await unit.recorded_at(known)
        return _on_file(known, recorded_at, effective=False)
    purposes = [fact.purpose] if fact.purpose else list(state.by_purpose) if fact.fact == "child" else []
    unit.place(state, event, purposes, data=_how(how) | fact.flags, sealed=_sealed(how) | fact.sealed)
    return _on_file(event, max(unit.now, at), effective=True)


def _reference(unit: Unit, state: State, text: str | None) -> str | None:
    """The digest of a reference, under the key with which it was first recorded about this person."""
    if text is None:
        return None
    digests = unit.store.secrets.reference_digests(text)
    known = {e.reference for e in state.facts}
    return next((digest for digest in digests if digest in known), digests[0])


def instant_of(occurred_at: datetime | None, now: datetime, pointer: str) -> datetime | None:
    """When something happened, as it is recorded. Raises Invalid for the future."""
    if occurred_at is None or occurred_at <= now:
        return occurred_at
    if occurred_at - now > _LEAD:
        detail = "An event cannot happen in the future; check the clock and the time zone of the caller."
        raise Invalid(Fault(pointer, "event-in-future", detail))
    return now


def _how(how: Circumstances) -> dict[str, Any]:
    data = {"key_id": how.key_id, "method": how.method, "language": how.language, "actor": how.actor_kind}
    return {name: value for name, value in data.items() if value is not None}


def _sealed(how: Circumstances) -> dict[str, Any]:
    sealed = {"actor_reference": how.actor_reference, "evidence": how.evidence}
    return {name: value for name, value in sealed.items() if value is not None}
