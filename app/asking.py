"""Question to answer: one read, then the pure rules. Single questions, batches and everything at once share it."""

import difflib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto
from app.addressing import Address, Subject, address_of
from app.decision.catalogue import Catalogue, Timeline
from app.decision.model import Decision, Person, Question, State
from app.decision.refusal import Conflicting, Invalid
from app.decision.rules import decide
from app.storage import ledger, subjects
from app.storage.ledger import Head
from app.storage.store import Store
from app.storage.subjects import Snapshot
from app.writing import no_catalogue

_NOBODY = Person(State(subject_id="", side=""))


class Asked(NamedTuple):
    """A question about a subject."""

    subject: Subject
    question: Question


class Answers(NamedTuple):
    """Decisions in the order of the questions, all computed at one revision. A question that could not be
    understood has its faults in the place of a decision."""

    head: Head
    catalogue: Catalogue
    decisions: list[Decision | Invalid]


class Known(NamedTuple):
    """What one read brought: the people asked about, under the catalogues of the same moment."""

    snapshot: Snapshot
    timeline: Timeline
    addresses: list[Address | Invalid | None]

    def person(self, subject: Subject, address: Address | None) -> Person:
        """The person a subject names; one without events if nobody is known under that name."""
        if address is None:
            return self.snapshot.people.get(subject.subject_id or "", _NOBODY)
        found = (self.snapshot.people.get(digest) for digest in address.digests)
        return next((person for person in found if person is not None), _NOBODY)


async def ask(
    connection: AsyncConnection, store: Store, asked: Sequence[Asked], *, now: datetime, at_least: Sequence[str] = ()
) -> Answers:
    """Answer questions from one snapshot. Raises NotReady without a catalogue, Conflicting if the database has not
    reached an asked revision."""
    known = await _know(connection, store, [item.subject for item in asked], now)
    for revision in at_least:
        require_revision(known.snapshot.head, revision)
    catalogue = known.timeline.judging(now)
    if catalogue is None:
        raise no_catalogue()
    decisions = [_answer(known, item, address, now) for item, address in zip(asked, known.addresses, strict=True)]
    return Answers(known.snapshot.head, catalogue, decisions)


def _answer(known: Known, asked: Asked, address: Address | Invalid | None, now: datetime) -> Decision | Invalid:
    if isinstance(address, Invalid):
        return address
    return decide(asked.question, known.person(asked.subject, address), known.timeline, now)


async def _know(connection: AsyncConnection, store: Store, named: Sequence[Subject], now: datetime) -> Known:
    """Read everybody named in one statement. Identifiers are normalised by the catalogue known so far; only if the same
    read says that it is not the last is it read, and the people once more."""
    while True:
        serial, timeline = store.known
        addresses = [_address(subject, timeline.judging(now), store) for subject in named]
        snapshot = await subjects.snapshot(
            connection,
            digests=[digest for address in addresses if isinstance(address, Address) for digest in address.digests],
            subject_ids=[subject.subject_id for subject in named if subject.subject_id is not None],
        )
        if snapshot.head.catalogue_serial == serial:
            return Known(snapshot, timeline, addresses)
        await store.timeline(connection, snapshot.head)


def _address(subject: Subject, catalogue: Catalogue | None, store: Store) -> Address | Invalid | None:
    if subject.subject_id is not None or catalogue is None:
        return None
    try:
        return address_of(subject, catalogue, store.secrets)
    except Invalid as invalid:
        return invalid


def everything_about(catalogue: Catalogue, *, jurisdiction: str | None, gpc: bool) -> list[Question]:
    """One question per enabled purpose and channel."""
    return [
        Question(purpose=key, channel=channel, jurisdiction=jurisdiction, gpc=gpc)
        for key, purpose in catalogue.purposes.items()
        if purpose.enabled
        for channel in purpose.channels or (None,)
    ]


async def ask_all(
    connection: AsyncConnection, store: Store, subject: Subject, *, jurisdiction: str | None, gpc: bool, now: datetime
) -> tuple[Answers, list[Question]]:
    """Every enabled purpose and channel about one subject, from one snapshot."""
    known = await _know(connection, store, [subject], now)
    catalogue = known.timeline.judging(now)
    if catalogue is None:
        raise no_catalogue()
    questions = everything_about(catalogue, jurisdiction=jurisdiction, gpc=gpc)
    decisions = [_answer(known, Asked(subject, question), known.addresses[0], now) for question in questions]
    return Answers(known.snapshot.head, catalogue, decisions), questions


def require_revision(head: Head, revision: str) -> None:
    """Raise Conflicting unless the head has reached a revision of the same history."""
    epoch, position = crypto.read_revision(revision)
    if epoch != head.epoch or position > head.position:
        raise Conflicting("revision-not-reached", "The database has not reached this revision.")


def hint(decision: Decision, question: Question, catalogue: Catalogue) -> str | None:
    """The nearest declared key for an unknown purpose or data category."""
    if decision.reason == "unknown_purpose":
        near = difflib.get_close_matches(question.purpose, catalogue.purposes, n=1, cutoff=0.5)
    elif decision.reason == "unknown_data_category":
        unknown = decision.failing_data_categories[0]
        near = difflib.get_close_matches(unknown, catalogue.data_categories, n=1, cutoff=0.5)
    else:
        return None
    return f"did you mean {near[0]}?" if near else None


async def revision_now(connection: AsyncConnection) -> str:
    """The revision of everything committed."""
    return (await ledger.head(connection)).revision
