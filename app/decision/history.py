"""What a history says at an instant: which noes, objections and restrictions are in force, which consents are valid."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from app.decision.catalogue import OBJECTABLE, Timeline
from app.decision.model import ALL_MARKETING, AUTOMATION, NOES, Event, Person, State
from app.decision.period import END_OF_TIME, earliest

_NO = "no"


class History:
    """One subject's own events up to an instant (`until`; None: all that is committed)."""

    def __init__(self, state: State, timeline: Timeline, until: datetime | None) -> None:
        self._state = state
        self._timeline = timeline
        self._until = until
        # What was looked for once is kept: a long history is asked about each of its events.
        self._facts: dict[str, list[Event]] | None = None
        self._found: dict[str, dict[str, list[Event]]] = {}
        self._valid: dict[str, list[Event]] = {}
        self._given: dict[tuple[str, str | None], list[datetime]] = {}

    # Reading

    def _counted(self, events: Sequence[Event]) -> Sequence[Event]:
        return events if self._until is None else [e for e in events if e.at <= self._until]

    def on(self, purpose: str, kind: str) -> Sequence[Event]:
        """The events of a type that name a purpose; with `no` every refusal, withdrawal and objection."""
        found = self._found.get(purpose)
        if found is None:
            self._found[purpose] = found = {}
            for event in self._counted(self._state.by_purpose.get(purpose, ())):
                found.setdefault(_NO if event.type in NOES else event.type, []).append(event)
        return found.get(kind, ())

    def facts(self, type: str) -> Sequence[Event]:
        """The facts of a type that name no purpose."""
        found = self._facts
        if found is None:
            self._facts = found = {}
            for event in self._counted(self._state.facts):
                found.setdefault(event.type, []).append(event)
        return found.get(type, ())

    def _scope(self, scope: str, choice: str) -> list[Event]:
        if not self._state.scopes:
            return []
        return [e for e in self._counted(self._state.scopes) if e.scope == scope and e.type == choice]

    def is_suppressed(self, purpose: str, channel: str | None) -> bool:
        """Whether an erasure lies behind, and no valid consent for a marketing purpose and channel is newer."""
        since = self._state.suppressed_since
        if since is None:
            return False
        give = self.latest_give(purpose, channel)
        return give is None or give.at <= since

    # Sides of a merge

    def reaches(self, lift: Event, no: Event) -> bool:
        """Whether something that merely lifts reaches an older no: across a merge only if recorded after it
        (domain 3.4)."""
        side: str | None = no.side
        while side is not None and side != lift.side:
            side = self._state.sides.get(side)
        return side is not None

    def _lifted(self, no: Event, lifts: Iterable[Event]) -> bool:
        return any(lift.at > no.at and self.reaches(lift, no) for lift in lifts)

    # Children

    @property
    def child(self) -> Event | None:
        """The latest established fact about the person being a child."""
        children = self.facts("fact.child") if self._state.facts else ()
        return max(children, key=lambda e: (e.at, not e.holds, e.until, e.position)) if children else None

    def given_by_unauthorised_child(self, give: Event) -> bool:
        """Art. 8(1): a child's consent needs the holder of parental responsibility."""
        child = self.child
        return child is not None and not child.holds and child.until is not None and give.at < child.until

    # Consent

    def gives(self, purpose: str) -> Sequence[Event]:
        """Every consent given for a purpose, on whichever channel, valid or not."""
        return self.on(purpose, "choice.give")

    def invalidated(self, give: Event) -> bool:
        """Whether a later decision established that the consent was never valid."""
        assert give.purpose is not None
        return any(
            e.at >= give.at and e.channel in (None, give.channel)
            for e in self.on(give.purpose, "fact.consent_invalidated")
        )

    def is_valid(self, give: Event) -> bool:
        """Whether a consent carries and lifts anything at all. It stays valid after it expired: it was a yes then."""
        return not self.given_by_unauthorised_child(give) and not self.invalidated(give)

    def valid_gives(self, purpose: str) -> list[Event]:
        """The valid consents for a purpose, on whichever channel."""
        if purpose not in self._valid:
            self._valid[purpose] = [give for give in self.gives(purpose) if self.is_valid(give)]
        return self._valid[purpose]

    def _given_after(self, at: datetime, purpose: str, channel: str | None) -> datetime | None:
        """When the first valid consent for a purpose and exactly this channel was given after an instant."""
        given = self._given.get((purpose, channel))
        if given is None:
            self._given[purpose, channel] = given = sorted(
                g.at for g in self.valid_gives(purpose) if g.channel == channel
            )
        n = bisect_right(given, at)
        return given[n] if n < len(given) else None

    def latest_give(self, purpose: str, channel: str | None) -> Event | None:
        """The latest valid consent for a purpose and exactly this channel."""
        return max((g for g in self.valid_gives(purpose) if g.channel == channel), key=_order, default=None)

    # Noes

    def noes(self, purpose: str, channel: str | None) -> list[Event]:
        """Every no that reaches a purpose on a channel, whether or not something newer outweighs it."""
        return [e for e in self.on(purpose, _NO) if channel is None or e.channel in (None, channel)]

    def _lifts(self, purpose: str, channel: str | None) -> list[Event]:
        return [e for e in self.on(purpose, "choice.withdraw_objection") if e.channel in (None, channel)]

    def can_be_lifted(self, no: Event) -> bool:
        """An objection can be taken back; a refusal or withdrawal only where it was taken as one."""
        assert no.purpose is not None
        if no.type == "choice.object":
            return True
        catalogue = self._timeline.judging(no.at)
        purpose = catalogue.purposes.get(no.purpose) if catalogue else None
        return purpose is not None and purpose.rests_on(*OBJECTABLE)

    def noes_in_force(self, purpose: str, channel: str | None) -> list[Event]:
        """The noes not followed by a newer valid consent for that purpose and channel, nor lifted."""
        return [no for no, end in self.noes_with_end(purpose, channel) if end is None]

    def noes_with_end(self, purpose: str, channel: str | None) -> Iterator[tuple[Event, datetime | None]]:
        """Every no that reaches a purpose on a channel, and when it was first outweighed or lifted."""
        noes = self.noes(purpose, channel)
        lifts = sorted(self.on(purpose, "choice.withdraw_objection"), key=_order) if noes else []
        for no in noes:
            lifted = self.lifted_at(no, lifts, channel or no.channel) if self.can_be_lifted(no) else None
            yield no, earliest([lifted, self.outweighed_at(no, purpose, channel)])

    def lifted_at(self, no: Event, lifts: Sequence[Event], channel: str | None) -> datetime | None:
        """When the first of some lifts, in order, that reach a no and a channel lifted it."""
        for n in range(bisect_right(lifts, no.at, key=_at), len(lifts)):
            if lifts[n].channel in (None, channel) and self.reaches(lifts[n], no):
                return lifts[n].at
        return None

    def outweighed_at(self, no: Event, purpose: str, channel: str | None) -> datetime | None:
        """When the first valid consent newer than a no or an objection to all marketing was given for a purpose and
        channel; for a purpose without channels, on the channel of the no."""
        given = self._given_after(no.at, purpose, channel)
        return given if channel is not None else earliest((given, self._given_after(no.at, purpose, no.channel)))

    # Scope objections

    def marketing_objections(self, channel: str | None) -> list[Event]:
        """Objections to all marketing (Art. 21(2)) that reach a channel, lifted or not."""
        return [e for e in self._scope(ALL_MARKETING, "choice.object") if e.channel in (None, channel)]

    def marketing_objections_in_force(self, purpose: str, channel: str | None) -> list[Event]:
        """Those neither lifted, as a scope or for this purpose, nor followed by a newer valid consent."""
        return [s for s, end in self.marketing_objections_with_end(purpose, channel) if end is None]

    def marketing_objections_with_end(
        self, purpose: str, channel: str | None
    ) -> Iterator[tuple[Event, datetime | None]]:
        """Every objection to all marketing that reaches a channel, and when it was first outweighed or lifted for the
        purpose."""
        objections = self.marketing_objections(channel)
        if not objections:
            return
        lifts = [e for e in self._scope(ALL_MARKETING, "choice.withdraw_objection") if e.channel in (None, channel)]
        lifts += self._lifts(purpose, channel)
        for objection in objections:
            ends = [lift.at for lift in lifts if self._lifted(objection, [lift])]
            yield objection, earliest([*ends, self.outweighed_at(objection, purpose, channel)])

    def automation_objections_in_force(self, purpose: str) -> list[Event]:
        """Objections to automated processing, not lifted, nor followed by a newer valid consent for the purpose."""
        objections = self._scope(AUTOMATION, "choice.object")
        if not objections:
            return []
        gives = self.valid_gives(purpose)
        lifts = self._scope(AUTOMATION, "choice.withdraw_objection")
        return [
            objection
            for objection in objections
            if not self._lifted(objection, lifts) and not any(g.at > objection.at for g in gives)
        ]

    def scope_objections_in_force(self, scope: str) -> list[Event]:
        """The objections to a scope not lifted as a scope, whatever single purposes it was lifted for."""
        lifts = self._scope(scope, "choice.withdraw_objection")
        return [
            objection
            for objection in self._scope(scope, "choice.object")
            if not self._lifted(objection, [e for e in lifts if e.channel in (None, objection.channel)])
        ]

    # Decisions on objections

    def is_overridden(self, no: Event) -> bool:
        """Whether a later decision with compelling grounds answers this objection, and none upheld it at or after
        that."""
        assert no.purpose is not None
        overrides = self.on(no.purpose, "fact.objection_overridden")
        upheld = max((e.at for e in self.on(no.purpose, "fact.objection_upheld")), default=None)
        return any(o.at > no.at and self.reaches(o, no) and (upheld is None or upheld < o.at) for o in overrides)

    def is_upheld_since(self, purpose: str, at: datetime) -> bool:
        """Whether an objection to the purpose was upheld at or after an instant."""
        return any(e.at >= at for e in self.on(purpose, "fact.objection_upheld"))

    # Facts

    def open_contracts(self) -> list[Event]:
        """The latest start of each contract that has not ended since."""
        by_reference: dict[str | None, Event] = {}
        for e in sorted([*self.facts("fact.contract_started"), *self.facts("fact.contract_ended")], key=_order):
            by_reference[e.reference] = e
        return [e for e in by_reference.values() if e.type == "fact.contract_started"]

    def open_restrictions(self, data_categories: Iterable[str] | None = None) -> list[Event]:
        """The restrictions not lifted for every category they cover, among the asked ones (None: any at all)."""
        starts = self.facts("fact.restriction_started")
        if not starts:
            return []
        lifts = self.facts("fact.restriction_lifted")
        return [
            start
            for start in starts
            if self._restricts(start, None if data_categories is None else set(data_categories), lifts)
        ]

    def _restricts(self, start: Event, asked: set[str] | None, lifts: Sequence[Event]) -> bool:
        reaching = [lift for lift in lifts if self._lifted(start, [lift])]
        if any(lift.data_categories is None for lift in reaching):
            return False
        lifted = {c for lift in reaching for c in lift.data_categories or ()}
        if start.data_categories is not None:
            covered = set(start.data_categories) if asked is None else asked & set(start.data_categories)
            return not covered <= lifted
        return asked is None or not asked <= lifted


