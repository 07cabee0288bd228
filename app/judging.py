"""Whether the catalogue allows a choice or fact to be recorded at all (domain 3.1, 3.2)."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from app.decision.catalogue import CHANNELS, MARKETING, Catalogue, Purpose, Timeline
from app.decision.model import ALL_MARKETING, NOES, State
from app.decision.refusal import Fault

ChoiceWord = Literal["request", "give", "refuse", "withdraw", "object", "withdraw_objection"]
A_NO = ("refuse", "withdraw", "object")
ON_OBJECTIONS = ("objection_upheld", "objection_overridden")


class Choice(NamedTuple):
    """What a person decided about one purpose or one scope."""

    choice: str
    purpose: str | None = None
    scope: str | None = None
    channel: str | None = None
    explicit: bool = False


class Fact(NamedTuple):
    """What the controller established. `flags` the ledger keeps as they are; `sealed` is free text."""

    fact: str
    occurred_at: datetime | None = None
    purpose: str | None = None
    channel: str | None = None
    notice: str | None = None
    reference: str | None = None
    data_categories: tuple[str, ...] | None = None
    until: datetime | None = None
    holds: bool = False
    flags: dict[str, Any] = {}  # noqa: RUF012  never changed
    sealed: dict[str, Any] = {}  # noqa: RUF012  never changed


# Choices


def faults_of_choices(
    choices: Sequence[Choice], notice: str | None, method: str | None, timeline: Timeline, at: datetime
) -> list[Fault]:
    """Everything that speaks against recording these choices, made at one instant under one notice."""
    faults = [] if notice is None or timeline.named(notice) else [_unknown_notice("/notice")]
    for n, choice in enumerate(choices):
        pointer = f"/choices/{n}"
        if choice.scope is not None:
            faults += _of_scope(choice, pointer)
        elif choice.choice in ("give", "request"):
            faults += _of_asking(
                choice, pointer, _judge(choice, notice, timeline, at), given=_Given(notice, method, timeline, at)
            )
        else:
            faults += _of_no(choice, pointer, timeline)
    return [*faults, *_contradictions(choices)]


class _Given(NamedTuple):
    notice: str | None
    method: str | None
    timeline: Timeline
    at: datetime


def _judge(choice: Choice, notice: str | None, timeline: Timeline, at: datetime) -> Catalogue | None:
    """The version that judges: for consent the notice agreed to, for a request the one in force when it was made."""
    if choice.choice == "give" and notice is not None:
        return timeline.named(notice)
    return timeline.in_force(at)


def _of_scope(choice: Choice, pointer: str) -> Iterator[Fault]:
    if choice.choice not in ("object", "withdraw_objection"):
        yield Fault(f"{pointer}/choice", "scope-choice", "Only object and withdraw_objection apply to a scope.")
    if choice.channel is None:
        return
    if choice.scope != ALL_MARKETING:
        yield Fault(f"{pointer}/channel", "channel-not-declared", "Only all_marketing may be limited to one channel.")
    elif choice.channel not in CHANNELS:
        yield _undeclared_channel(pointer, CHANNELS)


def _of_asking(choice: Choice, pointer: str, judge: Catalogue | None, given: _Given) -> Iterator[Fault]:
    if choice.choice == "give":
        yield from _of_evidence(given)
        if judge is None and given.notice is not None:
            return  # that there is no such notice is a fault of its own
    purpose = judge.purposes.get(choice.purpose or "") if judge is not None else None
    if purpose is None:
        yield _unknown_purpose(pointer)
        return
    if not purpose.enabled:
        yield Fault(f"{pointer}/purpose", "purpose-disabled", "The purpose is disabled in that notice.")
    if not purpose.rests_on("consent"):
        detail = "The purpose does not rest on consent in that notice, so consent to it means nothing."
        yield Fault(f"{pointer}/purpose", "no-consent-ground", detail)
        return
    yield from _of_channel(choice, pointer, purpose)
    consents = [ground for ground in purpose.grounds if ground.basis == "consent"]
    if choice.choice == "give" and not choice.explicit and all(ground.explicit for ground in consents):
        detail = "This purpose needs explicit consent: say explicit: true if the person stated it expressly."
        yield Fault(f"{pointer}/explicit", "explicit-consent-required", detail)


def _of_evidence(given: _Given) -> Iterator[Fault]:
    """Art. 7(1): consent that could not be demonstrated is not taken."""
    if given.notice is None:
        yield Fault("/notice", "notice-required", "Say which notice version the person agreed to.")
    elif not given.timeline.was_in_force(given.notice, given.at):
        yield Fault("/notice", "notice-not-in-force", "That notice was not yet in force when the consent was given.")
    if given.method is None:
        yield Fault("/method", "method-required", "Say how the consent was given.")


def _of_channel(choice: Choice, pointer: str, purpose: Purpose) -> Iterator[Fault]:
    if choice.channel is None and purpose.channels:
        detail = f"Consent is given per channel; name one of: {', '.join(purpose.channels)}."
        yield Fault(f"{pointer}/channel", "channel-required", detail)
    elif choice.channel is not None and choice.channel not in (purpose.channels or ()):
        yield _undeclared_channel(pointer, purpose.channels or ())


def _of_no(choice: Choice, pointer: str, timeline: Timeline) -> Iterator[Fault]:
    """A no is judged by any version that had the purpose, so that none is lost."""
    versions = timeline.with_purpose(choice.purpose or "")
    if not versions:
        yield _unknown_purpose(pointer)
        return
    channels = {c for version in versions for c in version.purposes[choice.purpose or ""].channels or ()}
    if choice.channel is not None and choice.channel not in channels:
        yield _undeclared_channel(pointer, sorted(channels))


def _contradictions(choices: Sequence[Choice]) -> Iterator[Fault]:
    gives = {(c.purpose, c.channel) for c in choices if c.choice == "give"}
    for n, choice in enumerate(choices):
        if choice.purpose is None or choice.choice not in A_NO:
            continue
        if any(p == choice.purpose and choice.channel in (None, channel) for p, channel in gives):
            detail = "The same request gives consent for this purpose and channel and says no to it."
            yield Fault(f"/choices/{n}", "contradictory-choices", detail)


# Facts


def faults_of_facts(facts: Sequence[Fact], timeline: Timeline, now: datetime) -> list[Fault]:
    """Everything that speaks against recording these facts."""
    return [fault for n, fact in enumerate(facts) for fault in _of_fact(fact, f"/facts/{n}", timeline, now)]


def _of_fact(fact: Fact, pointer: str, timeline: Timeline, now: datetime) -> Iterator[Fault]:
    if fact.notice is not None and timeline.named(fact.notice) is None:
        yield _unknown_notice(f"{pointer}/notice")
    known = {category for version in timeline.versions for category in version.data_categories}
    for n, category in enumerate(fact.data_categories or ()):
        if category not in known:
            detail = "No catalogue declares this data category."
            yield Fault(f"{pointer}/data_categories/{n}", "unknown-data-category", detail)
    if fact.purpose is None:
        return
    if not timeline.with_purpose(fact.purpose):
        yield _unknown_purpose(pointer)
        return
    yield from _of_no(Choice(fact.fact, fact.purpose, channel=fact.channel), pointer, timeline)
    purpose = timeline.purpose_at(fact.purpose, fact.occurred_at or now)
    if fact.fact == "objection_overridden" and purpose is not None and purpose.kind in MARKETING:
        detail = "No override exists for marketing: an objection to it is absolute (Art. 21(3))."
        yield Fault(f"{pointer}/purpose", "no-override-for-marketing", detail)


def faults_of_overrides(facts: Sequence[Fact], state: State) -> list[Fault]:
    """The overrides that answer nothing: this person never said no to the purpose."""
    return [
        Fault(
            f"/facts/{n}/purpose",
            "no-objection",
            "This person never objected to the purpose: there is nothing to override.",
        )
        for n, fact in enumerate(facts)
        if fact.fact == "objection_overridden"
        and not any(e.type in NOES for e in state.by_purpose.get(fact.purpose or "", ()))
    ]


# Faults in common


def _unknown_purpose(pointer: str) -> Fault:
    return Fault(
        f"{pointer}/purpose", "unknown-purpose", "No catalogue version that counts here declares this purpose."
    )


def _unknown_notice(pointer: str) -> Fault:
    return Fault(pointer, "unknown-notice", "No catalogue version of this name was ever published.")


def _undeclared_channel(pointer: str, channels: Sequence[str]) -> Fault:
    declared = f"it declares: {', '.join(channels)}" if channels else "it has none"
    return Fault(
        f"{pointer}/channel", "channel-not-declared", f"The purpose does not declare this channel; {declared}."
    )
