"""The pure core, played as the reference is: states in memory, no database. Who becomes one with whom it is told."""

from datetime import UTC, datetime, time
from typing import Any

from app.decision import fold
from app.decision.catalogue import Timeline
from app.decision.history import History
from app.decision.model import Decision, Event, Person, Question, State
from app.decision.rules import decide
from app.judging import Choice, Fact, faults_of_choices, faults_of_facts, faults_of_overrides
from tests.reference.generators import Act
from tests.reference.model import MICROSECOND, Identifier

COLUMNS = ("purpose", "channel", "scope", "explicit", "reference")


class Core:
    """Everything recorded, as states under the identifiers that name them."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.holders: dict[Identifier, State] = {}
        self.tombstones: dict[Identifier, State] = {}
        self.attached: list[tuple[State, State]] = []
        self._names = 0

    def _name(self) -> str:
        self._names += 1
        return f"n{self._names}"

    def holder(self, who: Identifier) -> State:
        """Whoever holds the identifier; somebody new, who takes over what was kept on it, if nobody does."""
        if who not in self.holders:
            name = self._name()
            self.holders[who] = State(subject_id=name, side=name)
            if who in self.tombstones:
                fold.take_over(self.holders[who], self.tombstones.pop(who), side=self._name())
        return self.holders[who]

    def person(self, who: Identifier) -> Person:
        if who not in self.holders:
            return Person(self.tombstones.get(who) or State(subject_id="", side=""))
        own = self.holders[who]
        heard = [pair[pair[0] is own] for pair in self.attached if own is pair[0] or own is pair[1]]
        return Person(own, tuple(heard))

    def after_all(self, now: datetime, *states: State) -> datetime:
        return max([now, *(latest + MICROSECOND for state in states if (latest := state.latest()) is not None)])

    # Recording

    def record(self, act: Act, now: datetime) -> bool:
        """Whether the choices or facts were taken."""
        if act.what == "choices":
            asked = [Choice(**item) for item in act.items]
            faults = faults_of_choices(asked, act.notice, act.method, self.timeline, act.at or now)
        else:
            established = [Fact(occurred_at=act.at, **_fields(item)) for item in act.items]
            faults = faults_of_facts(established, self.timeline, now)
            faults = faults or faults_of_overrides(established, self.person(act.who).own)
        if faults:
            return False
        state = self.holder(act.who)
        at = act.at or self.after_all(now, state)
        for item in act.items:
            event = self._event(item, act, at, state.side)
            if fold.repeated(state, event) is None:
                fold.place(state, event)
        return True

    def _event(self, item: dict[str, Any], act: Act, at: datetime, side: str) -> Event:
        fields = _fields(item)
        word = f"choice.{item['choice']}" if act.what == "choices" else f"fact.{item['fact']}"
        return Event(
            id=self._name(),
            type=word,
            at=at,
            position=self._names,
            side=side,
            notice=act.notice,
            **{name: value for name, value in fields.items() if name not in ("choice", "fact")},
        )

    # Who is who

    def merge(self, survivor: State, loser: State) -> None:
        fold.join(survivor, loser, side=self._name())
        self.holders = {who: survivor if held is loser else held for who, held in self.holders.items()}
        moved = [tuple(survivor if one is loser else one for one in pair) for pair in self.attached]
        self.attached = [(one, other) for one, other in moved if one is not other]

    def attach(self, one: State, other: State) -> None:
        if not any(one in pair and other in pair for pair in self.attached):
            self.attached.append((one, other))

    def unlink(self, who: Identifier, identifier: Identifier, now: datetime) -> None:
        state, other = self.holders[who], self.holders[identifier]
        at = self.after_all(now, state, other)
        kept = fold.tombstone(state, at=at, side=self._name(), timeline=self.timeline)
        if state is other:
            del self.holders[identifier]
            self.tombstones[identifier] = kept
        else:
            self.attached = [pair for pair in self.attached if not (state is pair[0] and other is pair[1])]
            self.attached = [pair for pair in self.attached if not (state is pair[1] and other is pair[0])]
            fold.take_over(other, kept, side=self._name())

    def erase(self, who: Identifier, now: datetime, *, force: bool) -> bool:
        state = self.holders[who]
        if History(state, self.timeline, None).open_contracts() and not force:
            return False
        kept = fold.tombstone(state, at=self.after_all(now, state), side=self._name(), timeline=self.timeline)
        for identifier in [held for held, holder in self.holders.items() if holder is state]:
            del self.holders[identifier]
            self.tombstones[identifier] = kept
        self.attached = [tuple(kept if one is state else one for one in pair) for pair in self.attached]
        return True

    # Questions

    def ask(self, question: dict[str, Any], now: datetime) -> Decision:
        fields = {name: value for name, value in question.items() if name != "subject"}
        if "data_categories" in fields:
            fields["data_categories"] = tuple(fields["data_categories"])
        return decide(Question(**fields), self.person(question["subject"]), self.timeline, now)


def _fields(item: dict[str, Any]) -> dict[str, Any]:
    """An item of a request as the core keeps it: conditions folded into `holds`, a date as its first moment."""
    known = ("choice", "fact", "purpose", "scope", "channel", "explicit", "reference")
    fields = {name: item[name] for name in known if name in item}
    if "until" in item:
        fields["until"] = datetime.combine(datetime.fromisoformat(item["until"]).date(), time(), UTC)
    if item.get("data_categories"):
        fields["data_categories"] = tuple(sorted(item["data_categories"]))
    if item.get("guardian_authorised") or (item.get("opt_out_offered") and item.get("own_similar_products")):
        fields["holds"] = True
    return fields
