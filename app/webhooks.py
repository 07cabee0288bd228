"""Webhooks managed: endpoints to which the rows of the feed are pushed (Standard Webhooks 1.0.0), from making one to
replaying what it refused."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto, cursors
from app.changes import NOW, Reader, undeclared
from app.cursors import Cursor
from app.decision.refusal import Conflicting, Fault, Invalid, Unknown
from app.destinations import Destinations
from app.storage import ledger, webhooks
from app.storage.ledger import Entry, Head
from app.storage.store import Store
from app.storage.webhooks import Letter, Webhook
from app.telling import Filter, read_row_id, row_id

MOST = 100  # endpoints
_PREFIX = "whsec_"
_SECRET_LENGTH = 32  # octets; Standard Webhooks wants 24 to 64


class Wanted(NamedTuple):
    """Which rows an endpoint is told, and with which identifiers."""

    filter: Filter = Filter()
    identifier_type: str | None = None

    def stored(self) -> dict[str, Any]:
        """What is stored, in the words of the feed's own parameters."""
        purposes, channels, types = map(list, self.filter)
        return {"purpose": purposes, "channel": channels, "type": types, "identifier_type": self.identifier_type}


def wanted_of(webhook: Webhook) -> Wanted:
    """Which rows an endpoint is told."""
    stored = webhook.filter
    passing = Filter(tuple(stored["purpose"]), tuple(stored["channel"]), tuple(stored["type"]))
    return Wanted(passing, stored["identifier_type"])


def require_url(destinations: Destinations, url: str) -> None:
    """Raise Invalid unless a webhook may be sent to a URL."""
    fault = destinations.fault_of(url)
    if fault is not None:
        raise Invalid(Fault("/url", "invalid-url", fault))


def url_of(store: Store, webhook: Webhook) -> str:
    """Where an endpoint is."""
    return store.secrets.unseal(webhook.url, _context(webhook.webhook_id, "url")).decode()


def secrets_of(store: Store, webhook: Webhook, now: datetime) -> list[bytes]:
    """What its messages are signed with: the secret, and the one before while that is still honoured."""
    sealed = [webhook.secret]
    if webhook.previous_secret and webhook.previous_until and now < webhook.previous_until:
        sealed.append(webhook.previous_secret)
    return [store.secrets.unseal(one, _context(webhook.webhook_id, "secret")) for one in sealed]


def _context(webhook_id: str, what: str) -> bytes:
    return f"{webhook_id} {what}".encode()


