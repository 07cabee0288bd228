"""Made-up people, 20 standings each, written straight into the tables: a few are recorded the ordinary way, the rest
are copies of their states under new ids."""

import dataclasses
import random
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app import administering, crypto
from app.addressing import Subject, address_of
from app.crypto import Secrets
from app.decision.model import Event, State
from app.judging import Choice, Fact
from app.recording import Circumstances, record_choices, record_facts
from app.scopes import SCOPES
from app.storage import schema, subjects, tables
from app.storage.database import Database
from app.storage.store import Store
from app.writing import Unit

SECRET = bytes(range(32))
VERSION = "bench-1"
CHANNELS = ("email", "sms")
TOPICS = [f"topic_{n}" for n in range(8)]
_KINDS = 64  # different people; the rest are copies of these
_PAGE = 2000
_START = datetime(2026, 1, 1, tzinfo=UTC)


def catalogue() -> dict[str, Any]:
    """Eight topics on two channels, and four purposes without: 20 standings a person."""
    consent = [{"basis": "consent", "expires_after": "P24M"}]
    interest = [{"basis": "legitimate_interest", "reference": "LIA-1"}]
    about = {"data_categories": ["email", "orders"], "retention": "P2Y"}
    topics = {
        key: {"kind": "direct_marketing", "grounds": consent, "channels": list(CHANNELS), **about} for key in TOPICS
    }
    others = {
        "ads": {"kind": "marketing_profiling", "grounds": consent, **about},
        "statistics": {"kind": "analytics", "grounds": consent, **about},
        "recommendations": {"kind": "marketing_profiling", "grounds": interest, **about},
        "improvement": {"kind": "analytics", "grounds": interest, **about},
        "orders": {"kind": "service", "grounds": [{"basis": "contract", "evidence": "contract"}], **about},
    }
    return {
        "version": VERSION,
        "effective_from": "2025-01-01T00:00:00Z",
        "identifier_types": {"customer": {"normalise": "exact"}, "email": {"normalise": "email"}},
        "data_categories": {key: {"title": key, "sources": ["subject"]} for key in ("email", "orders")},
        "purposes": topics | others,
    }


def said(n: int) -> dict[tuple[str, str], str]:
    """What the n-th person said about each topic on each channel: yes to a half of them."""
    dice = random.Random(n % _KINDS)
    return {(t, channel): dice.choice(("give", "give", "withdraw", "refuse")) for t in TOPICS for channel in CHANNELS}


async def make(url: str, count: int, events: Sequence[tuple[int, int]] = ()) -> str:
    """Fill an empty database; returns an API key with every scope. `events` adds people with long histories: (how many
    people, how many events each)."""
    schema.upgrade(url)
    database = Database(url)
    store = Store(database, Secrets(SECRET))
    try:
        key = await administering.create_key(store, "bench", SCOPES, now=_START, expires_at=None)
        await administering.publish(store, catalogue(), now=_START)
        kinds = [await _record(store, n) for n in range(_KINDS)]
        for page in _pages(count):
            await database.write(lambda c, page=page: _copy(c, store, [(f"c-{n}", kinds[n % _KINDS]) for n in page]))
        for people, length in events:
            long = _lengthened(kinds[0], length)
            named = [(f"e{length}-{n}", long) for n in range(people)]
            await database.write(lambda c, named=named: _copy(c, store, named))
    finally:
        await database.close()
    return key


def _pages(count: int) -> Iterator[range]:
    for start in range(0, count, _PAGE):
        yield range(start, min(start + _PAGE, count))


async def _record(store: Store, n: int) -> State:
    """One person, recorded as every person is."""
    subject = Subject("customer", f"kind-{n}")
    choices = [Choice(word, topic, channel=channel) for (topic, channel), word in said(n).items()]
    choices += [Choice("give", purpose) for purpose in ("ads", "statistics")]
    choices += [Choice("object", purpose) for purpose in ("recommendations", "improvement")]
    how = Circumstances("bench", method="web_form", notice=VERSION, occurred_at=_START + timedelta(minutes=n))
    facts = [Fact("contract_started", reference=f"order-{n}"), Fact("sale", reference=f"order-{n}", holds=True)]

    async def work(connection: AsyncConnection) -> State:
        now = datetime.now(UTC)
        record = await record_choices(await Unit.begin(connection, store, now), subject, choices, how)
        await record_facts(await Unit.begin(connection, store, now), subject, facts, how)
        return (await subjects.take(connection, [record.subject_id]))[record.subject_id]

    return await store.database.write(work)


def _lengthened(state: State, length: int) -> State:
    """The same person after saying yes and no to one topic again and again, half of it, and buying again and again."""
    longer = dataclasses.replace(state, by_purpose={p: list(e) for p, e in state.by_purpose.items()})
    longer.facts = list(state.facts)
    said, bought = longer.by_purpose[TOPICS[0]], state.facts
    for n in range(length - len(state.events())):
        at, position = _START + timedelta(days=2, minutes=n), 10**6 + n
        event = said[n // 4 % 2] if n % 2 else bought[n // 2 % 2]
        word = "choice.give" if n % 4 == 1 else "choice.withdraw" if n % 2 else event.type
        event = event._replace(type=word, at=at, position=position, reference=f"{n:064x}" if n % 2 == 0 else None)
        (said if n % 2 else longer.facts).append(event)
    return longer


async def _copy(connection: AsyncConnection, store: Store, people: list[tuple[str, State]]) -> None:
    unit = await Unit.begin(connection, store, _START)
    held, named = [], []
    for name, state in people:
        address = address_of(Subject("customer", name), unit.catalogue, store.secrets)
        copy = _renamed(state)
        held.append({"subject_id": copy.subject_id, **subjects.written(copy, unit.timeline)})
        named.append(
            {
                "identifier_id": crypto.new_id("idn_"),
                "digest": address.digests[0],
                "type": "customer",
                "subject_id": copy.subject_id,
                "linked_at": _START,
                "sealed": secrets.token_bytes(50),
            }
        )
    await connection.execute(insert(tables.subjects), held)
    await connection.execute(insert(tables.identifiers), named)


def _renamed(state: State) -> State:
    subject_id = crypto.new_id("sub_")
    ids = iter(secrets.token_hex(13 * 64))

    def renamed(events: list[Event]) -> list[Event]:
        if len(events) > 100:
            return [e._replace(side=subject_id) for e in events]
        return [e._replace(id="evt_" + "".join(next(ids, "0") for _ in range(26)), side=subject_id) for e in events]

    return dataclasses.replace(
        state,
        subject_id=subject_id,
        side=subject_id,
        by_purpose={purpose: renamed(events) for purpose, events in state.by_purpose.items()},
        facts=renamed(state.facts),
    )
