"""Webhooks: endpoints with their place in the feed, the lease of who delivers to them, and letters: rows before that
place which were not delivered."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.inserting import insert_new
from app.storage.tables import webhook_letters as letters
from app.storage.tables import webhooks


class Webhook(NamedTuple):
    """An endpoint as it is stored. `url` and the secrets are sealed for its id."""

    webhook_id: str
    url: bytes
    secret: bytes
    previous_secret: bytes | None
    previous_until: datetime | None
    filter: dict[str, Any]
    state: str  # active, paused or disabled
    reason: str | None  # why it is disabled
    cursor: str
    not_before: datetime | None  # the endpoint asked to be left alone until then
    created_at: datetime
    lease: str | None = None


async def add(connection: AsyncConnection, webhook: Webhook) -> None:
    """Add an endpoint."""
    await connection.execute(insert(webhooks).values({**_values(webhook._asdict()), "beat": 0}))


async def all_webhooks(connection: AsyncConnection) -> list[Webhook]:
    """Every endpoint, oldest first."""
    statement = select(*_COLUMNS).order_by(webhooks.c.created_at, webhooks.c.webhook_id)
    return [_webhook(*row) for row in await connection.execute(statement)]


async def find(connection: AsyncConnection, webhook_id: str) -> Webhook | None:
    """One endpoint."""
    statement = select(*_COLUMNS).where(webhooks.c.webhook_id == webhook_id)
    row = (await connection.execute(statement)).first()
    return None if row is None else _webhook(*row)


async def hold(connection: AsyncConnection, webhook_id: str) -> Webhook | None:
    """One endpoint, its row taken until commit."""
    statement = select(*_COLUMNS).where(webhooks.c.webhook_id == webhook_id).with_for_update()
    row = (await connection.execute(statement)).first()
    return None if row is None else _webhook(*row)


async def change(connection: AsyncConnection, webhook_id: str, **values: Any) -> None:
    """Change an endpoint. Who delivers to it loses the lease, so that whoever takes it begins with what holds now."""
    statement = update(webhooks).where(webhooks.c.webhook_id == webhook_id)
    await connection.execute(statement.values(**_values(values), lease=None))


async def remove(connection: AsyncConnection, webhook_id: str) -> None:
    """Forget an endpoint and its letters."""
    await forget_letters(connection, webhook_id)
    await connection.execute(delete(webhooks).where(webhooks.c.webhook_id == webhook_id))


_COLUMNS = [webhooks.c[name] for name in Webhook._fields]


def _values(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "filter": json.dumps(values["filter"])} if "filter" in values else values


def _webhook(*row: Any) -> Webhook:
    webhook = Webhook(*row)
    return webhook._replace(
        url=bytes(webhook.url),
        secret=bytes(webhook.secret),
        previous_secret=webhook.previous_secret and bytes(webhook.previous_secret),
        filter=json.loads(row[Webhook._fields.index("filter")]),
    )


# Leases


class Lease(NamedTuple):
    """Who delivers to an active endpoint, if anybody; the beat moves while the holder lives."""

    webhook_id: str
    token: str | None
    beat: int


async def leases(connection: AsyncConnection) -> list[Lease]:
    """The leases of all active endpoints."""
    statement = select(webhooks.c.webhook_id, webhooks.c.lease, webhooks.c.beat).where(webhooks.c.state == "active")
    return [Lease(*row) for row in await connection.execute(statement)]


async def take(connection: AsyncConnection, found: Lease, token: str) -> bool:
    """Take a lease that nobody holds, or whose holder is dead; False if it is no longer as it was found."""
    statement = update(webhooks).where(
        webhooks.c.webhook_id == found.webhook_id,
        webhooks.c.state == "active",
        webhooks.c.lease.is_not_distinct_from(found.token),
        webhooks.c.beat == found.beat,
    )
    return (await connection.execute(statement.values(lease=token, beat=found.beat + 1))).rowcount == 1


async def beat(connection: AsyncConnection, tokens: Iterable[str]) -> None:
    """Show that the holder of some leases lives."""
    await connection.execute(
        update(webhooks).where(webhooks.c.lease.in_(list(tokens))).values(beat=webhooks.c.beat + 1)
    )


async def release(connection: AsyncConnection, tokens: Iterable[str]) -> None:
    """Give up some leases."""
    await connection.execute(update(webhooks).where(webhooks.c.lease.in_(list(tokens))).values(lease=None))


async def advance(connection: AsyncConnection, webhook_id: str, token: str, **values: Any) -> bool:
    """Record how far an endpoint is; False, and nothing is recorded, if the lease is lost. So who comes back from the
    dead moves no cursor backwards."""
    statement = update(webhooks).where(webhooks.c.webhook_id == webhook_id, webhooks.c.lease == token)
    return (await connection.execute(statement.values(**values, beat=webhooks.c.beat + 1))).rowcount == 1


# Letters


_START = (0, -1)  # comes before every (position, n)


class Letter(NamedTuple):
    """A row that was not delivered: the `n`th of the entry at a position. Without `next_at` it is due."""

    position: int
    n: int
    attempts: int = 0
    outcome: str | None = None  # of the last attempt
    next_at: datetime | None = None
    dead_at: datetime | None = None


async def waiting(connection: AsyncConnection, webhook_id: str, *, limit: int) -> list[Letter]:
    """The first letters that wait, in the order of the feed."""
    return await _letters(connection, webhook_id, is_dead=False, after=_START, limit=limit)


async def dead(
    connection: AsyncConnection, webhook_id: str, *, after: tuple[int, int] = _START, limit: int
) -> list[Letter]:
    """The first dead letters after a (position, n), in the order of the feed."""
    return await _letters(connection, webhook_id, is_dead=True, after=after, limit=limit)


async def _letters(
    connection: AsyncConnection, webhook_id: str, *, is_dead: bool, after: tuple[int, int], limit: int
) -> list[Letter]:
    position, n = after
    statement = (
        select(*(letters.c[name] for name in Letter._fields))
        .where(
            letters.c.webhook_id == webhook_id,
            _is_dead(wanted=is_dead),
            (letters.c.position > position) | and_(letters.c.position == position, letters.c.n > n),
        )
        .order_by(letters.c.position, letters.c.n)
        .limit(limit)
    )
    return [Letter(*row) for row in await connection.execute(statement)]


def _is_dead(*, wanted: bool) -> Any:
    return letters.c.dead_at.is_not(None) if wanted else letters.c.dead_at.is_(None)


async def counts(connection: AsyncConnection) -> dict[str, tuple[int, int]]:
    """How many letters of each endpoint wait, and how many are dead."""
    columns = func.count(), func.count(letters.c.dead_at)
    rows = await connection.execute(select(letters.c.webhook_id, *columns).group_by(letters.c.webhook_id))
    return {webhook_id: (count - dead, dead) for webhook_id, count, dead in rows}


async def keep(connection: AsyncConnection, webhook_id: str, kept: Letter) -> None:
    """Keep a letter as it is now."""
    await connection.execute(insert_new(connection, letters).values(webhook_id=webhook_id, **kept._asdict()))
    changed = {name: value for name, value in kept._asdict().items() if name not in ("position", "n")}
    await connection.execute(update(letters).where(*_is(webhook_id, kept)).values(**changed))


async def drop(connection: AsyncConnection, webhook_id: str, letter: Letter) -> None:
    """Forget a letter."""
    await connection.execute(delete(letters).where(*_is(webhook_id, letter)))


def _is(webhook_id: str, letter: Letter) -> tuple[Any, ...]:
    return letters.c.webhook_id == webhook_id, letters.c.position == letter.position, letters.c.n == letter.n


async def renew(connection: AsyncConnection, webhook_id: str) -> None:
    """Let what waits be due, with all its attempts before it."""
    statement = update(letters).where(letters.c.webhook_id == webhook_id, letters.c.dead_at.is_(None))
    await connection.execute(statement.values(attempts=0, next_at=None))


async def revive(connection: AsyncConnection, webhook_id: str, places: Iterable[tuple[int, int]] | None) -> int:
    """Let dead letters wait again: those at some (position, n), or all. Returns how many did."""
    statement = (
        update(letters)
        .where(letters.c.webhook_id == webhook_id, letters.c.dead_at.is_not(None))
        .values(attempts=0, next_at=None, dead_at=None)
    )
    if places is None:
        return int((await connection.execute(statement)).rowcount)
    revived = 0
    for position, n in places:
        at = statement.where(letters.c.position == position, letters.c.n == n)
        revived += (await connection.execute(at)).rowcount
    return revived


async def forget_letters(connection: AsyncConnection, webhook_id: str) -> None:
    """Forget all letters of an endpoint."""
    await connection.execute(delete(letters).where(letters.c.webhook_id == webhook_id))
