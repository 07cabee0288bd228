"""Everybody's choices in force, and the facts that answers depend on, as rows that an import takes: under each of their
identifiers what was said, how and when."""

import json
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision.catalogue import Timeline
from app.decision.fold import current_channels
from app.decision.history import Hearing
from app.decision.model import ALL_MARKETING, SCOPES, Event, Person
from app.decision.present import present_of
from app.decision.standing import standing
from app.documents import instant
from app.importing import LIFTING
from app.storage import ledger, people, subjects
from app.storage.ledger import Entry
from app.storage.people import Holder
from app.storage.store import Store

_SAID = ("given", "expired", "outdated", "requested")  # standings that are a choice of the person, as it was made
_LIFTING = tuple(f"fact.{word}" for word in LIFTING)
_NOES = {"withdrawn": "choice.withdraw", "refused": "choice.refuse"}


class Page(NamedTuple):
    """The rows of some identifiers."""

    rows: list[dict[str, Any]]
    identifier_ids: list[str]


async def page_after(connection: AsyncConnection, store: Store, after: str, *, limit: int, now: datetime) -> Page:
    """The rows of so many identifiers after an identifier_id, in the order of these."""
    return await _page(connection, store, await people.holders_after(connection, after, limit=limit), now)


class Meanwhile(NamedTuple):
    """The rows of everybody on whom some entries of the ledger bear, the position of the last of these, and how many of
    them tell of an erasure or unlinking."""

    rows: list[dict[str, Any]]
    reached: int
    gone: int


async def page_since(
    connection: AsyncConnection, store: Store, position: int, *, limit: int, now: datetime
) -> Meanwhile:
    """What bears on so many entries of the ledger after a position. Of a contract that ended there is a row of its own:
    one before it may say that it is open."""
    head = await ledger.head(connection)
    entries = [one.entry for one in await ledger.between(connection, position + 1, head.position, limit=limit)]
    concerned = {entry.subject_id for entry in entries if entry.subject_id is not None}
    ended = {entry.event_id for entry in entries if entry.type == "fact.contract_ended"}
    holders = await people.holders_concerned(connection, concerned)
    page = await _page(connection, store, holders, now, ended)
    gone = sum(entry.type in ("subject.erased", "subject.unlinked") for entry in entries)
    return Meanwhile(page.rows, entries[-1].position if entries else position, gone)


async def _page(
    connection: AsyncConnection, store: Store, holders: list[Holder], now: datetime, ended: Collection[str] = ()
) -> Page:
    """The rows of some identifiers; with the ends of contracts that are named, which else leave no row."""
    timeline = await store.timeline(connection, await ledger.head(connection))
    said = [(holder, list(_said(holder.person, timeline, now, ended))) for holder in holders]
    event_ids = list({event.id for _, events in said for event in events})
    entries = await ledger.named(connection, event_ids)
    evidence = await subjects.evidence_named(connection, event_ids)
    rows = [
        _row(holder, event, entries.get(event.id), _unsealed(store, event, evidence), store)
        for holder, events in said
        for event in events
    ]
    return Page(rows, [holder.identifier_id for holder in holders])


def _said(person: Person, timeline: Timeline, now: datetime, ended: Collection[str]) -> Iterator[Event]:
    """What everything on file comes down to: choices, heard noes included, and facts; each once, oldest first."""
    hearing = Hearing(person, timeline, None)
    events = [
        *_on_purposes(person, hearing, timeline, now),
        *_on_scopes(hearing),
        *_suppression(person),
        *_facts(person, hearing, timeline),
        *(event for event in person.own.facts if event.id in ended),
    ]
    found = {(e.type, e.purpose, e.scope, e.channel, e.reference, e.at): e for e in reversed(events)}
    yield from sorted(found.values(), key=lambda e: e.order)


def _on_purposes(person: Person, hearing: Hearing, timeline: Timeline, now: datetime) -> Iterator[Event]:
    events = {event.id: event for event in person.own.events()}
    for purpose in sorted({key for state in (person.own, *person.heard) for key in state.by_purpose}):
        for channel in current_channels(person.own, purpose, timeline, now):
            noes = hearing.noes_in_force(purpose, channel)
            yield from noes
            stands = standing(person.own, purpose, channel, timeline=timeline, now=now)
            event = events.get(stands.event_id or "")
            if event is None:
                continue
            if stands.status in _NOES and not noes:  # withdrawn by an objection that was lifted since, which is no row
                word = _NOES[stands.status]
                yield event._replace(type=word, purpose=purpose, channel=channel, scope=None)
            elif stands.status in _SAID:
                yield event


def _on_scopes(hearing: Hearing) -> Iterator[Event]:
    for history in (hearing.own, *hearing.heard):
        for scope in SCOPES:
            yield from history.scope_objections_in_force(scope)


def _suppression(person: Person) -> Iterator[Event]:
    """What an erasure left to whoever came after it, as the one word that rows have for it: no marketing until a newer
    consent."""
    since = person.own.suppressed_since
    if since is not None:
        yield Event(id="", type="choice.object", at=since, position=0, side="", scope=ALL_MARKETING)


def _facts(person: Person, hearing: Hearing, timeline: Timeline) -> Iterator[Event]:
    """The facts that answers about now depend on, but what lifts: an import would refuse it. So a restriction that is
    open in part is a row as a whole."""
    lifted = {e.id for e in person.own.facts if e.type == "fact.restriction_started"}
    lifted -= {e.id for e in hearing.own.open_restrictions()}
    for event in present_of(person.own, timeline).state.events():
        if event.type.startswith("fact.") and event.type not in _LIFTING and event.id not in lifted:
            yield event
    for history in hearing.heard:
        yield from history.open_restrictions()


def _row(holder: Holder, event: Event, entry: Entry | None, sealed: dict[str, Any], store: Store) -> dict[str, Any]:
    value = store.secrets.unseal(holder.sealed, holder.identifier_id.encode()).decode()
    data = entry.data if entry is not None else {}
    kind, _, word = event.type.partition(".")
    told = _of_choice(event, data, sealed) if kind == "choice" else _of_fact(event, data, sealed)
    return {
        "type": holder.type,
        "id": value,
        kind: word,
        "purpose": event.purpose,
        "channel": event.channel,
        "notice": event.notice,
        "occurred_at": instant(event.at),
        **told,
    }


def _of_choice(event: Event, data: dict[str, Any], sealed: dict[str, Any]) -> dict[str, Any]:
    wording = (sealed.get("evidence") or {}).get("wording")
    return {
        "scope": event.scope,
        "explicit": event.explicit,
        "method": data.get("method", "import"),  # how it came here, where nobody said it
        "language": data.get("language"),
        "wording": wording if isinstance(wording, str) else None,
    }


def _of_fact(event: Event, data: dict[str, Any], sealed: dict[str, Any]) -> dict[str, Any]:
    told = {name: sealed.get(name) for name in ("reference", "grounds", "decided_by", "reason")}
    told |= {name: data.get(name) for name in ("opt_out_offered", "own_similar_products")}
    return told | {
        "data_categories": event.data_categories,
        "until": event.until.date().isoformat() if event.until is not None else None,
        "guardian_authorised": event.holds if event.type == "fact.child" else None,
    }


def _unsealed(store: Store, event: Event, evidence: dict[str, bytes]) -> dict[str, Any]:
    sealed = evidence.get(event.id)
    content: dict[str, Any] = json.loads(store.secrets.unseal(sealed, event.id.encode())) if sealed is not None else {}
    return content
