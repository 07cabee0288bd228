"""What of a history still bears on answers about now: a check reads this, however long the history behind it is."""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from app.decision.catalogue import Timeline
from app.decision.history import History
from app.decision.model import ALL_MARKETING, NOES, Event, Question, State

_Key = Callable[[Event], Hashable]
_ON_PURPOSES = (*NOES, "choice.give", "choice.withdraw_objection")  # reduced with regard to each other
_ON_THEIR_OWN: dict[str, _Key] = {  # of these the latest counts, of each kind that the key tells apart
    "choice.request": lambda e: e.channel,
    "fact.consent_invalidated": lambda e: e.channel,
    "fact.objection_overridden": lambda e: e.side,
    "fact.objection_upheld": lambda _: None,
    "fact.sale": lambda e: e.holds,
    "fact.enquiry": lambda _: None,
    "fact.informed": lambda _: None,
}
_AS_A_WHOLE = (
    "fact.child",
    "fact.contract_started",
    "fact.contract_ended",
    "fact.restriction_started",
    "fact.restriction_lifted",
)


class Present(NamedTuple):
    """A state without the events that no answer about now depends on any more. `shortened` names the purposes that lost
    some, and whether noes for every channel were among them. It was made when so many catalogue `versions` were
    published; `latest` is the latest instant on file."""

    state: State
    shortened: dict[str, bool]
    versions: int
    latest: datetime | None

    def suffices(self, question: Question, timeline: Timeline, *, hears: bool) -> bool:
        """Whether it gives the answer that the whole history gives: not about the past, and not once a version was
        published that reaches back into it. To what is heard from others, and on a channel that nothing was said on,
        lost events may be an answer yet."""
        lost_all_channels = self.shortened.get(question.purpose)
        return (
            question.as_of is None
            and not (lost_all_channels is not None and hears)
            and not (lost_all_channels and question.channel is not None)
            and (self.latest is None or timeline.is_as_before(self.versions, self.latest))
        )


def present_of(state: State, timeline: Timeline) -> Present:
    """What a state comes down to. An event goes only if for every question about now, under these versions and any that
    do not reach back, neither the answer nor what determines it depends on it."""
    history = History(state, timeline, None)
    scopes = _among(state.scopes, _scopes(state.scopes, history))
    objections = [e for e in scopes if e.scope == ALL_MARKETING and e.type == "choice.object"]
    by_purpose, shortened = {}, {}
    for purpose, events in state.by_purpose.items():
        if _are_apart(events):
            by_purpose[purpose] = events
            continue
        by_purpose[purpose] = kept = _among(events, _on_purpose(purpose, events, objections, history))
        if len(kept) < len(events):
            lost = set(map(_identity, events)).difference(map(_identity, kept))
            if lost:
                shortened[purpose] = any(e.type in NOES and e.channel is None for e in events if _identity(e) in lost)
    reduced = State(
        subject_id=state.subject_id,
        side=state.side,
        by_purpose=by_purpose,
        scopes=scopes,
        facts=_among(state.facts, _facts(state.facts, history, timeline)),
        sides=state.sides,
        erasures=state.erasures and [max(state.erasures)],
        erased_at=state.erased_at,
    )
    return Present(reduced, shortened, len(timeline.versions), state.latest())


def _are_apart(events: list[Event]) -> bool:
    """Whether each event is about a channel of its own, so that none can have taken another's place."""
    channels = {event.channel for event in events}
    return len(events) == 1 or (len(channels) == len(events) and None not in channels)


def _on_purpose(purpose: str, events: list[Event], objections: list[Event], history: History) -> Iterator[Event]:
    valid = sorted(history.valid_gives(purpose), key=_order)
    lifts = _sorted(events, "choice.withdraw_objection")
    gives = {channel: [g for g in valid if g.channel == channel] for channel in {g.channel for g in valid}}

    def answered_at(no: Event) -> datetime | None:
        given = _first_after(no, gives.get(no.channel, ()))
        lifted = history.lifted_at(no, lifts, no.channel) if history.can_be_lifted(no) else None
        return min((at for at in (given and given.at, lifted) if at is not None), default=None)

    noes = _last_word(history.noes(purpose, None), answered_at)
    answered = [*noes, *objections]
    yield from noes
    yield from _answers(valid, answered, key=lambda e: e.channel)
    yield from _answers(lifts, answered, key=lambda e: (e.channel, e.side))
    yield from _latest(valid, key=lambda e: e.channel)
    yield from _latest([g for g in history.gives(purpose) if g.channel not in gives], key=lambda e: e.channel)
    yield from _on_their_own(e for e in events if e.type not in _ON_PURPOSES)


