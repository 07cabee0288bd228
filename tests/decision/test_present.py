"""What a check reads gives the same answers as the whole history, and does not grow with it."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decision import fold
from app.decision.catalogue import Catalogue, DataCategory, Ground, Purpose, StandingAssessment, Timeline
from app.decision.model import CHANNELS, NOES, Event, Person, Question, State
from app.decision.present import Present, present_of
from app.decision.rules import decide
from app.storage import codec
from tests.harness.effort import effort

START = datetime(2026, 1, 1, tzinfo=UTC)
CONSENT = Ground("consent", expires_after="P5D")
INTEREST = Ground("legitimate_interest", reference="LIA-1")
TASK = Ground("public_task", reference="statute 1")
CONTRACT = Ground("contract", evidence="contract")
IMPLIED = Ground("consent", evidence="sale", expires_after="P4D", jurisdictions=("CA",))
SOFT = Ground("legitimate_interest", reference="LIA-2", evidence="sale", jurisdictions=("GB",))
INFORMED = replace(INTEREST, evidence="informed")
ASSESSED = replace(INTEREST, standing_assessment=StandingAssessment("LIA-3", (START + timedelta(days=9)).date()))
PURPOSES = ("news", "club", "profile", "care", "fraud", "credit")
JURISDICTIONS = (None, "DE", "GB", "CA")


def purpose(kind: Any, *grounds: Ground, channels: tuple[str, ...] | None = None) -> Purpose:
    return Purpose(kind, grounds=grounds, data_categories=("email", "health"), channels=channels, retention="P1Y")


FIRST = {
    "news": purpose("direct_marketing", CONSENT, SOFT, channels=("email", "sms")),
    "club": purpose("direct_marketing", CONSENT, IMPLIED),
    "profile": purpose("marketing_profiling", INTEREST),
    "care": purpose("service", CONTRACT, CONSENT, INTEREST),
    "fraud": purpose("fraud_prevention", ASSESSED, TASK),
    "credit": purpose("automated_decision", CONTRACT, replace(CONSENT, explicit=True)),
}
SECOND = FIRST | {
    "club": purpose("direct_marketing", CONSENT, IMPLIED, channels=("post",)),
    "profile": purpose("marketing_profiling", CONSENT),
    "care": purpose("service", CONSENT, INFORMED),
}
THIRD = SECOND | {
    "news": purpose("direct_marketing", replace(CONSENT, expires_after="P2D"), INTEREST),
    "care": FIRST["care"],
}


def version(name: str, day: int, purposes: dict[str, Purpose], *changed: str) -> Catalogue:
    start = START + timedelta(days=day)
    categories = {"email": DataCategory(), "health": DataCategory(special=True)}
    return Catalogue(name, purposes, start, material_changes=changed, data_categories=categories)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Up to three versions, in order of publication; a later one may reach back behind what was said."""
    days = [0, draw(st.integers(2, 8)), draw(st.integers(2, 30))][: draw(st.integers(1, 3))]
    changed = draw(st.sets(st.sampled_from(PURPOSES), max_size=1))
    made = [version(f"v{n}", day, p) for n, (day, p) in enumerate(zip(days, (FIRST, SECOND, THIRD), strict=False))]
    return Timeline([*made[:-1], replace(made[-1], material_changes=tuple(changed))])


INSTANTS = st.builds(lambda d, h: START + timedelta(days=d, hours=6 * h), st.integers(0, 11), st.integers(0, 3))
CHANNEL = st.sampled_from((None, "email", "sms", "post"))