class Desk:
    """Manages the endpoints in one unit of work, or reads them in one moment."""

    def __init__(self, connection: AsyncConnection, store: Store, now: datetime) -> None:
        self._connection = connection
        self._store = store
        self._now = now

    # Reading

    async def every(self) -> list[dict[str, Any]]:
        """All endpoints, oldest first."""
        counts = await webhooks.counts(self._connection)
        return [self._told(webhook, counts) for webhook in await webhooks.all_webhooks(self._connection)]

    async def one(self, webhook_id: str) -> dict[str, Any]:
        """One endpoint. Raises Unknown."""
        webhook = await webhooks.find(self._connection, webhook_id)
        if webhook is None:
            raise _unknown()
        return self._told(webhook, await webhooks.counts(self._connection))

    def _told(self, webhook: Webhook, counts: dict[str, tuple[int, int]]) -> dict[str, Any]:
        waiting, dead = counts.get(webhook.webhook_id, (0, 0))
        return {
            "webhook_id": webhook.webhook_id,
            "url": url_of(self._store, webhook),
            "filter": webhook.filter,
            "state": webhook.state,
            "reason": webhook.reason,
            "cursor": webhook.cursor,
            "waiting": waiting,
            "dead_letters": dead,
            "previous_secret_until": webhook.previous_until,
            "created_at": webhook.created_at,
        }

    # Changing

    async def create(self, url: str, wanted: Wanted, after: str | None) -> dict[str, Any]:
        """A new endpoint, with its secret, which is told only here. It is told what comes after a cursor, or from now
        on. Raises Invalid, Conflicting when there are too many, and what a reader of the feed with that cursor gets."""
        await self._require_declared(wanted)
        if len(await webhooks.all_webhooks(self._connection)) >= MOST:
            raise Conflicting("too-many-webhooks", f"There are {MOST} webhooks at most.")
        webhook_id = crypto.new_id("wh_")
        secret = secrets.token_bytes(_SECRET_LENGTH)
        webhook = Webhook(
            webhook_id=webhook_id,
            url=self._seal(webhook_id, "url", url.encode()),
            secret=self._seal(webhook_id, "secret", secret),
            previous_secret=None,
            previous_until=None,
            filter=wanted.stored(),
            state="active",
            reason=None,
            cursor=await self._place(after or NOW, wanted),
            not_before=None,
            created_at=self._now,
        )
        await webhooks.add(self._connection, webhook)
        return {**self._told(webhook, {}), "secret": _written(secret)}

    async def change(self, webhook_id: str, url: str | None, wanted: Wanted | None) -> dict[str, Any]:
        """Another URL or filter, from where the endpoint is in the feed. Raises Unknown, Invalid."""
        webhook = await self._held(webhook_id)
        values: dict[str, Any] = {}
        if url is not None:
            values = {"url": self._seal(webhook_id, "url", url.encode()), "not_before": None}
            await webhooks.renew(self._connection, webhook_id)
        if wanted is not None:
            await self._require_declared(wanted)
            values["filter"] = wanted.stored()
        await webhooks.change(self._connection, webhook_id, **values)
        return await self.one(webhook.webhook_id)

    async def delete(self, webhook_id: str) -> dict[str, Any]:
        """Forget an endpoint, its place and its letters. Raises Unknown."""
        await self._held(webhook_id)
        await webhooks.remove(self._connection, webhook_id)
        return {"webhook_id": webhook_id}

    async def pause(self, webhook_id: str) -> dict[str, Any]:
        """Deliver nothing until it is resumed; the place is kept. One that is disabled stays so. Raises Unknown."""
        webhook = await self._held(webhook_id)
        if webhook.state == "active":
            await webhooks.change(self._connection, webhook_id, state="paused")
        return await self.one(webhook_id)

    async def resume(self, webhook_id: str, after: str | None) -> dict[str, Any]:
        """Go on from where the endpoint was, what waits at once; or from another cursor, and forget what waits or is
        dead. Raises Unknown, and what a reader of the feed with that cursor gets."""
        webhook = await self._held(webhook_id)
        cursor = await self._place(after or webhook.cursor, wanted_of(webhook))
        if after is None:
            await webhooks.renew(self._connection, webhook_id)
        else:
            await webhooks.forget_letters(self._connection, webhook_id)
        goes_on = {"state": "active", "reason": None, "not_before": None}
        await webhooks.change(self._connection, webhook_id, cursor=cursor, **goes_on)
        return await self.one(webhook_id)

    async def rotate(self, webhook_id: str, overlap: timedelta) -> dict[str, Any]:
        """A new secret, told only here; the one before is honoured for a while. Raises Unknown."""
        webhook = await self._held(webhook_id)
        secret, until = secrets.token_bytes(_SECRET_LENGTH), self._now + overlap
        sealed = self._seal(webhook_id, "secret", secret)
        before = {"previous_secret": webhook.secret, "previous_until": until}
        await webhooks.change(self._connection, webhook_id, secret=sealed, **before)
        return {"webhook_id": webhook_id, "secret": _written(secret), "previous_secret_until": until}

    # Dead letters

    async def dead_letters(self, webhook_id: str, after: str | None, limit: int) -> dict[str, Any]:
        """A page of what was given up, in the order of the feed. Raises Unknown, Invalid."""
        await self.one(webhook_id)
        places = {} if after is None else {"after": await self._place_of(after, "query:after")}
        letters = await webhooks.dead(self._connection, webhook_id, limit=limit + 1, **places)
        found = await ledger.at(self._connection, [letter.position for letter in letters])
        told = [_dead(letter, found[letter.position].entry) for letter in letters[:limit]]
        return {"dead_letters": told, "has_more": len(letters) > limit}

    async def replay(self, webhook_id: str, row_ids: Sequence[str] | None) -> dict[str, int]:
        """Let dead letters, by the ids of their rows, be delivered after all; or all of them: how many.
        Raises Unknown, Invalid."""
        await self._held(webhook_id)
        places = None
        if row_ids is not None:
            places = [await self._place_of(text, f"/ids/{n}") for n, text in enumerate(row_ids)]
        count = await webhooks.revive(self._connection, webhook_id, places)
        await webhooks.change(self._connection, webhook_id)
        return {"replayed": count}

    async def _place_of(self, text: str, pointer: str) -> tuple[int, int]:
        try:
            event_id, n = read_row_id(text)
            position = await ledger.position_of(self._connection, event_id)
        except ValueError:
            position, n = None, 0
        if position is None:
            raise Invalid(Fault(pointer, "unknown-row", "The feed has no row with this id."))
        return position, n

    # What all of them need

    async def _held(self, webhook_id: str) -> Webhook:
        webhook = await webhooks.hold(self._connection, webhook_id)
        if webhook is None:
            raise _unknown()
        return webhook

    async def _require_declared(self, wanted: Wanted) -> None:
        timeline = await self._store.timeline(self._connection, await self._head())
        faults = undeclared(timeline, wanted.filter.purposes, wanted.identifier_type, "/filter/")
        if faults:
            raise Invalid(*faults)

    async def _head(self) -> Head:
        return await ledger.head(self._connection)

    async def _place(self, after: str, wanted: Wanted) -> str:
        """A place in the feed as it is kept: for any filter, as the endpoint's may change."""
        reader = Reader(self._store, wanted.filter)
        return kept_place(self._store, await reader.start(self._connection, await self._head(), after))

    def _seal(self, webhook_id: str, what: str, content: bytes) -> bytes:
        return self._store.secrets.seal(content, _context(webhook_id, what))


def kept_place(store: Store, cursor: Cursor) -> str:
    """A place in the feed as an endpoint keeps it: what was told up to there was told, whatever is told from there."""
    return cursors.write_cursor(store.secrets, cursor._replace(fingerprint=cursors.EVERYTHING))


def _dead(letter: Letter, entry: Entry) -> dict[str, Any]:
    return {
        "id": row_id(entry.event_id, letter.n),
        "type": entry.type,
        "subject_id": entry.subject_id,
        "attempts": letter.attempts,
        "outcome": letter.outcome,
        "dead_at": letter.dead_at,
    }


def _written(secret: bytes) -> str:
    return _PREFIX + base64.b64encode(secret).decode()


def _unknown() -> Unknown:
    return Unknown("unknown-webhook", "There is no webhook with this id.")
