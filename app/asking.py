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
from app.decision.unused import everything_about
from app.storage import ledger
from app.storage.ledger import Head
from app.storage.lookup import Found, Look, Snapshot, looking
from app.storage.store import Store
from app.writing import no_catalogue

_NOBODY = Person(State(subject_id="", side=""))


class Asked(NamedTuple):
    """A question about a subject."""

    subject: Subject
    question: Question
    explain: bool = False


class Answers(NamedTuple):
    """Decisions in the order of the questions, all computed at one revision. A question that could not be
    understood has its faults in the place of a decision."""

    head: Head
    catalogue: Catalogue
    decisions: list[Decision | Invalid]
    subject_ids: list[str]  # whom each is about; empty where nobody is known by that name


class Known(NamedTuple):
    """What one read brought: the people asked about, under the catalogues of the same moment."""

    snapshot: Snapshot
    timeline: Timeline
    addresses: list[Address | Invalid | None]

    def found(self, subject: Subject, address: Address | None) -> Found | None:
        """Whoever a subject names."""
        if address is None:
            return self.snapshot.people.get(subject.subject_id or "")
        found = (self.snapshot.people.get(digest) for digest in address.digests)
        return next((person for person in found if person is not None), None)


class _MustBeReadWhole(Exception):
    """What answers about now depend on is not enough."""


async def ask(
    store: Store,
    asked: Sequence[Asked],
    *,
    now: datetime,
    at_least: Sequence[str] = (),
    connection: AsyncConnection | None = None,
) -> Answers:
    """Answer questions from one snapshot: that which a connection holds, or one of now. Raises NotReady without a
    catalogue, Conflicting if the database has not reached an asked revision."""
    named = [item.subject for item in asked]
    try:
        known = await _know(store, named, now, connection, whole=any(item.question.as_of for item in asked))
        decisions = _decide(known, asked, now)
    except _MustBeReadWhole:
        known = await _know(store, named, now, connection, whole=True)
        decisions = _decide(known, asked, now)
    for revision in at_least:
        require_revision(known.snapshot.head, revision)
    return _answers(known, decisions, now)


def _answers(known: Known, decided: Sequence[tuple[Decision | Invalid, str]], now: datetime) -> Answers:
    decisions, subject_ids = [decision for decision, _ in decided], [subject_id for _, subject_id in decided]
    return Answers(known.snapshot.head, _judging(known, now), decisions, subject_ids)


def _judging(known: Known, now: datetime) -> Catalogue:
    catalogue = known.timeline.judging(now)
    if catalogue is None:
        raise no_catalogue()
    return catalogue


def _decide(known: Known, asked: Sequence[Asked], now: datetime) -> list[tuple[Decision | Invalid, str]]:
    return [_answer(known, item, address, now) for item, address in zip(asked, known.addresses, strict=True)]


def _answer(
    known: Known, asked: Asked, address: Address | Invalid | None, now: datetime
) -> tuple[Decision | Invalid, str]:
    if isinstance(address, Invalid):
        return address, ""
    found = known.found(asked.subject, address)
    person = _NOBODY if found is None else found.about(asked.question, known.timeline)
    if person is None:
        raise _MustBeReadWhole
    return _decided(asked.question, person, known.timeline, now, explain=asked.explain)


def _decided(
    question: Question, person: Person, timeline: Timeline, now: datetime, *, explain: bool = False
) -> tuple[Decision, str]:
    """The decision, and whom it is about: nobody, once erased."""
    decision = decide(question, person, timeline, now, explain=explain)
    return decision, person.own.subject_id if person.own.erased_at is None else ""


async def _know(
    store: Store, named: Sequence[Subject], now: datetime, connection: AsyncConnection | None, *, whole: bool
) -> Known:
    """Read everybody named in one statement. Identifiers are normalised by the catalogue known so far; only if the same
    read says that it is not the last is it read, and the people once more."""
    look: Look = store.look if connection is None else looking(connection)
    while True:
        serial, timeline = store.known
        addresses = [_address(subject, timeline.judging(now), store) for subject in named]
        snapshot = await look(
            [digest for address in addresses if isinstance(address, Address) for digest in address.digests],
            [subject.subject_id for subject in named if subject.subject_id is not None],
            whole=whole,
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


async def ask_all(
    store: Store, subject: Subject, *, jurisdiction: str | None, gpc: bool, now: datetime
) -> tuple[Answers, list[Question]]:
    """Every enabled purpose and channel about one subject, from one snapshot of now."""
    known = await _know(store, [subject], now, None, whole=True)
    catalogue = _judging(known, now)
    questions = everything_about(catalogue, jurisdiction=jurisdiction, gpc=gpc)
    [address] = known.addresses
    if isinstance(address, Invalid):
        return _answers(known, [(address, "")] * len(questions), now), questions
    found = known.found(subject, address)
    person = _NOBODY if found is None else found.person
    decisions = [_decided(question, person, known.timeline, now) for question in questions]
    return _answers(known, decisions, now), questions


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