def _scopes(events: list[Event], history: History) -> Iterator[Event]:
    for scope in dict.fromkeys(e.scope for e in events):
        yield from _on_scope([e for e in events if e.scope == scope], history)


def _on_scope(events: list[Event], history: History) -> Iterator[Event]:
    lifts = _sorted(events, "choice.withdraw_objection")
    objections = _last_word(_sorted(events, "choice.object"), lambda e: history.lifted_at(e, lifts, e.channel))
    yield from objections
    yield from _answers(lifts, objections, key=lambda e: (e.channel, e.side))


def _facts(events: list[Event], history: History, timeline: Timeline) -> Iterator[Event]:
    if history.child is not None:
        yield history.child
    yield from _latest(history.open_contracts(), key=lambda e: getattr(timeline.judging(e.at), "version", None))
    restrictions = history.open_restrictions()
    yield from restrictions
    yield from _answers(
        _sorted(events, "fact.restriction_lifted"), restrictions, key=lambda e: (e.data_categories, e.side)
    )
    yield from _on_their_own(e for e in events if e.type not in _AS_A_WHOLE)


# Which of many count


def _among(events: list[Event], kept: Iterable[Event]) -> list[Event]:
    """Those of some events that are kept, in the order in which they stand, each once."""
    found = set(map(_identity, kept))
    return list({key: event for event in events if (key := _identity(event)) in found}.values())


def _last_word(noes: list[Event], answered_at: Callable[[Event], datetime | None]) -> list[Event]:
    """The noes without those that were answered before another one was said in the same place: they are not in force,
    and the silence after a no ended later for that other one."""
    last = {no.channel: no.at for no in sorted(noes, key=_order)}
    return [no for no in noes if (at := answered_at(no)) is None or at > last[no.channel]]


def _answers(answers: Sequence[Event], answered: Iterable[Event], *, key: _Key) -> Iterator[Event]:
    """Of some answers in order the first after each of the answered, of each kind that the key tells apart."""
    kinds: dict[Hashable, list[Event]] = {}
    for event in answers:
        kinds.setdefault(key(event), []).append(event)
    for event in answered:
        for kind in kinds.values():
            first = _first_after(event, kind)
            if first is not None:
                yield first


def _first_after(event: Event, ordered: Sequence[Event]) -> Event | None:
    """Of some events in order the first that is later than another event."""
    n = bisect_right(ordered, event.at, key=_at)
    return ordered[n] if n < len(ordered) else None


def _on_their_own(events: Iterable[Event]) -> Iterator[Event]:
    kinds: dict[str, list[Event]] = {}
    for event in events:
        kinds.setdefault(event.type, []).append(event)
    for type, alike in kinds.items():
        yield from _latest(alike, key=_ON_THEIR_OWN[type]) if type in _ON_THEIR_OWN else alike


def _latest(events: Iterable[Event], *, key: _Key) -> Iterable[Event]:
    """The latest of each kind that the key tells apart."""
    return {key(event): event for event in sorted(events, key=_order)}.values()


def _sorted(events: Iterable[Event], type: str) -> list[Event]:
    return sorted((e for e in events if e.type == type), key=_order)


def _identity(event: Event) -> tuple[str, str, str | None]:
    """What is the same of the same event, as often as it may stand in a history. A no that an erasure kept stands there
    once for each channel it was in force on."""
    return event.id, event.side, event.channel


def _at(event: Event) -> datetime:
    return event.at


def _order(event: Event) -> tuple[datetime, int, int]:
    return event.order
