"""Who may be addressed for a purpose: a list filtered, or everybody with a yes, each from one snapshot."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app.addressing import Subject, identifier_type
from app.asking import Asked, ask
from app.decision.catalogue import Timeline
from app.decision.model import Decision, Person, Question
from app.decision.refusal import Invalid
from app.decision.rules import decide
from app.decision_log import Answered
from app.storage import ledger, people
from app.storage.ledger import Head
from app.storage.store import Store
from app.writing import no_catalogue

_CHUNK = 250  # questions answered before others get their turn: some milliseconds


class Filtered(NamedTuple):
    """One answer per subject, in their order, all at one revision; Invalid where the name itself is wrong."""

    head: Head
    decisions: list[Decision | Invalid]
    answered: list[Answered]


async def filter_subjects(
    connection: AsyncConnection, store: Store, named: Sequence[Subject], question: Question, *, now: datetime
) -> Filtered:
    """Ask one question about each subject, on a connection that holds one snapshot. Raises NotReady."""
    head, decisions, answered = await ledger.head(connection), list[Decision | Invalid](), list[Answered]()
    for start in range(0, len(named), _CHUNK):
        asked = [Asked(subject, question) for subject in named[start : start + _CHUNK]]
        answers = await ask(store, asked, now=now, connection=connection)
        decisions += answers.decisions
        answered += [
            Answered(decision, question, subject_id)
            for decision, subject_id in zip(answers.decisions, answers.subject_ids, strict=True)
            if not isinstance(decision, Invalid)
        ]
        await asyncio.sleep(0)
    return Filtered(head, decisions, answered)


class Member(NamedTuple):
    """Somebody with a yes, under one of their identifiers."""

    subject_id: str
    type: str
    id: str
    obligations: tuple[str, ...]

    def __repr__(self) -> str:
        return "Member(...)"  # an identifier is never shown by accident


class Audience:
    """Everybody with a yes to one question, under every identifier of one type; each counted once per identifier.
    What it says of itself is complete only when `members` has ended."""

    def __init__(self, store: Store, question: Question, type: str, *, head: Head, timeline: Timeline) -> None:
        self._store = store
        self._question = question
        self._type = type
        self._timeline = timeline
        self.head = head
        self.answered: list[Answered] = []  # since the last members, yes or no
        self.count = 0
        self.denied: Counter[str] = Counter()

    @classmethod
    async def begin(
        cls, connection: AsyncConnection, store: Store, question: Question, type: str, *, now: datetime
    ) -> "Audience":
        """Start on a connection that holds one snapshot. Raises NotReady without a catalogue, Invalid for an
        identifier type it does not declare."""
        head = await ledger.head(connection)
        timeline = await store.timeline(connection, head)
        catalogue = timeline.judging(now)
        if catalogue is None:
            raise no_catalogue()
        identifier_type(type, catalogue, pointer="/identifier_type")
        return cls(store, question, type, head=head, timeline=timeline)

    async def members(self, connection: AsyncConnection, *, now: datetime) -> AsyncIterator[list[Member]]:
        """The members, some at a time, now and then none; memory does not grow with their number."""
        async for page in people.holders(connection, self._type, size=_CHUNK):
            found = [
                member
                for holder, person in zip(page, await self._people(connection, page), strict=True)
                if (member := self._judge(holder, person, now)) is not None
            ]
            self.count += len(found)
            yield found
            self.answered.clear()
            await asyncio.sleep(0)

    async def _people(self, connection: AsyncConnection, page: Sequence[people.PresentHolder]) -> list[Person]:
        """Those who hold some identifiers, each as far as the question goes."""
        found = [holder.found.about(self._question, self._timeline) for holder in page]
        missing = {holder.subject_id for holder, person in zip(page, found, strict=True) if person is None}
        whole = await people.whole(connection, missing) if missing else {}
        return [person or whole[holder.subject_id] for holder, person in zip(page, found, strict=True)]

    def _judge(self, holder: people.PresentHolder, person: Person, now: datetime) -> Member | None:
        decision = decide(self._question, person, self._timeline, now)
        self.answered.append(Answered(decision, self._question, holder.subject_id))
        if not decision.decision:
            self.denied[decision.reason] += 1
            return None
        value = self._store.secrets.unseal(holder.sealed, holder.identifier_id.encode()).decode()
        return Member(holder.subject_id, self._type, value, decision.obligations)
