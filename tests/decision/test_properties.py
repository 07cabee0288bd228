"""Laws that hold of every history under every catalogue (domain 3 and 4); what Hypothesis makes up is in
tests/reference/generators.py."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.decision import fold
from app.decision.catalogue import Timeline
from app.decision.model import Decision, Event, Person, Question, State
from app.decision.rules import decide
from tests.harness.effort import effort
from tests.reference.core import Core
from tests.reference.generators import NOW, PURPOSES, STEP, Case, cases_of, on_grid, read
from tests.reference.test_agreement import bounded

MICROSECOND = timedelta(microseconds=1)
EXAMPLES = effort(60, 2000)
NOES = (
    *("choice.refuse", "choice.withdraw", "choice.object"),
    *("fact.restriction_started", "fact.consent_invalidated", "fact.child", "fact.objection_upheld"),
)


class Told:
    """One person to whom everything in a case was recorded, and what is asked about them."""

    def __init__(self, case: Case) -> None:
        self.timeline = Timeline([read(document) for document in case.documents])
        stories = [
            self._history(act for act in case.acts if act.who[1][-1] == story)
            for story in sorted({act.who[1][-1] for act in case.acts})
        ]
        # No two events have one position, as in a ledger: it decides between equals at one instant.
        self.events = [
            event._replace(id=f"evt_{n}", position=n) for n, event in enumerate(itertools.chain.from_iterable(stories))
        ]
        asked = [{name: value for name, value in q.items() if name != "subject"} for q in case.questions()]
        self.questions = list({str(q): _question(q) for q in asked if "as_of" not in q}.values())

    def _history(self, acts: Iterable[Any]) -> list[Event]:
        core, now = Core(self.timeline), NOW
        somebody = ("customer", "one")
        for act in acts:
            if act.what in ("choices", "facts"):
                core.record(replace(act, who=somebody, at=act.at or on_grid(1)), now)
        return core.holder(somebody).events()

    def ask(self, state: State, at: datetime = NOW) -> list[Decision]:
        return [decide(question, Person(state), self.timeline, at, explain=True) for question in self.questions]


def _question(asked: dict[str, Any]) -> Question:
    categories = asked.get("data_categories")
    return Question(**asked | {"data_categories": None if categories is None else tuple(categories)})


def state_of(events: Iterable[Event], side: str = "side") -> State:
    state = State(subject_id=f"sub_{side}", side=side)
    for event in events:
        fold.place(state, event._replace(side=side))
    return state


def said(answers: Iterable[Decision]) -> list[Decision]:
    """The answers, whatever the order in which they name what determined them."""
    return [
        a._replace(determining=tuple(sorted((e._replace(side="") for e in a.determining), key=str))) for a in answers
    ]


@bounded(EXAMPLES)
@given(cases_of(1), st.randoms(use_true_random=False))
def test_the_order_in_which_events_arrive_does_not_matter(case: Case, chance: Any) -> None:
    told = Told(case)
    expected = said(told.ask(state_of(told.events)))
    chance.shuffle(told.events)
    state = state_of(told.events)
    assert said(told.ask(state)) == expected
    assert all(fold.repeated(state, event._replace(side="side")) for event in told.events)


@bounded(EXAMPLES)
@given(cases_of(1), st.integers(1, 7), st.sampled_from(PURPOSES))
def test_an_older_yes_never_overrides_a_withdrawal(case: Case, ago: int, purpose: str) -> None:
    """Whatever was agreed to before it, and whenever that is recorded, consent is gone for every channel."""
    told = Told(case)
    at = on_grid(ago)
    withdrawal = Event(id="no", type="choice.withdraw", at=at, position=10_000, side="side", purpose=purpose)
    older = [event for event in told.events if event.at <= at]
    for late in itertools.permutations((withdrawal, *older[-2:])):
        state = state_of((*older[:-2], *late))
        for question, answer in zip(told.questions, told.ask(state), strict=True):
            if question.purpose == purpose:
                assert not (answer.decision and answer.basis == "consent"), (question, answer)


@bounded(EXAMPLES)
@given(cases_of(1), st.sampled_from(NOES), st.sampled_from(PURPOSES), st.integers(0, 7), st.booleans())
def test_a_no_more_turns_no_answer_into_a_yes(case: Case, word: str, purpose: str, ago: int, is_scope: bool) -> None:
    told = Told(case)
    no = Event(id="no", type=word, at=on_grid(ago), position=10_000, side="side")
    if is_scope and word == "choice.object":
        no = no._replace(scope="all_marketing")
    elif word not in ("fact.restriction_started", "fact.child"):
        no = no._replace(purpose=purpose)
    if word == "fact.child":
        no = no._replace(until=on_grid(-4))
    before, after = told.ask(state_of(told.events)), told.ask(state_of([*told.events, no]))
    turned = [
        pair
        for pair in zip(told.questions, before, after, strict=True)
        if pair[2].decision > pair[1].decision and pair[2].reason != "restriction_storage"  # what is kept is not used
    ]
    assert turned == []


@bounded(EXAMPLES)
@given(cases_of(3))
def test_merging_in_any_order_ends_in_the_same_answers(case: Case) -> None:
    told = Told(case)
    thirds = [told.events[n::3] for n in range(3)]
    answers = []
    for order in itertools.permutations(range(3)):
        survivor, second, third = (state_of(thirds[n], f"side{n}") for n in order)
        fold.join(survivor, second, side="both")
        fold.join(survivor, third, side="all")
        answers.append(said(told.ask(survivor)))
    second = state_of(thirds[1], "side1")
    fold.join(second, state_of(thirds[2], "side2"), side="both")
    first = state_of(thirds[0], "side0")
    fold.join(first, second, side="all")
    answers.append(said(told.ask(first)))
    assert all(one == answers[0] for one in answers)


@bounded(EXAMPLES)
@given(cases_of(1))
def test_every_yes_rests_on_a_ground_that_holds(case: Case) -> None:
    told = Told(case)
    for question, answer in zip(told.questions, told.ask(state_of(told.events)), strict=True):
        if answer.decision and answer.reason not in ("not_personal_data", "restriction_storage"):
            catalogue = told.timeline.in_force(NOW)
            assert catalogue is not None
            assert answer.basis in {ground.basis for ground in catalogue.purposes[question.purpose].grounds}
            assert any(step.holds and step.basis == answer.basis for step in answer.considered)
        if not answer.decision:
            assert answer.basis is None


@bounded(EXAMPLES)
@given(cases_of(1))
def test_an_answer_stands_until_the_instant_it_names(case: Case) -> None:
    told = Told(case)
    state = state_of(told.events)
    for question, answer in zip(told.questions, told.ask(state), strict=True):
        end = answer.valid_until or NOW + 40 * STEP
        assert end > NOW
        for instant in (min(NOW + MICROSECOND, end - MICROSECOND), NOW + (end - NOW) / 2, end - MICROSECOND):
            later = decide(question, Person(state), told.timeline, instant)
            assert (later.decision, later.reason, later.basis) == (answer.decision, answer.reason, answer.basis)


def test_without_anything_on_file_only_what_needs_nothing_is_a_yes() -> None:
    """Silence is not consent (Art. 4(11))."""
    seen = set()

    @bounded(EXAMPLES)
    @given(cases_of(1))
    def ask(case: Case) -> None:
        told = Told(case)
        for answer in told.ask(state_of(())):
            seen.add((answer.decision, answer.basis))

    ask()
    assert (True, "consent") not in seen
    assert {(True, "legitimate_interest"), (False, None)} <= seen


@pytest.mark.parametrize("word", ["choice.refuse", "choice.withdraw"])
def test_a_no_at_the_instant_of_a_yes_wins(word: str) -> None:
    """Of two at one instant the more restrictive counts (domain 3.2)."""
    timeline = Timeline([read(_ASKS_CONSENT)])
    yes = Event(id="yes", type="choice.give", at=NOW, position=2, side="side", purpose="p", notice="v0")
    no = yes._replace(id="no", type=word, position=1, notice=None)
    for events in ((yes, no), (no, yes)):
        answer = decide(Question("p"), Person(state_of(events)), timeline, NOW)
        assert (answer.decision, answer.determining[0].id) == (False, "no")
    assert decide(Question("p"), Person(state_of((yes,))), timeline, NOW).decision is True


_ASKS_CONSENT = {
    "home": "DE",
    "default_jurisdiction": "DE",
    "version": "v0",
    "effective_from": on_grid(8).isoformat(),
    "identifier_types": {"customer": {"normalise": "exact"}},
    "data_categories": {"name": {"sources": ["subject"]}},
    "purposes": {
        "p": {"kind": "service", "grounds": [{"basis": "consent"}], "data_categories": ["name"], "retention": "P4Y"}
    },
}
