"""What an operator does: keys, publication, rebuilding, a first set of sample people."""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto, publishing, rebuilding
from app.addressing import Subject
from app.judging import Choice, Fact
from app.recording import Circumstances, record_choices, record_facts
from app.storage import keys, ledger, schema
from app.storage.database import Database
from app.storage.keys import ApiKey
from app.storage.store import Store, document_of
from app.writing import Unit, no_catalogue

OPERATOR = "operator"  # the key_id of what is done on the command line


def schema_revision(url: str) -> str | None:
    """The schema revision of a database. Raises Unavailable."""

    async def look() -> str | None:
        database = Database(url)
        try:
            async with database.read() as connection:
                return await schema.revision(connection)
        finally:
            await database.close()

    return asyncio.run(look())


async def create_key(
    store: Store, name: str, scopes: Iterable[str], *, now: datetime, expires_at: datetime | None
) -> str:
    """Make a key; returns its full text, which is nowhere else."""
    key_id, text, digest = crypto.new_api_key()
    key = ApiKey(key_id, name, digest, frozenset(scopes), now, expires_at)
    await store.database.write(lambda connection: keys.add(connection, key))
    return text


async def list_keys(store: Store) -> list[ApiKey]:
    """Every key, oldest first."""
    async with store.database.read() as connection:
        return await keys.all_keys(connection)


async def revoke_key(store: Store, key_id: str, *, now: datetime) -> bool:
    """End a key; False if there is no valid one of that id."""
    return await store.database.write(lambda connection: keys.revoke(connection, key_id, at=now))


async def publish(store: Store, document: dict[str, Any], *, now: datetime) -> publishing.Publication:
    """Publish a document as the next version."""

    async def work(connection: AsyncConnection) -> publishing.Publication:
        return await publishing.publish(connection, store, document, now=now, key_id=OPERATOR)

    return await store.database.write(work)


async def dry_run(store: Store, document: dict[str, Any], *, now: datetime) -> publishing.DryRun:
    """What publishing a document would change."""
    async with store.database.long_view() as connection:
        return await publishing.dry_run(connection, store, document, now=now)


async def catalogue_in_force(store: Store, *, now: datetime) -> dict[str, object]:
    """The document in force."""
    async with store.database.view() as connection:
        timeline = await store.timeline(connection, await ledger.head(connection))
        in_force = timeline.in_force(now)
        if in_force is None:
            raise no_catalogue()
        return next(document_of(p) for p in await store.published(connection) if p.version == in_force.version)


async def rebuild(store: Store, *, only_compare: bool) -> int:
    """Compare all state with what the ledger tells, and mend it unless only asked to compare. Returns how many rows
    differed."""
    return await store.database.write(lambda connection: rebuilding.rebuild(connection, only_compare=only_compare))


_SAMPLES: tuple[tuple[str, list[Choice], list[Fact]], ...] = (
    (
        "ada@example.com",
        [Choice("give", "email_marketing", channel="email")],
        [Fact("contract_started", reference="order-1001", sealed={"reference": "order-1001"})],
    ),
    ("grace@example.com", [Choice("withdraw", "email_marketing", channel="email")], []),
    (
        "alan@example.com",
        [Choice("object", scope="all_marketing")],
        [
            Fact(
                "sale",
                reference="order-1002",
                holds=True,
                flags={"opt_out_offered": True, "own_similar_products": True},
                sealed={"reference": "order-1002"},
            )
        ],
    ),
    ("edsger@example.com", [Choice("object", scope="automation")], [Fact("restriction_started")]),
)


async def add_sample_people(store: Store, *, now: datetime) -> None:
    """A few people to ask about, each in another situation."""
    for address, choices, facts in _SAMPLES:
        subject = Subject("email", address)

        async def work(
            connection: AsyncConnection,
            subject: Subject = subject,
            choices: list[Choice] = choices,
            facts: list[Fact] = facts,
        ) -> None:
            how = Circumstances(OPERATOR, method="web_form", actor_kind="subject", occurred_at=now - timedelta(days=1))
            unit = await Unit.begin(connection, store, now)
            notice = unit.catalogue.version
            await record_choices(unit, subject, choices, how._replace(notice=notice))
            if facts:
                unit = await Unit.begin(connection, store, now)
                await record_facts(unit, subject, facts, how)

        await store.database.write(work)