@st.composite
def events(draw: st.DrawFn, position: int, purposes: list[str], channels: list[str | None]) -> Event:
    what = draw(st.sampled_from(("choice", "choice", "choice", "scope", "fact", "decision")))
    about: dict[str, Any] = {}
    if what == "choice":
        word = draw(st.sampled_from(("give", "give", "request", "refuse", "withdraw", "object", "withdraw_objection")))
        about = {"purpose": draw(st.sampled_from(purposes)), "channel": draw(st.sampled_from(channels)), "notice": "v0"}
        about |= {"explicit": draw(st.booleans())} if word == "give" else {}
    elif what == "scope":
        word = draw(st.sampled_from(("object", "withdraw_objection")))
        scope = draw(st.sampled_from(("all_marketing", "automation")))
        about = {"scope": scope, "channel": draw(st.sampled_from(channels)) if scope == "all_marketing" else None}
        what = "choice"
    elif what == "decision":
        word = draw(st.sampled_from(("objection_upheld", "objection_overridden", "consent_invalidated")))
        about = {"purpose": draw(st.sampled_from(purposes)), "channel": draw(st.sampled_from(channels))}
    else:
        word, about = draw(st.sampled_from(FACTS))
    kind = "fact" if what == "decision" else what
    side = draw(st.sampled_from(("a", "b", "c")))
    return Event(f"evt_{position}", f"{kind}.{word}", draw(INSTANTS), position, side, **about)


FACTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("contract_started", {"reference": "1"}),
    ("contract_ended", {"reference": "1"}),
    ("contract_started", {"reference": "2"}),
    ("sale", {"holds": True}),
    ("sale", {}),
    ("enquiry", {}),
    ("informed", {}),
    ("restriction_started", {}),
    ("restriction_lifted", {}),
    ("restriction_started", {"data_categories": ("email",)}),
    ("restriction_lifted", {"data_categories": ("email",)}),
    ("child", {"until": START + timedelta(days=5)}),
    ("child", {"until": START + timedelta(days=9), "holds": True}),
)


@st.composite
def states(draw: st.DrawFn) -> State:
    """Somebody whose sides a and b became c, and who said much about little; some have an erasure behind them."""
    state = State("sub_1", "c", sides={"a": "c", "b": "c"})
    purposes = draw(st.lists(st.sampled_from(PURPOSES[:4]), min_size=1, max_size=2))
    channels = draw(st.lists(CHANNEL, min_size=1, max_size=2))
    for position in range(draw(st.integers(0, 16))):
        event = draw(events(position, purposes, channels))
        fold.place(state, event)
        others = [channel for channel in channels if channel != event.channel]
        if event.type in NOES and event.purpose and others and draw(st.booleans()):
            fold.place(state, event._replace(channel=others[0]))  # as an erasure keeps a no: once for each channel
    state.erasures = draw(st.lists(INSTANTS, max_size=1))
    return state


QUESTIONS = st.builds(
    Question,
    purpose=st.sampled_from(PURPOSES[:4]),
    data_categories=st.sampled_from((("email",), ("health",), None)),
    channel=CHANNEL,
    jurisdiction=st.sampled_from(JURISDICTIONS),
    operation=st.sampled_from(("use", "store")),
    recipient=st.none(),
    automated=st.booleans(),
    gpc=st.booleans(),
    data_collected_at=st.none(),
    as_of=st.none(),
)


def kept(state: State, timeline: Timeline) -> Present:
    """As it comes back from the database."""
    return codec.decode_present(codec.encode_present(present_of(state, timeline)))


@settings(max_examples=effort(100, 2000))
@given(states(), st.lists(states(), max_size=1), timelines(), st.integers(1, 3), QUESTIONS, st.integers(0, 20))
def test_the_answer_is_that_of_the_whole_history(
    own: State, heard: list[State], timeline: Timeline, versions: int, question: Question, day: int
) -> None:
    now = START + timedelta(days=day)
    presents = [kept(state, timeline.first(versions)) for state in (own, *heard)]
    if all(present.suffices(question, timeline, hears=bool(heard)) for present in presents):
        reduced = Person(presents[0].state, tuple(present.state for present in presents[1:]))
        whole = Person(own, tuple(heard))
        answers = [decide(question, person, timeline, now, explain=True) for person in (reduced, whole)]
        assert answers[0] == answers[1]


WORDS = ("give", "request", "refuse", "withdraw", "object", "withdraw_objection", "sale")


