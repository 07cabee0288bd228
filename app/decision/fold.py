"""How the state of a subject grows: events placed, subjects merged, what an erasure keeps, which standings change."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from app.decision.catalogue import Timeline
from app.decision.history import History
from app.decision.model import SCOPES, Event, Standing, State
from app.decision.standing import is_named, standing


class Change(NamedTuple):
    """What became of a standing. `effective`: its folded status changed, or an objection beside it began or ended, or
    it is told for the first time."""

    purpose: str
    channel: str | None
    previous: Standing
    standing: Standing
    effective: bool = False


def place(state: State, event: Event) -> None:
    """Add an event to the state."""
    if event.purpose is not None:
        state.by_purpose.setdefault(event.purpose, []).append(event)
    elif event.scope is not None:
        state.scopes.append(event)
    else:
        state.facts.append(event)


def repeated(state: State, event: Event) -> Event | None:
    """The event already on file that says the same at the same instant, if there is one."""
    said = _sameness(event)
    return next((e for e in _beside(state, event) if _sameness(e) == said), None)


def _beside(state: State, event: Event) -> Sequence[Event]:
    if event.purpose is not None:
        return state.by_purpose.get(event.purpose, ())
    return state.scopes if event.scope is not None else state.facts


def _sameness(event: Event) -> tuple[object, ...]:
    if event.type.startswith("choice."):
        return event.type, event.at, event.purpose, event.scope, event.channel
    return event._replace(id="", position=0, notice=None)  # repeated after a merge it may reach further


def join(state: State, other: State, *, side: str) -> None:
    """Take another subject's history into this one, whose events from now on are about both (`side`, a new name). Lifts
    keep reaching only the side they were recorded on (domain 3.4)."""
    for purpose, events in other.by_purpose.items():
        state.by_purpose.setdefault(purpose, []).extend(events)
    state.scopes += other.scopes
    state.facts += other.facts
    state.erasures = sorted({*state.erasures, *other.erasures})
    state.sides |= other.sides | {state.side: side, other.side: side}
    state.side = side
    for told, also in ((state.ends_told, other.ends_told), (state.due_told, other.due_told)):
        told |= {name: max(at, told.get(name, at)) for name, at in also.items()}


def tombstone(state: State, *, at: datetime, side: str, timeline: Timeline) -> State:
    """What an erasure or unlinking at an instant keeps: the noes per channel and the scope objections in force then."""
    history = History(state, timeline, None)
    kept = State(subject_id=state.subject_id, side=side, erasures=[at], erased_at=at)
    for purpose in state.by_purpose:
        noes = _kept(history, purpose, channels_of(state, purpose, timeline))
        if noes:
            kept.by_purpose[purpose] = [no._replace(side=side) for no in noes]
    kept.scopes = [e._replace(side=side) for scope in SCOPES for e in history.scope_objections_in_force(scope)]
    return kept


def _kept(history: History, purpose: str, channels: list[str | None]) -> list[Event]:
    """The noes in force, each on its channels; one in force on all of them reaches those that are yet to come, too."""
    in_force = {channel: history.noes_in_force(purpose, channel) for channel in channels}
    kept = [
        no if all(no in noes for noes in in_force.values()) else no._replace(channel=channel or no.channel)
        for channel, there in in_force.items()
        for no in there
    ]
    return list(dict.fromkeys(kept))


def renamed(kept: State, side: str) -> State:
    """A tombstone for a new holder: its events on a side of their own, which no lift from before reaches."""
    return State(
        subject_id=kept.subject_id,
        side=side,
        by_purpose={p: [e._replace(side=side) for e in events] for p, events in kept.by_purpose.items()},
        scopes=[e._replace(side=side) for e in kept.scopes],
        erasures=list(kept.erasures),
    )


def channels_of(state: State, purpose: str, timeline: Timeline) -> list[str | None]:
    """Every channel the purpose has, had, or was spoken of on; None where it has or had no channels."""
    versions = timeline.with_purpose(purpose)
    declared = {c for version in versions for c in version.purposes[purpose].channels or (None,)}
    spoken = {e.channel for e in state.by_purpose.get(purpose, ()) if e.channel is not None}
    return sorted(declared | spoken, key=str)


def current_channels(state: State, purpose: str, timeline: Timeline, now: datetime) -> list[str | None]:
    """The channels a standing is kept on: those of the purpose as it is now (None: it has none), those with a standing
    already, and those that were spoken of."""
    defined = timeline.purpose_at(purpose, now)
    declared: set[str | None] = set(defined.channels or (None,)) if defined else set()
    kept = {channel or None for channel in state.standings.get(purpose, {})}
    spoken = {e.channel for e in state.by_purpose.get(purpose, ()) if e.channel is not None}
    return sorted(declared | kept | spoken, key=lambda channel: channel or "") or [None]


def standings(
    state: State, purposes: Iterable[str], timeline: Timeline, now: datetime
) -> dict[tuple[str, str | None], Standing]:
    """The folded standings of some purposes, with the versions kept so far."""
    folded = {}
    for purpose in purposes:
        kept = state.standings.get(purpose, {})
        for channel in current_channels(state, purpose, timeline, now):
            version = kept[channel or ""].version if (channel or "") in kept else 0
            fresh = standing(state, purpose, channel, timeline=timeline, now=now)
            folded[purpose, channel] = fresh._replace(version=version)
    return folded


def standings_told(state: State, timeline: Timeline, now: datetime) -> dict[tuple[str, str | None], Standing]:
    """Every standing that was ever told, as it is now: what time or a newer notice made of it, recorded or not. And
    those on channels a newer notice has that what was said before it reaches: no row tells of them yet (version 0)."""
    folded = standings(state, dict.fromkeys((*state.standings, *state.by_purpose)), timeline, now)
    return {
        (purpose, channel): standing
        for (purpose, channel), standing in folded.items()
        if standing.version or (standing.status is not None and is_named(state, purpose, channel))
    }


def objected_scopes(state: State, timeline: Timeline) -> set[tuple[str, str | None]]:
    """The scopes, each with the channel it is limited to, that the person objects to; whatever single purposes the
    objection was lifted for."""
    if not state.scopes:
        return set()
    history = History(state, timeline, None)
    return {(scope, e.channel) for scope in SCOPES for e in history.scope_objections_in_force(scope)}


def keep(
    state: State,
    before: dict[tuple[str, str | None], Standing],
    after: dict[tuple[str, str | None], Standing],
    *,
    about: str | None,
) -> list[Change]:
    """Store the standings after an event (`about`: the purpose it names); each that changed gets its next version.
    Returns one change per standing: none where nothing was ever said and only an objection to a scope passes over."""
    nothing = Standing(None, objected=False, event_id=None, since=None, basis=None)
    changes = []
    for (purpose, channel), fresh in after.items():
        previous = before.get((purpose, channel), nothing)
        if about is None and fresh.version == 0 and fresh.status is None and previous.status is None:
            continue
        is_first = fresh.version == 0 and fresh.status is not None  # until now a scope may have spoken for it
        told = state.standings.get(purpose, {}).get(channel or "", previous)  # another notice may have made more of it
        effective = is_first or any(s.meaning != fresh.meaning for s in (previous, told))
        kept = fresh._replace(version=fresh.version + effective)
        was = previous if previous.meaning != fresh.meaning else told
        change = Change(purpose, channel, was, kept, effective)
        if kept.version:
            state.standings.setdefault(purpose, {})[channel or ""] = change.standing
        changes.append(change)
    return changes


def take_over(state: State, kept: State, *, side: str) -> None:
    """Let a subject take over what an erasure or unlinking kept, on a side of its own that no earlier lift reaches."""
    join(state, renamed(kept, f"{side}/kept"), side=side)


def renumber(state: State, drafted: int, first: int) -> None:
    """Give events drafted at positions from `drafted` on those the ledger gave them, from `first` on."""

    def numbered(events: list[Event]) -> list[Event]:
        return [e if e.position < drafted else e._replace(position=e.position - drafted + first) for e in events]

    state.by_purpose = {purpose: numbered(events) for purpose, events in state.by_purpose.items()}
    state.scopes = numbered(state.scopes)
    state.facts = numbered(state.facts)
