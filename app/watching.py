"""Where the ledger ends, watched once for everybody in this process who waits for more of it."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

from app.storage import hints, ledger
from app.storage.database import Database, Unavailable
from app.telemetry import get_logger
from app.telling import Filter, rows_of

_POLL = 0.5  # seconds between two looks when nobody hints that something was committed
_GATHER = 0.005  # seconds in which commits that come together are looked at together
_HUSH = 0.1  # seconds between two hints to other processes
_FRESH = 2.0  # seconds in which a look tells what holds now
_MOST = 1000  # entries looked through at once; beyond that everybody is woken

_log = get_logger("maywe.watching")


class Watch:
    """Looks at the head of the ledger while somebody waits: twice a second, and at once after a commit in this process
    or a hint from another. Who waits holds no connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._position = -1  # where the ledger ended at the last look
        self._looked_at = float("-inf")
        self._waiting: dict[Filter, dict[asyncio.Future[bool], int]] = {}  # each with the position it waits after
        self._somebody_waits = asyncio.Event()
        self._hint = asyncio.Event()
        self._to_say = asyncio.Event()
        self.stopped = False

    def committed(self) -> None:
        """Something was committed in this process."""
        self._hint.set()
        self._to_say.set()

    def stop(self) -> None:
        """Let everybody who waits go, now and from now on."""
        self.stopped = True
        self._wake(list(self._waiting), float("inf"))

    def saw_nothing_after(self, position: int) -> bool:
        """Whether the last look, a moment ago, found nothing after a position."""
        return self._position <= position and time.monotonic() - self._looked_at < _FRESH

    @contextlib.contextmanager
    def waiting(self, wanted: Filter, after: int) -> Iterator[asyncio.Future[bool]]:
        """A future: true once something that a filter passes was told after a position, false if the watch ends."""
        woken = asyncio.get_running_loop().create_future()
        if self.stopped or self._position > after:
            woken.set_result(not self.stopped)
        self._waiting.setdefault(wanted, {})[woken] = after
        self._somebody_waits.set()
        try:
            yield woken
        finally:
            del self._waiting[wanted][woken]
            if not self._waiting[wanted]:
                del self._waiting[wanted]

    def _wake(self, filters: list[Filter], end: float) -> None:
        for wanted in filters:
            for woken, after in self._waiting[wanted].items():
                if after < end and not woken.done():
                    woken.set_result(not self.stopped)

    # Looking

    async def run(self) -> None:
        """Look, as long as somebody waits."""
        while True:
            if not self._waiting:
                self._somebody_waits.clear()
                await self._somebody_waits.wait()
            try:
                await self._look()
            except Unavailable as error:
                _log.warning("head_not_seen", exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL):  # not wait_for, which in 3.11 may swallow that this is cancelled
                    await self._hint.wait()
                await asyncio.sleep(_GATHER)
            self._hint.clear()

    async def _look(self) -> None:
        async with self._database.read() as connection:
            end = (await ledger.head(connection)).position
            is_next = 0 <= self._position <= end <= self._position + _MOST
            told = await ledger.between(connection, self._position + 1, end, limit=_MOST) if is_next else []
        rows = [row for linked in told for row in rows_of(linked.entry)]
        self._position, self._looked_at = end, time.monotonic()
        self._wake([w for w in self._waiting if not is_next or any(w.passes(row) for row in rows)], end)

    # Hints between processes

    async def listen(self, url: str) -> None:
        """Look at once when another process hints that it committed something."""
        async for _ in hints.heard(url):
            self._hint.set()

    async def say(self) -> None:
        """Hint to other processes what was committed in this one."""
        while True:
            await self._to_say.wait()
            self._to_say.clear()
            await hints.say(self._database)
            await asyncio.sleep(_HUSH)
