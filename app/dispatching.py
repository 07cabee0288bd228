"""Who delivers to which webhook: one process for each, by a lease; when it dies another takes over."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence

from app import crypto
from app.delivering import Delivery, Lost
from app.destinations import Destinations
from app.posting import Poster
from app.storage import webhooks
from app.storage.database import Unavailable
from app.storage.store import Store
from app.storage.webhooks import Lease
from app.telemetry import get_logger
from app.watching import Watch

_LOOK = 0.5  # seconds between two looks at the leases
_BEAT = 3.0  # seconds between two signs of life
_DEAD = 10.0  # seconds without one
_AGAIN = 5.0  # seconds until delivering that failed is begun again

_log = get_logger("maywe.webhooks")


class Dispatcher:
    """Takes leases that are free, delivers under them, and shows that it lives. Time is this process's own: whether
    another is dead is told from its beat, which does not move, never from the clock of another machine."""

    def __init__(self, store: Store, watch: Watch, destinations: Destinations, retries: Sequence[float]) -> None:
        self._store = store
        self._watch = watch
        self._destinations = destinations
        self._retries = retries
        self._poster: Poster | None = None  # made when there is somebody to post to
        self._held: dict[str, str] = {}  # the token of each webhook's lease
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[str, tuple[Lease, float]] = {}  # leases of others, and since when they are as they are
        self._beaten = 0.0

    async def run(self) -> None:
        """Dispatch until cancelled; then give up the leases, so that another need not wait."""
        try:
            while not self._watch.stopped:
                try:
                    await self._look()
                except Unavailable as error:
                    _log.warning("webhooks_not_looked_at", exc_info=error)
                    await self._stop_if_taken_for_dead()
                await asyncio.sleep(_LOOK * random.uniform(0.7, 1.3))  # noqa: S311  spreading, not secrecy
        finally:
            await self._end()

    async def _look(self) -> None:
        async with self._store.database.read() as connection:
            leases = {lease.webhook_id: lease for lease in await webhooks.leases(connection)}
        self._seen = {webhook_id: seen for webhook_id, seen in self._seen.items() if webhook_id in leases}
        for webhook_id in [held for held, token in self._held.items() if not _holds(leases.get(held), token)]:
            await self._drop(webhook_id)
        for lease in leases.values():
            if lease.webhook_id not in self._held and self._is_free(lease):
                await self._take(lease)
        if self._held and time.monotonic() - self._beaten > _BEAT:
            tokens = list(self._held.values())
            await self._store.database.write(lambda connection: webhooks.beat(connection, tokens))
            self._beaten = time.monotonic()

    def _is_free(self, lease: Lease) -> bool:
        """Whether nobody holds a lease, or nobody who lives."""
        now = time.monotonic()
        seen, since = self._seen.get(lease.webhook_id, (None, now))
        if lease != seen:
            self._seen[lease.webhook_id] = lease, now
        return lease.token is None or (lease == seen and now - since > _DEAD)

    async def _take(self, found: Lease) -> None:
        token = crypto.new_id()
        self._beaten = self._beaten if self._held else time.monotonic()
        if await self._store.database.write(lambda connection: webhooks.take(connection, found, token)):
            self._poster = self._poster or Poster(self._destinations)
            self._held[found.webhook_id] = token
            delivery = Delivery(self._store, self._watch, self._poster, found.webhook_id, token)
            self._tasks[found.webhook_id] = asyncio.create_task(self._deliver(delivery))

    async def _deliver(self, delivery: Delivery) -> None:
        while True:
            try:
                await delivery.run(self._retries)
            except Lost:
                return
            except Unavailable as error:
                _log.warning("webhook_not_delivered_to", exc_info=error)
            except Exception as error:  # noqa: BLE001  whatever went wrong once must not end it for good
                _log.error("webhook_delivery_failed", exc_info=error)
            else:
                return
            await asyncio.sleep(_AGAIN)

    async def _stop_if_taken_for_dead(self) -> None:
        """Deliver no more once others may have taken over, as far as one can know without the database."""
        if time.monotonic() - self._beaten > _DEAD:
            for webhook_id in list(self._held):
                await self._drop(webhook_id)

    async def _drop(self, webhook_id: str) -> None:
        del self._held[webhook_id]
        task = self._tasks.pop(webhook_id)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _end(self) -> None:
        tokens = list(self._held.values())
        for webhook_id in list(self._held):
            await self._drop(webhook_id)
        if self._poster is not None:
            await self._poster.close()
            self._poster = None
        if tokens:
            with contextlib.suppress(Unavailable):
                await self._store.database.write(lambda connection: webhooks.release(connection, tokens))


def _holds(lease: Lease | None, token: str) -> bool:
    return lease is not None and lease.token == token
