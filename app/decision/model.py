"""The values that pass through the core: events, the state of a subject, questions, decisions."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from app.decision.catalogue import CHANNELS as CHANNELS  # a channel is a word of the model as well

NOES = ("choice.refuse", "choice.withdraw", "choice.object")
ALL_MARKETING = "all_marketing"
AUTOMATION = "automation"
SCOPES = (ALL_MARKETING, AUTOMATION)

# At the same instant the restrictive event wins; only within one rank does the later position decide (domain 3.3).
RANK = {
    "choice.request": 0,
    "choice.withdraw_objection": 0,
    "choice.give": 1,
    "choice.refuse": 2,
    "choice.withdraw": 3,
    "choice.object": 4,
    "fact.contract_started": 0,
    "fact.contract_ended": 1,
    "fact.restriction_lifted": 0,
    "fact.restriction_started": 1,
    "fact.objection_overridden": 0,
    "fact.objection_upheld": 1,
}


class Event(NamedTuple):
    """An entry of the ledger as far as answers depend on it. `at` is its occurred_at; `side` names the group of
    subjects, merged by then, about whom it was recorded; `reference` is a keyed digest, never the text."""

    id: str
    type: str
    at: datetime
    position: int
    side: str
    purpose: str | None = None
    channel: str | None = None
    scope: str | None = None
    notice: str | None = None
    explicit: bool = False
    reference: str | None = None
    data_categories: tuple[str, ...] | None = None
    until: datetime | None = None
    holds: bool = False  # sale: both conditions of the soft opt-in are on file; child: guardian_authorised

    @property
    def order(self) -> tuple[datetime, int, int]:
        """Where it stands among events on the same thing: instant, then restrictiveness, then position."""
        return self.at, RANK.get(self.type, 0), self.position


class Standing(NamedTuple):
    """The folded state of one (subject, purpose, channel); `version` grows by one at each change. `objected` says
    that an objection to the purpose or to a scope with it is in force (it may be lifted while a withdrawn consent
    stays withdrawn)."""

    status: str | None
    objected: bool
    event_id: str | None
    since: datetime | None
    basis: str | None
    version: int = 0

    @property
    def meaning(self) -> tuple[str | None, bool]:
        """What of it is a change when it differs."""
        return self.status, self.objected


@dataclass
class State:
    """Everything recorded about one subject that answers depend on. Nothing in it identifies the person."""

    subject_id: str
    side: str
    by_purpose: dict[str, list[Event]] = field(default_factory=dict)
    scopes: list[Event] = field(default_factory=list)
    facts: list[Event] = field(default_factory=list)
    sides: dict[str, str] = field(default_factory=dict)  # a side -> the side it became a part of
    erasures: list[datetime] = field(default_factory=list)
    standings: dict[str, dict[str, Standing]] = field(default_factory=dict)  # purpose -> channel or "" -> standing
    erased_at: datetime | None = None
    ends_told: dict[str, datetime] = field(default_factory=dict)  # "purpose evidence" -> the last end that was told
    due_told: dict[str, datetime] = field(default_factory=dict)  # data category -> since when told to be due

    @property
    def suppressed_since(self) -> datetime | None:
        """The latest erasure behind the history: no answer reaches back behind it (domain 3.4)."""
        return max(self.erasures, default=None)

    def events(self) -> list[Event]:
        """Every event, in no particular order."""
        return [*(e for events in self.by_purpose.values() for e in events), *self.scopes, *self.facts]

    def latest(self) -> datetime | None:
        """The latest instant on file."""
        return max([*(e.at for e in self.events()), *self.erasures], default=None)


class Person(NamedTuple):
    """A subject with those it is attached to: they hear each other's noes, scope objections and open restrictions."""

    own: State
    heard: tuple[State, ...] = ()


class Question(NamedTuple):
    """May we use this data for this purpose, about this person, now?"""

    purpose: str
    data_categories: tuple[str, ...] | None = None
    channel: str | None = None
    recipient: str | None = None
    jurisdiction: str | None = None
    operation: Literal["use", "store", "disclose"] = "use"
    automated: bool = False
    gpc: bool = False
    data_collected_at: datetime | None = None
    as_of: datetime | None = None


class Consideration(NamedTuple):
    """One step or ground that was looked at: whether it held, and if not, why."""

    step: str
    holds: bool
    reason: str | None = None
    basis: str | None = None
    reference: str | None = None


class Decision(NamedTuple):
    """The answer: yes or no, the basis it rests on, the reason, and the events that determined it."""

    decision: bool
    reason: str
    basis: str | None = None
    failing_data_categories: tuple[str, ...] = ()
    obligations: tuple[str, ...] = ()
    determining: tuple[Event, ...] = ()
    valid_until: datetime | None = None
    catalogue_version: str | None = None
    considered: tuple[Consideration, ...] = ()


def as_dict(value: NamedTuple) -> dict[str, Any]:
    """A named tuple as a dictionary, under the same names."""
    return value._asdict()
