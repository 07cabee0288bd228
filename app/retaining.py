"""What is due for erasure: the data categories of a person that no purpose may use any more (Art. 5(1)(e), 17(1)).
Asked for, and told in the change feed, by rounds over everybody."""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision.unused import Unused, untold, unused
from app.storage import ledger, people, retention
from app.storage.database import Unavailable
from app.storage.retention import Round
from app.storage.store import Store
from app.telemetry import get_logger
from app.writing import Unit, no_catalogue

_REST = timedelta(minutes=1)  # from the end of a round to the next
_START = 60.0  # seconds until a process that was started joins in: it has other things to do
_PAGE = 50  # people looked at in one step
_PAUSE = 1.0  # seconds between two steps, at least
_SHARE = 20  # of the time of a process one part at most

_log = get_logger("maywe.retaining")


class Due(NamedTuple):
    """What is due about one person, if the controller holds it."""

    subject_id: str
    data_categories: list[Unused]


class Page(NamedTuple):
    """Some of the people about whom something is due; `next` goes on after the last that was looked at."""

    due: list[Due]
    next: str | None
    revision: str


async def due(
    connection: AsyncConnection, store: Store, *, jurisdiction: str | None, after: str, limit: int, now: datetime
) -> Page:
    """Look at so many people, in the order of their ids, as in a jurisdiction, else the
    catalogue's default. Raises NotReady."""
    head = await ledger.head(connection)
    timeline = await store.timeline(connection, head)
    if timeline.in_force(now) is None:
        raise no_catalogue()
    living = await people.living_after(connection, after, limit=limit)
    # In a thread, since a long history takes long: questions have their turn meanwhile.
    found = [Due(p.own.subject_id, await asyncio.to_thread(unused, p, timeline, now, jurisdiction)) for p in living]
    following = living[-1].own.subject_id if len(living) == limit else None
    return Page([one for one in found if one.data_categories], following, head.revision)


# Telling it in the change feed


async def tell_for_ever(store: Store) -> None:
    """Go round after round. Any number of processes may do so; together they do it once."""
    await asyncio.sleep(_START)
    while True:
        began = time.monotonic()
        try:
            await tell_due(store, datetime.now(UTC))
        except Unavailable as error:
            _log.warning("due_not_told", exc_info=error)
        pause = max(_PAUSE, (time.monotonic() - began) * _SHARE)
        await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311  spreading, not secrecy


async def tell_due(store: Store, now: datetime) -> None:
    """Look at some more people, and tell what has become due about them since it was last told. That the round goes on
    and what is told of these people is one commit."""
    async with store.database.view() as connection:
        reached = await retention.round_now(connection)
        is_resting = not reached.reached and reached.ended_at is not None and now < reached.ended_at + _REST
        timeline = await store.timeline(connection, await ledger.head(connection))
        if is_resting or timeline.in_force(now) is None:
            return
        living = await people.living_after(connection, reached.reached, limit=_PAGE)
    due = [p.own.subject_id for p in living if await asyncio.to_thread(untold, p, timeline, now)]
    following = Round(living[-1].own.subject_id, None) if len(living) == _PAGE else Round("", now)

    async def work(connection: AsyncConnection) -> None:
        if not await retention.advance(connection, reached, following):
            return
        unit = await Unit.begin(connection, store, now)
        for person in await people.claim(connection, due):
            unit.replace(person.own)
            unit.tell_due(person.own, await asyncio.to_thread(untold, person, unit.timeline, now))
        await unit.finish()

    await store.database.write(work)
