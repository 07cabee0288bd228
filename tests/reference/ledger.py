"""The ledger: events, what is on file about one subject, and what of it is in force (domain 3)."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tests.reference.catalogue import Catalogue, instant

NOES = ("refuse", "withdraw", "object")  # in the order they win at one instant
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    kind: str  # a choice or a fact
    at: datetime  # occurred_at
    position: int
    side: frozenset[int]  # the original subjects that were one when it was recorded
    purpose: str | None = None
    scope: str | None = None
    channel: str | None = None
    explicit: bool = False
    notice: str | None = None
    fields: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def order(self) -> tuple[datetime, int, int]:
        """Time, then the restrictive one, then the later position (domain 3.3)."""
        return self.at, NOES.index(self.kind) if self.kind in NOES else -1, self.position

    def reaches(self, other: "Event") -> bool:
        """Whether this lift is newer than the other event and of its side of every merge (domain 3.4)."""
        return self.at > other.at and other.side <= self.side


@dataclass(frozen=True)
class Place:
    """A purpose and the channel asked for; no channel when the purpose has none."""

    purpose: str
    channel: str | None

    def spot(self, no: Event) -> str | None:
        """The channel a no is judged on: that of the question, else its own."""
        return self.channel or no.channel


@dataclass(frozen=True)
class Tombstone:
    """What is kept of a subject on an identifier: when it was erased, and what was in force then."""

    erased_at: datetime
    file: "File"


@dataclass(frozen=True)
class File:
    """All that is on file about one subject; `until` leaves out what happened after it."""

    catalogue: Catalogue
    recorded: list[Event] = field(default_factory=list)
    tombstones: dict[int, Tombstone] = field(default_factory=dict)  # taken over, each as a side of a merge
    until: datetime | None = None

    def up_to(self, until: datetime | None) -> "File":
        return replace(self, until=until)

    @property
    def erased_at(self) -> datetime | None:
        return max((t.erased_at for t in self.tombstones.values()), default=None)

    @property
    def latest(self) -> datetime:
        return max([LONG_AGO, *(e.at for e in self.recorded), *(t.erased_at for t in self.tombstones.values())])

    def _seen(self, events: Iterable[Event]) -> list[Event]:
        return [e for e in events if self.until is None or e.at <= self.until]

    def events(self, *kinds: str, purpose: str | None = None) -> list[Event]:
        of_kind = [e for e in self.recorded if e.kind in kinds and (purpose is None or e.purpose == purpose)]
        return self._seen(of_kind)

    # Children and consent

    def child(self) -> Event | None:
        """The latest fact about childhood; at one instant not authorised wins, then the later date."""

        def order(e: Event) -> tuple[datetime, bool, datetime]:
            return e.at, not e.fields.get("guardian_authorised"), instant(e.fields["until"])

        return max(self.events("child"), key=order, default=None)

    def is_invalidated(self, give: Event) -> bool:
        return any(
            i.channel in (None, give.channel) and i.at >= give.at
            for i in self.events("consent_invalidated", purpose=give.purpose)
        )

    def is_unauthorised_childs(self, give: Event) -> bool:
        child = self.child()
        if child is None or child.fields.get("guardian_authorised"):
            return False
        return give.at < instant(child.fields["until"])

    def valid_gives(self, purpose: str) -> list[Event]:
        gives = self.events("give", purpose=purpose)
        return [g for g in gives if not self.is_invalidated(g) and not self.is_unauthorised_childs(g)]

    def latest_valid_give(self, place: Place) -> Event | None:
        gives = [g for g in self.valid_gives(place.purpose) if g.channel == place.channel]
        return max(gives, key=lambda g: g.order, default=None)

    # Noes

    def noes(self, place: Place) -> list[Event]:
        """Every no that reaches the place, lifted or not; on a purpose without channels a no on any."""
        own = [
            no
            for no in self.events(*NOES, purpose=place.purpose)
            if place.channel is None or no.channel in (None, place.channel)
        ]
        kept = [
            replace(no, side=frozenset({side}))
            for side, tombstone in self.tombstones.items()
            for no in tombstone.file.kept_noes(place.purpose)
            if place.channel is None or no.channel in (None, place.channel)
        ]
        return own + self._seen(kept)

    def kept_noes(self, purpose: str) -> list[Event]:
        """What a tombstone keeps: the noes in force per channel (those in force on all of them reach any)."""
        declared = {c for v in self.catalogue.having(purpose) for c in v.channels(purpose) or [None]}
        noes = {channel: self.noes_in_force(Place(purpose, channel)) for channel in declared}
        return [
            no if all(no in others for others in noes.values()) else replace(no, channel=channel or no.channel)
            for channel, there in noes.items()
            for no in there
        ]

    def outweighed_at(self, no: Event, place: Place) -> datetime | None:
        """When a valid give newer than the no was first made there."""
        spots = (place.channel, place.spot(no))
        return min((g.at for g in self.valid_gives(place.purpose) if g.channel in spots and g.at > no.at), default=None)

    def lifted_at(self, no: Event, place: Place) -> datetime | None:
        """When the no was first lifted: by a give, or by a withdrawn objection."""
        lifts = [
            lift.at
            for lift in self.events("withdraw_objection", purpose=place.purpose)
            if lift.channel in (None, place.spot(no)) and lift.reaches(no) and self._is_objection(no)
        ]
        return min([*lifts, *_some(self.outweighed_at(no, place))], default=None)

    def _is_objection(self, no: Event) -> bool:
        """`refuse` and `withdraw` are objections where a ground that can be objected to was in force."""
        version = self.catalogue.in_force_or_first(no.at)
        then = version is not None and version.has_ground(no.purpose, "legitimate_interest", "public_task")
        return no.kind == "object" or then

    def noes_in_force(self, place: Place) -> list[Event]:
        return [no for no in self.noes(place) if self.lifted_at(no, place) is None]

    # Objections to a scope

    def scope_objections(self, scope: str, place: Place) -> list[Event]:
        """Every objection to the scope that covers the place, lifted or not."""
        own = [
            o
            for o in self.events("object")
            if o.scope == scope and (scope == "automation" or o.channel in (None, place.channel))
        ]
        kept = [
            replace(o, side=frozenset({side}))
            for side, tombstone in self.tombstones.items()
            for o in tombstone.file.scope_objections(scope, place)
            if not tombstone.file.is_scope_lifted(o)
        ]
        return own + self._seen(kept)

    def is_scope_lifted(self, objection: Event) -> bool:
        """Whether it was lifted as a scope, on all its channels, and not only for single purposes."""
        lifts = [lift for lift in self.events("withdraw_objection") if lift.scope == objection.scope]
        return any(lift.channel in (None, objection.channel) and lift.reaches(objection) for lift in lifts)

    def scope_outweighed_at(self, objection: Event, place: Place) -> datetime | None:
        gives = [g for g in self.valid_gives(place.purpose) if g.at > objection.at]
        fitting = [g.at for g in gives if objection.scope == "automation" or g.channel == place.channel]
        return min(fitting, default=None)

    def scope_lifted_at(self, objection: Event, place: Place) -> datetime | None:
        """When it was first lifted here: by a give, for the scope, or (marketing) for the purpose."""
        lifts = [lift for lift in self.events("withdraw_objection") if lift.scope == objection.scope]
        if objection.scope == "all_marketing":
            lifts += self.events("withdraw_objection", purpose=place.purpose)
        here = [lift.at for lift in lifts if lift.channel in (None, place.channel) and lift.reaches(objection)]
        return min([*here, *_some(self.scope_outweighed_at(objection, place))], default=None)

    def scope_objections_in_force(self, scope: str, place: Place) -> list[Event]:
        return [o for o in self.scope_objections(scope, place) if self.scope_lifted_at(o, place) is None]

    # Facts

    def open_restrictions(self, categories: Iterable[str]) -> list[Event]:
        """The restrictions that cover one of the categories and were not lifted for it."""

        def covers(e: Event, category: str) -> bool:
            return not e.fields.get("data_categories") or category in e.fields["data_categories"]

        lifts = self.events("restriction_lifted")
        return [
            start
            for start in self.events("restriction_started")
            if any(
                covers(start, category) and not any(covers(lift, category) and lift.reaches(start) for lift in lifts)
                for category in categories
            )
        ]

    def open_contracts(self) -> list[Event]:
        """For each contract that is open, what started it last."""
        last: dict[Any, Event] = {}
        for e in sorted(
            self.events("contract_started", "contract_ended"), key=lambda e: (e.at, e.kind == "contract_ended")
        ):
            starts_anew = e.kind == "contract_started"
            if starts_anew:
                last[e.fields.get("reference")] = e
            else:
                last.pop(e.fields.get("reference"), None)
        return list(last.values())


def _some(at: datetime | None) -> list[datetime]:
    return [] if at is None else [at]
