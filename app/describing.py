"""What is held about a person, for the person and for those who answer them: identifiers, standings, history."""

import json
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto
from app.addressing import Subject, address_of
from app.decision.catalogue import Catalogue, Timeline
from app.decision.fold import objected_scopes, standings_told
from app.decision.history import History
from app.decision.model import SCOPES, State
from app.decision.refusal import Fault, Invalid
from app.decision.standing import valid_until
from app.entries import digest_of_evidence
from app.storage import ledger, subjects
from app.storage.ledger import Entry, Head
from app.storage.lookup import looking
from app.storage.store import Store
from app.writing import no_catalogue, subject_erased, unknown_subject


class Held(NamedTuple):
    """One subject as a read found it."""

    state: State
    head: Head
    timeline: Timeline


async def find(connection: AsyncConnection, store: Store, identifier: Subject, *, head: Head, now: datetime) -> str:
    """The subject_id of whoever holds an identifier. Raises Unknown."""
    catalogue = (await store.timeline(connection, head)).judging(now)
    if catalogue is None:
        raise no_catalogue()
    holder = await subjects.holder_of(connection, address_of(identifier, catalogue, store.secrets).digests)
    if holder is None:
        raise unknown_subject()
    return holder.subject_id


async def reached_on(
    connection: AsyncConnection, store: Store, named: Subject, channel: str | None, catalogue: Catalogue
) -> Subject:
    """A subject named by its subject_id, by an identifier: one of the channel, else the oldest whose value is known.
    Raises Unknown, Erased, or Invalid if there is none."""
    assert named.subject_id is not None
    state = (await held(connection, store, named.subject_id)).state
    known = [
        Subject(identifier.type, value, pointer=named.pointer)
        for identifier in await subjects.identifiers_of(connection, [state.subject_id])
        if (value := store.value_of(identifier)) is not None
    ]
    types = catalogue.identifier_types
    on_channel = [s for s in known if s.type in types and types[s.type].channel == channel]
    if not known:
        detail = "Nothing is known under which this subject could be named in a link."
        raise Invalid(Fault(named.pointer, "no-identifier", detail))
    return (on_channel or known)[0]


async def held(connection: AsyncConnection, store: Store, subject_id: str) -> Held:
    """A subject's state, or that of the one it was merged into. Raises Unknown, or Erased."""
    snapshot = await looking(connection)([], [subject_id], whole=True)
    found = snapshot.people.get(subject_id)
    if found is None:
        raise unknown_subject()
    state = found.person.own
    if state.erased_at is not None:
        raise subject_erased()
    return Held(state, snapshot.head, await store.timeline(connection, snapshot.head))


async def describe(connection: AsyncConnection, store: Store, subject_id: str, *, now: datetime) -> dict[str, Any]:
    """Everything a subject stands at now."""
    state, head, timeline = await held(connection, store, subject_id)
    history = History(state, timeline, None)
    child = history.child
    return {
        "subject_id": state.subject_id,
        "identifiers": await _identifiers(connection, store, state.subject_id, timeline.judging(now)),
        "standings": _standings(state, timeline, now),
        "scopes": _scopes(state, timeline),
        "restrictions": [
            {"event_id": e.id, "since": e.at, "data_categories": e.data_categories} for e in history.open_restrictions()
        ],
        "open_contracts": await _contracts(connection, store, history, state.subject_id),
        "child_until": child.until.date() if child is not None and child.until is not None else None,
        "erased_at": None,
        "revision": head.revision,
    }


async def _identifiers(
    connection: AsyncConnection, store: Store, subject_id: str, catalogue: Catalogue | None
) -> list[dict[str, Any]]:
    """Its own, and those of the devices attached to it. Of a device, not who uses it: one of them may be asking what is
    held, and is not to be told who the others are (Art. 15(4))."""
    own = await subjects.identifiers_of(connection, [subject_id])
    attached = await subjects.identifiers_of(connection, await subjects.attached_to(connection, subject_id))
    people = {held.subject_id for held in attached if catalogue is None or not catalogue.is_pseudonymous(held.type)}
    return [
        {
            "identifier_id": identifier.identifier_id,
            "type": identifier.type,
            "id": store.value_of(identifier),
            "attached": identifier.subject_id != subject_id,
        }
        for identifier in (*own, *(held for held in attached if held.subject_id not in people))
    ]