class Hearing:
    """A person's own history, and what is in force with those it is attached to (domain 3.4): noes, scope
    objections and open restrictions. Only its own newer valid consent outweighs what it hears."""

    def __init__(self, person: Person, timeline: Timeline, until: datetime | None) -> None:
        self.own = History(person.own, timeline, until)
        self.heard = [History(state, timeline, until) for state in person.heard]

    def has_noes(self, purpose: str) -> bool:
        """Whether there is any no to a purpose, own or heard, on whichever channel, in force or not."""
        return any(history.noes(purpose, None) for history in (self.own, *self.heard))

    def _noes_there(self, purpose: str, channel: str | None) -> list[Event]:
        return [no for other in self.heard for no in other.noes_in_force(purpose, channel)]

    def _marketing_objections_there(self, purpose: str, channel: str | None) -> list[Event]:
        return [e for other in self.heard for e in other.marketing_objections_in_force(purpose, channel)]

    def heard_noes(self, purpose: str, channel: str | None) -> list[Event]:
        """The noes in force with those it is attached to that no own newer consent outweighs."""
        there = self._noes_there(purpose, channel)
        return [no for no in there if self.own.outweighed_at(no, purpose, channel) is None]

    def noes_in_force(self, purpose: str, channel: str | None) -> list[Event]:
        """Own and heard noes in force on a purpose and channel, oldest first."""
        noes = self.own.noes_in_force(purpose, channel)
        if self.heard:
            noes += self.heard_noes(purpose, channel)
        return sorted(noes, key=_order)

    def heard_marketing_objections(self, purpose: str, channel: str | None) -> list[Event]:
        """Objections to all marketing in force with those it is attached to that no own newer consent outweighs."""
        there = self._marketing_objections_there(purpose, channel)
        return [e for e in there if self.own.outweighed_at(e, purpose, channel) is None]

    def marketing_objections_in_force(self, purpose: str, channel: str | None) -> list[Event]:
        """Own and heard objections to all marketing in force for a purpose and channel."""
        return [
            *self.own.marketing_objections_in_force(purpose, channel),
            *self.heard_marketing_objections(purpose, channel),
        ]

    def silence_ended(self, purpose: str, channel: str | None, *, marketing: bool) -> datetime | None:
        """The instant after which a fact may stand in for a choice: when the last no, own or heard, was lifted or
        outweighed. None if there never was a no; the end of time while one is in force."""
        own, heard = self.own, self._noes_there(purpose, channel)
        ends = [end for _, end in own.noes_with_end(purpose, channel)]
        if marketing:
            ends += [end for _, end in own.marketing_objections_with_end(purpose, channel)]
            heard += self._marketing_objections_there(purpose, channel)
        ends += [own.outweighed_at(e, purpose, channel) for e in heard]
        return max((end or END_OF_TIME for end in ends), default=None)

    def automation_objections_in_force(self, purpose: str) -> list[Event]:
        """Own and heard objections to automated processing in force for a purpose."""
        heard = [e for other in self.heard for e in other.automation_objections_in_force(purpose)]
        if not heard:
            return self.own.automation_objections_in_force(purpose)
        newest = max((give.at for give in self.own.valid_gives(purpose)), default=None)
        unanswered = [e for e in heard if newest is None or e.at >= newest]
        return self.own.automation_objections_in_force(purpose) + unanswered

    def open_restrictions(self, data_categories: Iterable[str]) -> list[Event]:
        """Own and heard restrictions open for any of the categories."""
        asked = tuple(data_categories)
        return [e for history in (self.own, *self.heard) for e in history.open_restrictions(asked)]


def _at(event: Event) -> datetime:
    return event.at


def _order(event: Event) -> tuple[datetime, int, int]:
    return event.order
