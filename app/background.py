"""What goes on beside the requests of a process: kept up through errors, ended with it."""

import asyncio
import contextlib
import contextvars
import signal
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from types import FrameType

from app.telemetry import get_logger

_AGAIN = 1.0  # seconds until work that failed is begun again

Work = Callable[[], Awaitable[None]]

_log = get_logger("maywe.background")


@contextlib.asynccontextmanager
async def kept_up(*work: Work) -> AsyncGenerator[None]:
    """Do some endless work until the block ends. It belongs to no request, so it logs under none."""
    tasks = {asyncio.create_task(_keep_up(one), context=contextvars.Context()) for one in work}
    try:
        yield
    finally:
        while tasks:  # a driver that is cancelled while it rolls back may raise an error of its own, as if it were not
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=_AGAIN)


async def _keep_up(work: Work) -> None:
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  whatever went wrong once must not end it for good
            _log.error("background_work_failed", exc_info=error)
        await asyncio.sleep(_AGAIN)


@contextlib.contextmanager
def told_of_the_end(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` in the event loop when the server is asked to stop: it tells the application only after all requests
    have ended, too late for those that wait."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(tell)
        then = before[signal.Signals(number)]
        if callable(then):
            then(number, frame)

    chained = [number for number, handler in before.items() if callable(handler)]
    for number in chained:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in chained:
            signal.signal(number, before[number])
