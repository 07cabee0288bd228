"""What is due for erasure: the data categories of a person that no purpose may use any more (Art. 5(1)(e), 17(1))."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app.asking import everything_about
from app.decision.catalogue import Catalogue, Timeline
from app.decision.model import Person, Question
from app.decision.rules import decide
from app.storage import ledger, people
from app.storage.store import Store
from app.writing import no_catalogue


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
    questions = [q for q in asked if any(category in _covered(q, catalogue) for category in unused)]
    ended = _ended(person, questions, catalogue, timeline, now)
    for category in unused:
        yield Unused(category, ended.get(category))


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