def _standings(state: State, timeline: Timeline, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "purpose": purpose,
            "channel": channel,
            "status": standing.status,
            "basis": standing.basis,
            "since": standing.since,
            "valid_until": _ends(state, purpose, standing.event_id, timeline, now),
            "event_id": standing.event_id,
            "version": standing.version,
        }
        for (purpose, channel), standing in sorted(standings_told(state, timeline, now).items(), key=str)
    ]


def _ends(state: State, purpose: str, event_id: str | None, timeline: Timeline, now: datetime) -> datetime | None:
    give = next((e for e in state.by_purpose.get(purpose, ()) if e.id == event_id and e.type == "choice.give"), None)
    meaning = timeline.purpose_at(purpose, now)
    return valid_until(give, meaning, timeline, now) if give is not None and meaning is not None else None


def _scopes(state: State, timeline: Timeline) -> dict[str, str | None]:
    """`objected` or null per scope; an objection limited to a channel stands beside it under scope:channel."""
    told: dict[str, str | None] = dict.fromkeys(SCOPES)
    for scope, channel in sorted(objected_scopes(state, timeline), key=str):
        told[f"{scope}:{channel}" if channel else scope] = "objected"
    return told


async def _contracts(
    connection: AsyncConnection, store: Store, history: History, subject_id: str
) -> list[dict[str, Any]]:
    evidence = await subjects.evidence_of(connection, subject_id)
    return [
        {"event_id": e.id, "since": e.at, "reference": _unsealed(store, e.id, evidence).get("reference")}
        for e in history.open_contracts()
    ]


def _unsealed(store: Store, event_id: str, evidence: dict[str, bytes]) -> dict[str, Any]:
    sealed = evidence.get(event_id)
    content: dict[str, Any] = json.loads(store.secrets.unseal(sealed, event_id.encode())) if sealed is not None else {}
    return content


class Page(NamedTuple):
    """A part of a history, oldest first; `next` names the place to go on from."""

    entries: list[dict[str, Any]]
    next: str
    has_more: bool


async def history_of(
    connection: AsyncConnection, store: Store, subject_id: str, *, after: str | None, limit: int
) -> Page:
    """A person's history in full, with the evidence unsealed. Raises Unknown, Erased, or Invalid for a place in another
    history."""
    state, head, _ = await held(connection, store, subject_id)
    start = _position(after, head)
    component = await subjects.component_of(connection, state.subject_id)
    entries = await ledger.of_subjects(connection, component, after=start, limit=limit + 1)
    evidence = await subjects.evidence_of(connection, state.subject_id)
    page = entries[:limit]
    last = page[-1].position if page else start
    told = [_entry(entry, _unsealed(store, entry.event_id, evidence)) for entry in page]
    return Page(told, crypto.write_revision(head.epoch, last), len(entries) > limit)


def _position(after: str | None, head: Head) -> int:
    if after is None:
        return 0
    epoch, position = crypto.read_revision(after)
    if epoch != head.epoch:
        raise Invalid(
            Fault("query:after", "unknown-place", "This names no place in this history; take it from `next`.")
        )
    return position


def _entry(entry: Entry, evidence: dict[str, Any]) -> dict[str, Any]:
    hidden = {"standings", "reference", "kept", *(["evidence"] if digest_of_evidence(entry) else [])}
    details = {name: value for name, value in entry.data.items() if name not in hidden}
    return {
        "event_id": entry.event_id,
        "type": entry.type,
        "purpose": entry.purpose,
        "channel": entry.channel,
        "scope": entry.scope,
        "occurred_at": entry.occurred_at,
        "recorded_at": entry.recorded_at,
        "details": details | evidence,
        "standings": [
            {name: row[name] for name in ("purpose", "channel", "status", "previous_status", "version", "effective")}
            for row in entry.data.get("standings", ())
        ],
    }
