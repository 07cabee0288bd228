"""Doors that answer only once there is something to tell. Very many wait at once, so that nothing of a request is held
meanwhile but its scope: the door gives `Later` for an answer, and is asked again when it is time."""

import asyncio
import time

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telling import Filter
from app.watching import Watch

_AT_ONCE = 3  # requests in the door: fewer than there are connections, so that questions find some, too
_LATER, _WAITED = "maywe.later", "maywe.waited"


class Later(Response):
    """In the place of an answer: wait for rows after a position that a filter passes, until an instant of
    `time.monotonic`. If there are none, `answer` is it; else the door is asked again, to go on after a cursor."""

    def __init__(
        self, watch: Watch, wanted: Filter, *, position: int, after: str, until: float, answer: Response
    ) -> None:
        self._watch = watch
        self._wanted = wanted
        self._position = position
        self.after = after
        self.until = until
        self.answer = answer
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  what ASGI calls with
        """Send nothing yet."""
        scope[_LATER] = self

    async def wait(self, receive: Receive) -> bool:
        """Whether to ask the door again."""
        left = self.until - time.monotonic()
        if left <= 0 or self._watch.stopped:
            return False
        loop = asyncio.get_running_loop()
        with self._watch.waiting(self._wanted, self._position) as woken:
            gone = loop.create_task(_gone(receive, woken))
            timer = loop.call_later(left, self._be_over, woken)
            try:
                return await woken
            finally:
                timer.cancel()
                gone.cancel()

    def _be_over(self, woken: asyncio.Future[bool]) -> None:
        if not woken.done():
            woken.set_result(not self._watch.saw_nothing_after(self._position))


async def _gone(receive: Receive, woken: asyncio.Future[bool]) -> None:
    """Wait no longer once the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    if not woken.done():
        woken.set_result(False)


def waited_of(scope: Scope) -> Later | None:
    """What a door that is asked again had waited for."""
    waited: Later | None = scope.get(_WAITED)
    return waited


class InTurn:
    """Wraps the application for the doors where thousands wait and all come at once when something is told or a server
    has restarted: few are let in at a time, and none stays in to wait or to be read slowly."""

    def __init__(self, app: ASGIApp, *, paths: frozenset[str]) -> None:
        self._app = app
        self._paths = paths
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask the door until it has an answer."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        later = await self._ask(scope, None, receive, send)
        while later is not None:
            if not await later.wait(receive):
                await later.answer(scope, receive, send)
                return
            later = await self._ask(scope, later, receive, send)

    async def _ask(self, scope: Scope, waited: Later | None, receive: Receive, send: Send) -> Later | None:
        """Ask the door once. Whatever is noted in the scope on the way is let go of, but for the route."""
        asked = {**scope, _WAITED: waited}
        messages: list[Message] = []

        async def hold(message: Message) -> None:
            messages.append(message)

        async with self._turns:
            await self._app(asked, receive, hold)
        scope["route"] = asked.get("route")
        for message in messages:
            await send(message)
        return asked.get(_LATER)
