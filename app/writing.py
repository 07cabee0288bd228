"""One unit of work on the ledger: subjects taken, events drafted, standings folded, entries chained."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto
from app.addressing import Address, Subject, address_of
from app.decision import due, fold
from app.decision.catalogue import Catalogue, Timeline
from app.decision.fold import Change
from app.decision.model import Event, State
from app.decision.refusal import Erased, NotReady, Unknown
from app.documents import instant
from app.entries import told, written
from app.storage import ledger, subjects
from app.storage.database import Conflict
from app.storage.ledger import Entry, Head
from app.storage.store import Store
from app.storage.subjects import Identifier

_TICK = timedelta(microseconds=1)
_DRAFTED = 2**62  # positions of drafts: after everything on file, until the ledger gives them theirs


@dataclass
class Draft:
    """An event on its way into the ledger. `data` is what the ledger keeps, `sealed` what lies sealed beside it."""

    type: str
    at: datetime
    subject_id: str | None
    data: dict[str, Any] = field(default_factory=dict)
    sealed: dict[str, Any] = field(default_factory=dict)
    purpose: str | None = None
    channel: str | None = None
    scope: str | None = None
    event_id: str = field(default_factory=lambda: crypto.new_id("evt_"))


class Unit:
    """What one unit of work knows, and the entries it will append when it ends."""

    def __init__(
        self, connection: AsyncConnection, store: Store, head: Head, timeline: Timeline, now: datetime
    ) -> None:
        self.connection = connection
        self.store = store
        self.head = head
        self.timeline = timeline
        self.now = now
        self._drafts: list[Draft] = []
        self._states: dict[str, State] = {}
        self._new: set[str] = set()  # subjects whose rows are made when the unit ends

    @classmethod
    async def begin(cls, connection: AsyncConnection, store: Store, now: datetime) -> "Unit":
        """Start on what is committed now. Raises NotReady before any catalogue is published."""
        head = await ledger.head(connection)
        timeline = await store.timeline(connection, head)
        if not timeline:
            raise no_catalogue()
        return cls(connection, store, head, timeline, now)

    @property
    def catalogue(self) -> Catalogue:
        """The version in force now, else the earliest. What was published before this unit came before it, whatever the
        clocks say."""
        catalogue = self.timeline.judging(max(self.now, self.store.last_publication))
        assert catalogue is not None, "a unit begins only once a catalogue is published"
        return catalogue

    # Subjects

    async def hold(self, subject: Subject) -> State:
        """The state of the subject named, its row taken until commit; a new subject if nobody has that identifier."""
        if subject.subject_id is not None:
            return await self.hold_existing(subject.subject_id)
        address = address_of(subject, self.catalogue, self.store.secrets)
        holder = await subjects.holder_of(self.connection, address.digests)
        if holder is None:
            return await self.create(address)
        return (await self.take([holder.subject_id], [address]))[0]

    async def hold_existing(self, subject_id: str) -> State:
        """The state of an existing subject, or of the one it was merged into, its row taken until commit."""
        survivor = await subjects.survivor_of(self.connection, subject_id)
        if survivor is None:
            raise unknown_subject()
        state = (await self.take([survivor]))[0]
        if state.erased_at is not None:
            raise subject_erased()
        return state

    async def take(self, subject_ids: Sequence[str], addresses: Sequence[Address] = ()) -> list[State]:
        """Take the rows of some subjects together; the identifiers they were found by must still be theirs."""
        states = await subjects.take(self.connection, subject_ids)
        for address in addresses:
            holder = await subjects.holder_of(self.connection, address.digests)
            if holder is None or holder.subject_id not in states:
                raise Conflict
            sealed = self._seal_value(address, holder.identifier_id) if holder.sealed is None else None
            if sealed is not None:
                await subjects.add_value(self.connection, holder.identifier_id, sealed)
        self._states.update(states)
        return [states[subject_id] for subject_id in subject_ids]

    async def hold_all(self, addresses: Sequence[Address]) -> list[State]:
        """The states of many subjects, each by an identifier, their rows taken until commit; new ones are made for
        identifiers that nobody holds. The same as to hold each, in a few statements."""
        digests = [digest for address in addresses for digest in address.digests]
        holders = await subjects.holders_of(self.connection, digests)
        states = await subjects.take(self.connection, {holder.subject_id for holder in holders.values()})
        again = await subjects.holders_of(self.connection, list(holders))
        if {d: h.subject_id for d, h in again.items()} != {d: h.subject_id for d, h in holders.items()}:
            raise Conflict
        self._states.update(states)
        held = {digest: states[holder.subject_id] for digest, holder in holders.items()}
        await self._create_all([address for address in addresses if held.keys().isdisjoint(address.digests)], held)
        found = [next(held[d] for d in address.digests if d in held) for address in addresses]
        for address in addresses:
            await self._keep_value(address, holders)
        return found

    async def _create_all(self, addresses: Sequence[Address], held: dict[bytes, State]) -> None:
        """New subjects, each with one identifier, added to those held."""
        new = {address.digests: address for address in addresses}
        if not new:
            return
        given = []
        for address in new.values():
            state = State(subject_id=(subject_id := crypto.new_id("sub_")), side=subject_id)
            held |= dict.fromkeys(address.digests, state)
            self._states[subject_id] = state
            self._new.add(subject_id)
            given.append((state, address, self._identifier(state, address)))
        await subjects.add_identifiers(self.connection, *(identifier for _, _, identifier in given))
        digests = [digest for address in new.values() for digest in address.digests]
        left = {tombstone.digest: tombstone for tombstone in await subjects.tombstones_on(self.connection, digests)}
        for state, address, identifier in given:
            for tombstone in (left[digest] for digest in address.digests if digest in left):
                self.take_over(state, tombstone.event_id, tombstone.state, identifier.identifier_id)
        if left:
            await subjects.remove_tombstones(self.connection, list(left))

    async def _keep_value(self, address: Address, holders: dict[bytes, Identifier]) -> None:
        """Keep the value of an identifier that only a link had named."""
        holder = next((holders[digest] for digest in address.digests if digest in holders), None)
        sealed = self._seal_value(address, holder.identifier_id) if holder and holder.sealed is None else None
        if holder is not None and sealed is not None:
            await subjects.add_value(self.connection, holder.identifier_id, sealed)

    async def create(self, address: Address) -> State:
        """A new subject with one identifier; what an erasure left on the identifier passes to it."""
        subject_id = crypto.new_id("sub_")
        state = State(subject_id=subject_id, side=subject_id)
        await subjects.create(self.connection, [state], self.timeline, self.now)
        self._states[subject_id] = state
        await self.give_identifier(state, address)
        return state

    async def give_identifier(self, state: State, address: Address) -> Identifier:
        """Give a subject an identifier nobody holds, and with it what an erasure or unlinking left there."""
        identifier = self._identifier(state, address)
        await subjects.add_identifiers(self.connection, identifier)
        left = await subjects.tombstones_on(self.connection, address.digests)
        for tombstone in left:
            self.take_over(state, tombstone.event_id, tombstone.state, identifier.identifier_id)
        if left:
            await subjects.remove_tombstones(self.connection, address.digests)
        return identifier

    def _identifier(self, state: State, address: Address) -> Identifier:
        identifier_id = crypto.new_id("idn_")
        sealed = self._seal_value(address, identifier_id)
        return Identifier(identifier_id, address.digests[0], address.type, state.subject_id, self.now, sealed)

    def _seal_value(self, address: Address, identifier_id: str) -> bytes | None:
        if address.normalised is None:
            return None
        return self.store.secrets.seal(address.normalised.encode(), identifier_id.encode())

    def take_over(self, state: State, left_by: str, kept: State, identifier_id: str) -> None:
        """Let a subject take over what an erasure or unlinking kept (domain 3.4)."""
        self.tell_ends(state)
        told = {"takes_over": left_by, "suppressed_since": instant(max(kept.erasures))}
        draft = self.draft(state, "subject.linked", {"identifier_id": identifier_id, **told})
        purposes = {*state.by_purpose, *kept.by_purpose}
        self.change(state, draft, purposes, lambda: fold.take_over(state, kept, side=draft.event_id))

    # Events

    def after_all(self, *states: State) -> datetime:
        """Now, and after everything already on file for these subjects."""
        latest = [latest + _TICK for state in states if (latest := state.latest()) is not None]
        return max([self.now, *latest])

    def draft(self, state: State, type: str, data: dict[str, Any]) -> Draft:
        """Add an event about the subject that is neither choice nor fact, happening now."""
        draft = Draft(type, self.after_all(state), state.subject_id, data)
        self._drafts.append(draft)
        return draft

    def place(self, state: State, event: Event, purposes: Iterable[str], **about: dict[str, Any]) -> list[Change]:
        """Add a choice or fact to a subject's history; returns what became of the standings of the purposes named."""
        self.tell_ends(state)
        event = event._replace(position=_DRAFTED + len(self._drafts), side=state.side)
        draft = Draft(
            event.type,
            event.at,
            state.subject_id,
            purpose=event.purpose,
            channel=event.channel,
            scope=event.scope,
            event_id=event.id,
            **about,
        )
        draft.data |= told(event)
        self._drafts.append(draft)
        return self.change(state, draft, purposes, lambda: fold.place(state, event))

    def change(self, state: State, draft: Draft, purposes: Iterable[str], act: Callable[[], None]) -> list[Change]:
        """Change a state, and write into the draft what became of its standings and of the scopes objected to."""
        purposes = sorted(purposes)
        before = fold.standings(state, purposes, self.timeline, self.now)
        objected = fold.objected_scopes(state, self.timeline)
        act()
        after = fold.standings(state, purposes, self.timeline, self.now)
        changes = fold.keep(state, before, after, about=draft.purpose)
        draft.data["standings"] = [written(change) for change in changes if change.standing.version]
        now_objected = fold.objected_scopes(state, self.timeline)
        if now_objected != objected:
            draft.data["scopes"] = [
                {"scope": scope, "channel": channel, "objected": (scope, channel) in now_objected}
                for scope, channel in sorted(now_objected ^ objected, key=str)
            ]
        return changes

    async def recorded_at(self, event: Event) -> datetime:
        """When an event was committed, or will be with this unit."""
        if event.position >= _DRAFTED:
            return max(self.now, event.at)
        return await ledger.recorded_at(self.connection, event.id)

    def tell_ends(self, state: State) -> None:
        """Record what time alone ended and nobody told yet, before anything else happens to the subject. Changes no
        answer."""
        for consent in due.ended_consents(state, self.timeline, self.now):
            change = Change(consent.purpose, consent.channel, consent.previous, consent.standing, effective=True)
            data = {"notice": consent.notice, "standings": [written(change)]}
            draft = Draft("consent.expired", consent.at, state.subject_id, data)
            draft.purpose, draft.channel = consent.purpose, consent.channel
            state.standings[consent.purpose][consent.channel or ""] = consent.standing
            self._drafts.append(draft)
        for end in due.ends_of_evidence(state, self.timeline, self.now):
            if end.at <= self.now:
                draft = Draft("evidence.expired", end.at, state.subject_id, {"evidence": end.evidence})
                draft.purpose = end.purpose
                state.ends_told[end.key] = end.at
                self._drafts.append(draft)

    def tell_due(self, state: State, untold: dict[datetime, list[str]]) -> None:
        """Record which data categories of a subject are due for erasure since when."""
        for at, categories in untold.items():
            self._drafts.append(Draft("erasure_due", at, state.subject_id, {"data_categories": categories}))
            state.due_told |= dict.fromkeys(categories, at)

    def replace(self, state: State) -> None:
        """Put a state in the place of the one that was held for the subject."""
        self._states[state.subject_id] = state

    async def finish(self) -> str:
        """Write everything; the head is taken last, so that positions follow commit order. Returns the revision."""
        if not self._drafts:  # what is on file already may have come while rows were waited for
            return (await ledger.head(self.connection)).revision
        _look_ahead(self._drafts)
        await subjects.add_evidence(self.connection, [self._seal(draft) for draft in self._drafts if draft.sealed])
        ended, digest = await ledger.reserve(self.connection, len(self._drafts))
        if ended.catalogue_serial != self.head.catalogue_serial:
            raise Conflict  # judged by a catalogue that is not the last any more
        for state in self._states.values():
            fold.renumber(state, _DRAFTED, ended.position + 1)
        new = [state for state in self._states.values() if state.subject_id in self._new]
        old = [state for state in self._states.values() if state.subject_id not in self._new]
        await subjects.create(self.connection, new, self.timeline, self.now)
        await subjects.save(self.connection, old, self.timeline, self.now)
        entries = [self._entry(draft, ended.position + n) for n, draft in enumerate(self._drafts, start=1)]
        await ledger.append(self.connection, entries, digest=digest)
        return ended._replace(position=ended.position + len(entries)).revision

    def _seal(self, draft: Draft) -> tuple[str, str, bytes]:
        """Seal what the ledger does not keep, and let it name that by digest."""
        assert draft.subject_id is not None, "only what is about a person has evidence"
        content = crypto.canonical_json(draft.sealed)
        draft.data["evidence"] = self.store.secrets.reference_digests(content.decode())[0]
        return draft.event_id, draft.subject_id, self.store.secrets.seal(content, draft.event_id.encode())

    def _entry(self, draft: Draft, position: int) -> Entry:
        return Entry(
            event_id=draft.event_id,
            type=draft.type,
            occurred_at=draft.at,
            recorded_at=max(self.now, draft.at),
            data=draft.data,
            subject_id=draft.subject_id,
            purpose=draft.purpose,
            channel=draft.channel,
            scope=draft.scope,
            position=position,
        )


