"""Tells what time alone ended, once: `consent.expired`, `evidence.expired`. Any number of processes may do so."""

import asyncio
import random
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision import due
from app.storage import ends, ledger
from app.storage.database import Unavailable
from app.storage.store import Store
from app.telemetry import get_logger
from app.writing import Unit

_PAUSE = 1.0  # seconds between two looks
_BATCH = 100  # subjects told of in one commit

_log = get_logger("maywe.sweeping")


async def sweep_for_ever(store: Store) -> None:
    """Look every second, first when a process has been there for one: many may start at once. While there is much to
    tell, without a pause."""
    busy = False
    while True:
        await asyncio.sleep(0 if busy else _PAUSE * random.uniform(0.7, 1.3))  # noqa: S311  spreading, not secrecy
        busy = False
        try:
            busy = await sweep(store, datetime.now(UTC))
        except Unavailable as error:
            _log.warning("not_swept", exc_info=error)


async def sweep(store: Store, now: datetime) -> bool:
    """Tell what ended by now, one batch; whether there may be more. A subject's row is the claim: who holds it tells,
    and when a process dies another finds the row free."""
    async with store.database.view() as connection:
        timeline = await store.timeline(connection, await ledger.head(connection))
        catalogue = timeline.in_force(now)
        if catalogue is None:
            return False
        is_reckoned = await ends.is_reckoned(connection, catalogue.version)
        subject_ids = await ends.due(connection, now, limit=_BATCH)
    if not is_reckoned:
        version = catalogue.version

        async def reckon(connection: AsyncConnection) -> None:
            await ends.reckon(connection, version, lambda state: due.next_end(state, timeline, now))

        await store.database.write(reckon)
    if subject_ids:
        await store.database.write(lambda connection: _tell(connection, store, subject_ids, now))
    return not is_reckoned or len(subject_ids) == _BATCH


async def _tell(connection: AsyncConnection, store: Store, subject_ids: list[str], now: datetime) -> None:
    unit = await Unit.begin(connection, store, now)
    states = await ends.claim(connection, subject_ids, now)
    for state in states:
        unit.replace(state)
        unit.tell_ends(state)
    await unit.finish()
    for state in states:
        await ends.set_due(connection, state.subject_id, due.next_end(state, unit.timeline, now))