@pytest.mark.parametrize(("purpose", "jurisdiction"), [("care", "DE"), ("club", "CA"), ("profile", "DE")])
def test_every_short_story_has_the_same_end(purpose: str, jurisdiction: str) -> None:
    timeline, question = Timeline([version("v0", 0, FIRST)]), Question(purpose, jurisdiction=jurisdiction)
    now = START + timedelta(days=4)
    for story in itertools.product(WORDS, repeat=4):
        state = State("sub_1", "a")
        for n, word in enumerate(story):
            about = {"type": "fact.sale"} if word == "sale" else {"type": f"choice.{word}", "purpose": purpose}
            at = START + timedelta(days=n)
            fold.place(state, Event(f"evt_{n}", at=at, position=n, side="a", notice="v0", **about))
        present = kept(state, timeline)
        assert present.suffices(question, timeline, hears=False)
        answers = [decide(question, Person(whole), timeline, now, explain=True) for whole in (present.state, state)]
        assert answers[0] == answers[1], story


@given(states(), timelines(), QUESTIONS)
def test_it_suffices_for_every_channel_that_was_spoken_of(state: State, timeline: Timeline, question: Question) -> None:
    present = kept(state, timeline)
    said_on = {e.channel for e in state.by_purpose.get(question.purpose, ())}
    if len(said_on) <= 1 and question.channel in said_on:
        assert present.suffices(question, timeline, hears=False)
    assert not present.suffices(question._replace(as_of=START), timeline, hears=False)


@given(states(), timelines(), st.sampled_from(PURPOSES))
def test_the_part_about_one_purpose_is_enough(state: State, timeline: Timeline, purpose: str) -> None:
    written = codec.encode_present(present_of(state, timeline))
    whole, part = codec.decode_present(written), codec.decode_present(written, purpose)
    assert part.state.by_purpose.get(purpose) == whole.state.by_purpose.get(purpose)
    assert (part.state.scopes, part.state.facts) == (whole.state.scopes, whole.state.facts)


def again_and_again(*alternating: dict[str, Any], count: int) -> Iterable[Event]:
    for n in range(count):
        about = dict(alternating[n % len(alternating)])
        if "reference" in about:
            about["reference"] = f"{about['reference']}-{n}"
        yield Event(f"evt_{n}", about.pop("type"), START + timedelta(minutes=n), n, "a", notice="v0", **about)


LONG: dict[str, tuple[dict[str, Any], ...]] = {
    "toggled": (
        {"type": "choice.give", "purpose": "news", "channel": "email"},
        {"type": "choice.withdraw", "purpose": "news", "channel": "email"},
    ),
    "given again": ({"type": "choice.give", "purpose": "news", "channel": "email"},),
    "objected and lifted": (
        {"type": "choice.object", "purpose": "profile"},
        {"type": "choice.withdraw_objection", "purpose": "profile"},
    ),
    "refused and lifted": (
        {"type": "choice.refuse", "purpose": "profile"},
        {"type": "choice.withdraw_objection", "purpose": "profile"},
    ),
    "scope objected and lifted": (
        {"type": "choice.object", "scope": "all_marketing"},
        {"type": "choice.withdraw_objection", "scope": "all_marketing"},
    ),
    "orders": (
        {"type": "fact.contract_started", "reference": "order"},
        {"type": "fact.sale", "reference": "order", "holds": True},
    ),
    "restricted and lifted": ({"type": "fact.restriction_started"}, {"type": "fact.restriction_lifted"}),
}


@pytest.mark.parametrize("story", LONG.values(), ids=LONG)
def test_it_does_not_grow_with_the_history(story: tuple[dict[str, Any], ...]) -> None:
    timeline = Timeline([version("v0", 0, FIRST)])
    sizes = []
    for count in (10, 1000):
        state = State("sub_1", "a")
        for event in again_and_again(*story, count=count):
            fold.place(state, event)
        sizes.append(len(present_of(state, timeline).state.events()))
    assert sizes[0] == sizes[1] <= 4


def test_a_version_that_reaches_back_unmakes_it() -> None:
    state = State("sub_1", "a")
    fold.place(state, Event("evt_1", "choice.object", START + timedelta(days=3), 1, "a", purpose="profile"))
    first, question = version("v0", 0, FIRST), Question(purpose="profile")
    present = present_of(state, Timeline([first]))
    later, earlier = version("v1", 4, SECOND), version("v2", 2, SECOND)
    assert present.suffices(question, Timeline([first, later]), hears=False)
    assert not present.suffices(question, Timeline([first, later, earlier]), hears=False)
    assert set(CHANNELS) >= {"email", "sms", "post"}