def _look_ahead(drafts: Sequence[Draft]) -> None:
    """Where a later event of the same unit changes the same standing or scope again, say so with the earlier one: the
    change feed tells what holds after the commit, never what held in the middle of it."""
    last: dict[tuple[str | None, ...], dict[str, Any]] = {}
    for draft in reversed(drafts):
        for row in draft.data.get("standings", ()):
            key = (draft.subject_id, "standing", row["purpose"], row["channel"])
            if row["effective"] and key in last:
                row["after"] = {name: last[key][name] for name in ("status", "objected", "basis", "version")}
            last.setdefault(key, row)
        for row in draft.data.get("scopes", ()):
            key = (draft.subject_id, "scope", row["scope"], row["channel"])
            if key in last:
                row["after"] = {"objected": last[key]["objected"]}
            last.setdefault(key, row)


# What is in the way


def no_catalogue() -> NotReady:
    """Nothing can be asked or recorded before a catalogue is published."""
    detail = "No catalogue is published yet: publish one with PUT /v1/catalogue or `maywe catalogue publish`."
    return NotReady("no-catalogue", detail)


def unknown_subject() -> Unknown:
    """There never was a subject of that id."""
    return Unknown("unknown-subject", "There is no subject with this id.")


def subject_erased() -> Erased:
    """The subject was erased."""
    return Erased("subject-erased", "This subject was erased; nothing more is kept about it.")
