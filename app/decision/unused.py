"""Which data categories of a person no purpose may use any more, and since when (Art. 5(1)(e), 17(1))."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from app.decision.catalogue import Catalogue, Timeline
from app.decision.model import Person, Question, State
from app.decision.rules import decide

_FACTS = {"contract": "fact.contract_started", **{name: f"fact.{name}" for name in ("sale", "enquiry", "informed")}}
_TICK = timedelta(microseconds=1)


class Unused(NamedTuple):
    """A category that no purpose may use. `since` is when the last one might; None if none ever might."""

    data_category: str
    since: datetime | None


def everything_about(catalogue: Catalogue, *, jurisdiction: str | None, gpc: bool) -> list[Question]:
    """One question per enabled purpose and channel."""
    return [
        Question(purpose=key, channel=channel, jurisdiction=jurisdiction, gpc=gpc)
        for key, purpose in catalogue.purposes.items()
        if purpose.enabled
        for channel in purpose.channels or (None,)
    ]


def unused(person: Person, timeline: Timeline, now: datetime) -> list[Unused]:
    """The categories that no purpose may use now, in the order of the catalogue, each with when one last might; then
    those that only an earlier version had."""
    catalogue = timeline.in_force(now)
    if catalogue is None:
        return []
    usable = _usable(catalogue, person, timeline, now)
    earlier = {c for version in timeline.versions for c in version.data_categories} - catalogue.data_categories.keys()
    ended = _ended(person, {*catalogue.data_categories, *earlier} - usable, timeline, now)
    return [
        *(Unused(category, ended.get(category)) for category in catalogue.data_categories if category not in usable),
        *(Unused(category, ended[category]) for category in sorted(earlier & ended.keys())),
    ]


def untold(person: Person, timeline: Timeline, now: datetime) -> dict[datetime, list[str]]:
    """The categories that lost their last purpose and of which that was not told, by when they did."""
    found: dict[datetime, list[str]] = {}
    told = person.own.due_told
    for category, since in unused(person, timeline, now):
        if since is not None and (category not in told or told[category] < since):
            found.setdefault(since, []).append(category)
    return dict(sorted(found.items()))


def _usable(catalogue: Catalogue, person: Person, timeline: Timeline, now: datetime) -> set[str]:
    return {
        category
        for question, covered in _questions(catalogue)
        if decide(question, person, timeline, now).decision
        for category in covered
    }


def _questions(catalogue: Catalogue) -> Iterator[tuple[Question, tuple[str, ...]]]:
    """Every question about personal data, with the categories it covers; what is anonymous is not held here."""
    for question in everything_about(catalogue, jurisdiction=None, gpc=False):
        purpose = catalogue.purposes[question.purpose]
        if purpose.personal:
            yield question, purpose.data_categories


def _ended(person: Person, wanted: set[str], timeline: Timeline, now: datetime) -> dict[str, datetime]:
    """When each category was last allowed: back from now, between instants at which something happened."""
    ended: dict[str, datetime] = {}
    for start, end in reversed(list(pairwise(_instants(person, timeline, now)))):
        ended |= _ended_between(start, end, person, wanted - ended.keys(), timeline, now)
        if ended.keys() == wanted:
            break
    return ended


def _instants(person: Person, timeline: Timeline, now: datetime) -> list[datetime]:
    """When something happened to the person or a version came into force since, from just before the first event on,
    for what needs no event on file was allowed then; and now."""
    happened = {e.at for state in (person.own, *person.heard) for e in state.events() if e.at < now}
    if not happened:
        return [now]
    first = min(happened) - _TICK
    starts = (version.effective_from for version in timeline.versions)
    return sorted({first, *happened, *(at for at in starts if at is not None and first < at < now), now})


def _might_be_allowed(question: Question, catalogue: Catalogue | None, state: State, facts: set[str]) -> bool:
    """Whether what the grounds of a purpose rest on is on file at all; cheaper than to ask at every instant."""
    grounds = catalogue.purposes[question.purpose].grounds if catalogue else ()
    return any(
        (ground.evidence is not None and _FACTS[ground.evidence] in facts)
        or (ground.evidence is None and ground.basis != "consent")
        or any(event.type == "choice.give" for event in state.by_purpose.get(question.purpose, ()))
        for ground in grounds
    )


def _ended_between(
    start: datetime, end: datetime, person: Person, wanted: Iterable[str], timeline: Timeline, now: datetime
) -> dict[str, datetime]:
    """When categories were last allowed from one instant to another, between which only time passes."""
    catalogue = timeline.in_force(start)
    covering = [(q, {*covered} & {*wanted}) for q, covered in _questions(catalogue)] if catalogue else []
    facts = {fact.type for fact in person.own.facts}
    asked = [(q, covered) for q, covered in covering if covered and _might_be_allowed(q, catalogue, person.own, facts)]
    ended: dict[str, datetime] = {}
    at = start
    while asked and at < end:
        answers = [(decide(q._replace(as_of=at), person, timeline, now), covered) for q, covered in asked]
        changing = [answer.valid_until for answer, _ in answers if answer.valid_until is not None]
        at = min([end, *(instant for instant in changing if instant > at)])
        ended |= {category: at for answer, covered in answers if answer.decision for category in covered}
    return ended
