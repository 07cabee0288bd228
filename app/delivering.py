"""Delivers the feed to one webhook: rows in its order, at least once, and of one person never a later row before an
earlier one was accepted or given up."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app import cursors, metrics
from app.changes import Reader, Told, names
from app.decision.refusal import Refusal
from app.posting import ACCEPTED, GONE, Message, Outcome, Poster
from app.rounds import Item, Place, Round, Settled
from app.storage import ledger, webhooks
from app.storage.ledger import Head
from app.storage.store import Store
from app.storage.webhooks import Letter, Webhook
from app.telemetry import get_logger
from app.telling import read_row_id
from app.watching import Watch
from app.webhooks import kept_place, secrets_of, url_of, wanted_of

_WINDOW = 50  # rows of the feed that are under way before their outcomes are recorded
_KEPT_BACK = 100  # letters that wait; with so many, no further rows are read
_AT_ONCE = 8  # messages under way at one moment
_UNRECORDED = 1000  # positions that a filter left out, before it is recorded that they were looked at
_LONGEST_WAIT = 60.0  # seconds until all is looked at again, whatever the clocks say

_log = get_logger("maywe.webhooks")


class Lost(Exception):
    """Somebody else delivers to this webhook by now, or nobody should."""


class Delivery:
    """Delivers to one webhook as long as its lease is held."""

    def __init__(self, store: Store, watch: Watch, poster: Poster, webhook_id: str, token: str) -> None:
        self._store = store
        self._watch = watch
        self._poster = poster
        self._webhook_id = webhook_id
        self._token = token
        self._place: str | None = None  # where the feed goes on; None: at the cursor that is stored
        self._hushed = False  # nothing more is sent in this round

    async def run(self, retries: Sequence[float]) -> None:
        """Deliver until the process ends. Raises Lost, Unavailable."""
        while not self._watch.stopped:
            now = datetime.now(UTC)
            try:
                found = await self._look(now)
            except Refusal as refusal:
                await self._disable(refusal.slug)
                return
            outcomes = await self._send(found, now)
            await self._record(found, outcomes, retries)
            if not outcomes and not found.has_more:
                await self._wait(found)

    # Looking

    async def _look(self, now: datetime) -> Round:
        """Raises Refusal when the feed cannot go on from where the webhook is."""
        async with self._store.database.view() as connection:
            webhook = await webhooks.find(connection, self._webhook_id)
            if webhook is None or webhook.lease != self._token or webhook.state != "active":
                raise Lost
            if webhook.not_before is not None and now < webhook.not_before:
                return Round(webhook, hushed_until=webhook.not_before)
            head = await ledger.head(connection)
            reader = Reader(self._store, wanted_of(webhook).filter)
            start = await reader.start(connection, head, self._place or webhook.cursor)
            waiting = await webhooks.waiting(connection, self._webhook_id, limit=_KEPT_BACK)
            items = await self._again(connection, reader, head, waiting)
            wanted = {item.letter for item in items}
            unwanted = tuple(letter for letter in waiting if letter not in wanted)
            room = min(_WINDOW, _KEPT_BACK - len(waiting))
            if not room:
                return Round(webhook, tuple(items), unwanted)
            page = await reader.read(connection, head, start, room)
        fresh = [Item(told, self._letter_of(told), kept=False) for told in page.rows]
        return Round(webhook, (*items, *fresh), unwanted, page.next, page.position, has_more=page.has_more)

    async def _again(
        self, connection: AsyncConnection, reader: Reader, head: Head, waiting: list[Letter]
    ) -> list[Item]:
        """The rows of letters that wait, as far as they are still wanted."""
        found = await ledger.at(connection, [letter.position for letter in waiting])
        rows = {
            (position, read_row_id(told.row.id)[1]): told
            for position, linked in found.items()
            for told in reader.again(head, linked)
        }
        return [
            Item(told, letter, kept=True)
            for letter in waiting
            if (told := rows.get((letter.position, letter.n))) is not None
        ]

    def _letter_of(self, told: Told) -> Letter:
        return Letter(cursors.read_cursor(self._store.secrets, told.cursor).position, read_row_id(told.row.id)[1])

    # Sending

    async def _send(self, found: Round, now: datetime) -> dict[Place, Outcome]:
        """Send what is due; what became of each row that was sent."""
        outcomes: dict[Place, Outcome] = {}
        turn = asyncio.Semaphore(_AT_ONCE)
        self._hushed = False

        async def deliver(chain: list[Item]) -> None:
            for item in chain:
                async with turn:
                    if self._hushed or not item.is_due(now):
                        return
                    outcomes[item.place] = outcome = await self._post(found.webhook, item.told)
                    self._hushed |= outcome.word == GONE or outcome.retry_after is not None
                if outcome.word != ACCEPTED:
                    return

        async with asyncio.TaskGroup() as tasks:
            for chain in found.chains():
                tasks.create_task(deliver(chain))
        return outcomes

    async def _post(self, webhook: Webhook, told: Told) -> Outcome:
        told = told._replace(subject=await self._name(webhook, told))
        content = {"type": told.row.type, "timestamp": told.row.occurred_at, "data": told.content()}
        secrets = secrets_of(self._store, webhook, datetime.now(UTC))
        message = Message(told.row.id, msgspec.json.encode(content), secrets)
        outcome = await self._poster.post(url_of(self._store, webhook), message)
        metrics.count_webhook_message(outcome.word)
        return outcome

    async def _name(self, webhook: Webhook, told: Told) -> dict[str, str] | None:
        """Who it is about, as of this moment: somebody who was erased meanwhile is not named."""
        identifier_type, subject_id = wanted_of(webhook).identifier_type, told.row.subject_id
        if identifier_type is None or subject_id is None:
            return None
        async with self._store.database.read() as connection:
            named = await names(connection, self._store, [subject_id], identifier_type)
        return named.get(subject_id)

    # Recording

    async def _record(self, found: Round, outcomes: dict[Place, Outcome], retries: Sequence[float]) -> None:
        """Record what became of a round, in one unit of work; nothing of it if the lease is lost."""
        now = datetime.now(UTC)
        settled = found.settled(outcomes, now, retries)
        kept = [one.letter for one in settled if one.is_new and one.letter is not None]
        over = [one.item.letter for one in settled if one.is_over] + list(found.unwanted)
        values = self._moved(found, outcomes, now)

        async def record(connection: AsyncConnection) -> None:
            if not await webhooks.advance(connection, self._webhook_id, self._token, **values):
                raise Lost
            for letter in kept:
                await webhooks.keep(connection, self._webhook_id, letter)
            for letter in over:
                await webhooks.drop(connection, self._webhook_id, letter)

        self._place = found.cursor or self._place
        if outcomes or kept or over or self._is_far(found):
            await self._store.database.write(record)
            self._tell(settled)

    def _is_far(self, found: Round) -> bool:
        """Whether the place that is stored is far behind, because a filter left much out."""
        stored = cursors.read_cursor(self._store.secrets, found.webhook.cursor)
        return found.position > stored.position + _UNRECORDED

    def _moved(self, found: Round, outcomes: dict[Place, Outcome], now: datetime) -> dict[str, Any]:
        """What a round changes of the webhook itself."""
        values: dict[str, Any] = {}
        if found.cursor is not None:
            values["cursor"] = kept_place(self._store, cursors.read_cursor(self._store.secrets, found.cursor))
        pauses = [outcome.retry_after for outcome in outcomes.values() if outcome.retry_after is not None]
        if pauses:
            values["not_before"] = now + timedelta(seconds=max(pauses))
        if any(outcome.word == GONE for outcome in outcomes.values()):
            values |= {"state": "disabled", "reason": GONE}
        return values

    def _tell(self, settled: list[Settled]) -> None:
        for item, outcome, letter in settled:
            if outcome is None or letter is None:
                continue
            told = {"webhook_id": self._webhook_id, "event_id": item.told.row.event_id, "attempt": letter.attempts}
            _log.warning("webhook_not_accepted", **told, reason=outcome.word, status=outcome.status)
            if letter.dead_at is not None:
                metrics.count_webhook_message("dead")
                _log.error("webhook_given_up", **told)
            if outcome.word == GONE:
                _log.error("webhook_disabled", webhook_id=self._webhook_id, reason=GONE)

    async def _disable(self, reason: str) -> None:
        values = {"state": "disabled", "reason": reason}
        await self._store.database.write(
            lambda connection: webhooks.advance(connection, self._webhook_id, self._token, **values)
        )
        _log.error("webhook_disabled", webhook_id=self._webhook_id, reason=reason)

    async def _wait(self, found: Round) -> None:
        """Wait until there is something to be done; nothing of the database is held meanwhile."""
        timeout = _LONGEST_WAIT
        wake_at = found.wake_at
        if wake_at is not None:
            timeout = min(timeout, max(0.0, (wake_at - datetime.now(UTC)).total_seconds()))
        if found.cursor is None:
            await asyncio.sleep(timeout)
            return
        with self._watch.waiting(wanted_of(found.webhook).filter, found.position) as woken:
            await asyncio.wait([woken], timeout=timeout)
