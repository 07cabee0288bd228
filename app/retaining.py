"""What is due for erasure: the data categories of a person that no purpose may use any more (Art. 5(1)(e), 17(1)).
Asked for, and told in the change feed, by rounds over everybody."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app.asking import everything_about
from app.decision.catalogue import Catalogue, Timeline
from app.decision.model import Person, Question
from app.decision.rules import decide
from app.storage import ledger, people, retention
from app.storage.database import Unavailable
from app.storage.retention import Round
from app.storage.store import Store
from app.telemetry import get_logger
from app.writing import Unit, no_catalogue

_ROUND = timedelta(hours=1)  # from the end of a round to the next: whoever erases has days to do so
_START = 60.0  # seconds until a process that was started joins in: it has other things to do
_PAGE = 50  # people looked at in one step
_PAUSE = 1.0  # seconds between two steps, at least
_SHARE = 20  # of the time of a process one part at most

_log = get_logger("maywe.retaining")


class Unused(NamedTuple):
    """A category that no purpose may use. `since` is when the last one might; None if none ever might."""

    data_category: str
    since: datetime | None


class Due(NamedTuple):
    """What is due about one person, if the controller holds it."""

    subject_id: str
    data_categories: list[Unused]


class Page(NamedTuple):
    """Some of the people about whom something is due; `next` goes on after the last that was looked at."""

    due: list[Due]
    next: str | None
    revision: str


async def due(connection: AsyncConnection, store: Store, *, after: str, limit: int, now: datetime) -> Page:
    """Look at so many people, in the order of their ids. Raises NotReady."""
    head = await ledger.head(connection)
    timeline = await store.timeline(connection, head)
    catalogue = timeline.in_force(now)
    if catalogue is None:
        raise no_catalogue()
    living = await people.living_after(connection, after, limit=limit)
    found = [Due(person.own.subject_id, list(_unused(person, catalogue, timeline, now))) for person in living]
    following = living[-1].own.subject_id if len(living) == limit else None
    return Page([one for one in found if one.data_categories], following, head.revision)


def _unused(person: Person, catalogue: Catalogue, timeline: Timeline, now: datetime) -> Iterator[Unused]:
    """The categories that no purpose may use now, in the order of the catalogue, each with when one last might."""
    everything = everything_about(catalogue, jurisdiction=None, gpc=False)
    asked = [q for q in everything if catalogue.purposes[q.purpose].personal]  # what is anonymous is not held here
    usable = {c for q in asked if decide(q, person, timeline, now).decision for c in _covered(q, catalogue)}
    unused = [category for category in catalogue.data_categories if category not in usable]
    questions = [
        q
        for q in asked
        if any(c in _covered(q, catalogue) for c in unused) and not _was_never_allowed(q.purpose, person, timeline)
    ]
    ended = _ended(person, questions, catalogue, timeline, now)
    for category in unused:
        yield Unused(category, ended.get(category))


def _was_never_allowed(purpose: str, person: Person, timeline: Timeline) -> bool:
    """Whether a purpose certainly never had a ground: it always rested on consent alone, and none was given."""
    grounds = [ground for version in timeline.with_purpose(purpose) for ground in version.purposes[purpose].grounds]
    is_chosen = all(ground.basis == "consent" and ground.evidence is None for ground in grounds)
    return is_chosen and not any(e.type == "choice.give" for e in person.own.by_purpose.get(purpose, ()))


def _covered(question: Question, catalogue: Catalogue) -> tuple[str, ...]:
    return catalogue.purposes[question.purpose].data_categories


def _ended(
    person: Person, questions: Sequence[Question], catalogue: Catalogue, timeline: Timeline, now: datetime
) -> dict[str, datetime]:
    """When each category was last allowed for any of the questions: from instant to instant at which an answer may have
    changed, by an event or by time alone."""
    happened = sorted({e.at for state in (person.own, *person.heard) for e in state.events() if e.at < now})
    ended: dict[str, datetime] = {}
    at = happened[0] if happened else now
    while at < now:
        answers = [(q, decide(q._replace(as_of=at), person, timeline, now)) for q in questions]
        changes = [*(e for e in happened if e > at), *(a.valid_until for _, a in answers if a.valid_until), now]
        following = min(instant for instant in changes if instant > at)
        ended |= {c: following for q, answer in answers if answer.decision for c in _covered(q, catalogue)}
        at = following
    return ended


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
        is_resting = not reached.reached and reached.ended_at is not None and now < reached.ended_at + _ROUND
        timeline = await store.timeline(connection, await ledger.head(connection))
        if is_resting or timeline.in_force(now) is None:
            return
        living = await people.living_after(connection, reached.reached, limit=_PAGE)
    due = []
    for person in living:
        if _newly_due(person, timeline, now):
            due.append(person.own.subject_id)
        await asyncio.sleep(0)  # questions have their turn
    following = Round(living[-1].own.subject_id, None) if len(living) == _PAGE else Round("", now)

    async def work(connection: AsyncConnection) -> None:
        if not await retention.advance(connection, reached, following):
            return
        unit = await Unit.begin(connection, store, now)
        for person in await people.claim(connection, due):
            unit.replace(person.own)
            unit.tell_due(person.own, _newly_due(person, unit.timeline, now))
        await unit.finish()

    await store.database.write(work)


def _newly_due(person: Person, timeline: Timeline, now: datetime) -> dict[str, datetime]:
    """The categories that some purpose once might use and none may any more, and since when, if that was not told."""
    catalogue = timeline.in_force(now)
    if catalogue is None:
        return {}
    told = person.own.due_told
    unused = _unused(person, catalogue, timeline, now)
    ended = {one.data_category: one.since for one in unused if one.since is not None}
    return {category: since for category, since in ended.items() if category not in told or told[category] < since}
