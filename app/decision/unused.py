"""Which data categories of a person no purpose may use any more, and since when (Art. 5(1)(e), 17(1))."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from app.decision.catalogue import Catalogue, Timeline
from app.decision.history import Hearing
from app.decision.model import Person, Question, State
from app.decision.rules import decide

_FACTS = {"contract": "fact.contract_started", **{name: f"fact.{name}" for name in ("sale", "enquiry", "informed")}}
_TICK = timedelta(microseconds=1)


class Unused(NamedTuple):
    """A category that no purpose may use. `since` is when the last one might, or the last
    restriction of it was lifted; None if neither ever was."""

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


def unused(person: Person, timeline: Timeline, now: datetime, jurisdiction: str | None = None) -> list[Unused]:
    """The categories that no purpose may use now where the person is, in the order of the catalogue, each with when one
    last might; then those that only an earlier version had. What is restricted is to be kept (Art. 18(2))."""
    catalogue = timeline.in_force(now)
    if catalogue is None:
        return []
    known = {category for version in timeline.versions for category in version.data_categories}
    search = _Search(person, timeline, now, jurisdiction)
    idle = known - search.restricted(known, None)
    idle -= search.usable(catalogue, idle)
    ended = search.ended(idle)
    return [
        *(Unused(category, ended.get(category)) for category in catalogue.data_categories if category in idle),
        *(Unused(category, ended[category]) for category in sorted(ended.keys() - catalogue.data_categories.keys())),
    ]


def untold(person: Person, timeline: Timeline, now: datetime) -> dict[datetime, list[str]]:
    """The categories that lost their last purpose and of which that was not told, by when they did."""
    found: dict[datetime, list[str]] = {}
    told = person.own.due_told
    for category, since in unused(person, timeline, now):
        if since is not None and (category not in told or told[category] < since):
            found.setdefault(since, []).append(category)
    return dict(sorted(found.items()))


class _Search(NamedTuple):
    """One person's data, looked through from now back."""

    person: Person
    timeline: Timeline
    now: datetime
    jurisdiction: str | None

    def restricted(self, categories: Iterable[str], at: datetime | None) -> set[str]:
        """Those under an open restriction at an instant, None being now: they may only be stored (Art. 18(2))."""
        hearing = Hearing(self.person, self.timeline, at)
        return {category for category in categories if hearing.open_restrictions((category,))}

    def usable(self, catalogue: Catalogue, categories: Iterable[str]) -> set[str]:
        """Those that some purpose may use now."""
        found: set[str] = set()
        for question, category in self._questions(catalogue, categories):
            if category not in found and decide(question, self.person, self.timeline, self.now).decision:
                found.add(category)
        return found

    def _questions(self, catalogue: Catalogue, categories: Iterable[str]) -> Iterator[tuple[Question, str]]:
        """Every question about one category alone, since another may be restricted or special; what is anonymous is
        not held here."""
        wanted = {*categories}
        for question in everything_about(catalogue, jurisdiction=self.jurisdiction, gpc=False):
            purpose = catalogue.purposes[question.purpose]
            for category in purpose.data_categories if purpose.personal else ():
                if category in wanted:
                    yield question._replace(data_categories=(category,)), category

    def ended(self, wanted: set[str]) -> dict[str, datetime]:
        """When each category was last allowed or restricted: back from now, between instants at which something
        happened."""
        ended: dict[str, datetime] = {}
        for start, end in reversed(list(pairwise(self._instants()))):
            ended |= self._ended_between(start, end, wanted - ended.keys())
            if ended.keys() == wanted:
                break
        return ended

    def _instants(self) -> list[datetime]:
        """When something happened to the person or a version came into force since, from just before the first event
        on, for what needs no event on file was allowed then; and now."""
        happened = {e.at for state in (self.person.own, *self.person.heard) for e in state.events() if e.at < self.now}
        if not happened:
            return [self.now]
        first = min(happened) - _TICK
        starts = (version.effective_from for version in self.timeline.versions)
        return sorted({first, *happened, *(at for at in starts if at is not None and first < at < self.now), self.now})

    def _ended_between(self, start: datetime, end: datetime, wanted: set[str]) -> dict[str, datetime]:
        """When categories were last allowed or restricted between two instants, between which only time passes."""
        catalogue = self.timeline.in_force(start)
        ended = dict.fromkeys(self.restricted(wanted, start), end)
        asked = self._worth_asking(catalogue, wanted - ended.keys()) if catalogue else []
        at = start
        while asked and at < end:
            answers = [(decide(q._replace(as_of=at), self.person, self.timeline, self.now), c) for q, c in asked]
            changing = [answer.valid_until for answer, _ in answers if answer.valid_until is not None]
            at = min([end, *(instant for instant in changing if instant > at)])
            ended |= {category: at for answer, category in answers if answer.decision}
        return ended

    def _worth_asking(self, catalogue: Catalogue, wanted: set[str]) -> list[tuple[Question, str]]:
        """The questions whose grounds rest on something that is on file at all; cheaper than to ask at every
        instant."""
        state = self.person.own
        facts = {fact.type for fact in state.facts}
        return [(q, c) for q, c in self._questions(catalogue, wanted) if _might_be_allowed(q, catalogue, state, facts)]


def _might_be_allowed(question: Question, catalogue: Catalogue, state: State, facts: set[str]) -> bool:
    return any(
        (ground.evidence is not None and _FACTS[ground.evidence] in facts)
        or (ground.evidence is None and ground.basis != "consent")
        or any(event.type == "choice.give" for event in state.by_purpose.get(question.purpose, ()))
        for ground in catalogue.purposes[question.purpose].grounds
    )
