"""Choices and facts recorded in bulk: many people in one unit of work, each row as if it came alone (domain 3)."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app.addressing import Address, Subject, address_of
from app.decision.catalogue import Timeline
from app.decision.fold import repeated
from app.decision.history import History
from app.decision.model import State
from app.decision.refusal import Fault, Invalid
from app.judging import Choice, Fact, faults_of_choices, faults_of_facts
from app.recording import Circumstances, event_of, record_choice, record_fact
from app.storage.store import Store
from app.writing import Unit

LIFTING = ("restriction_lifted", "objection_overridden")  # facts that end a no
CREATED, UNCHANGED = "created", "unchanged"


class Row(NamedTuple):
    """What one person decided, and how, or what was established about them; `how.occurred_at` is always known."""

    subject: Subject
    said: Choice | Fact
    how: Circumstances

    def __repr__(self) -> str:
        return "Row(...)"  # an identifier is never shown by accident


async def import_rows(connection: AsyncConnection, store: Store, rows: Sequence[Row], *, now: datetime) -> list[str]:
    """Record rows in one unit of work; per row `created`, `unchanged`, or `refused: ` and why."""
    unit = await Unit.begin(connection, store, now)
    judged = [_judge(row, unit) for row in rows]
    addresses = [address for address in judged if not isinstance(address, Invalid)]
    held = iter(await unit.hold_all(addresses) if addresses else [])
    results = []
    for row, verdict in zip(rows, judged, strict=True):
        if isinstance(verdict, Invalid):
            results.append(f"refused: {faults_told(verdict)}")
            continue
        results.append(await _record(row, next(held), unit))
    await unit.finish()
    return results


async def _record(row: Row, state: State, unit: Unit) -> str:
    at = row.how.occurred_at
    assert at is not None, "a row says when"
    if isinstance(row.said, Fact):
        if _ends_a_childhood(row.said, at, state, unit.timeline):
            return "refused: fact: An import takes back no protection of a child."
        recorded = await record_fact(unit, state, row.said, at, row.how)
        return CREATED if recorded.effective else UNCHANGED
    event = event_of(row.said, state, at, row.how)
    if repeated(state, event) is not None:
        return UNCHANGED
    await record_choice(unit, state, event, row.how)
    return CREATED


def _ends_a_childhood(fact: Fact, at: datetime, state: State, timeline: Timeline) -> bool:
    """Whether a fact takes back some of the protection that the one on file before it gives (Art. 8)."""
    if fact.fact != "child" or fact.until is None:
        return False
    known = History(state, timeline, None).child
    if known is None or known.until is None or at <= known.at:
        return False
    return fact.until < known.until or fact.holds > known.holds


def faults_told(invalid: Invalid) -> str:
    """Why a row cannot be recorded."""
    return "; ".join(f"{fault.pointer}: {fault.detail}".lstrip("/: ") for fault in invalid.faults)


def _judge(row: Row, unit: Unit) -> Address | Invalid:
    at = row.how.occurred_at or unit.now
    if at > unit.now:  # not the moment's leeway of other doors: a row is the same however often it is imported
        return Invalid(Fault("/occurred_at", "event-in-future", "This has not happened yet."))
    try:
        address = address_of(row.subject, unit.catalogue, unit.store.secrets)
    except Invalid as invalid:
        return invalid
    faults = _faults_of(row, at, unit)
    return Invalid(*_in_row(faults)) if faults else address


def _faults_of(row: Row, at: datetime, unit: Unit) -> list[Fault]:
    if isinstance(row.said, Fact):
        faults = faults_of_facts([row.said], unit.timeline, unit.now)
    else:
        faults = faults_of_choices([row.said], row.how.notice, row.how.method, unit.timeline, at)
    return [*faults, *faults_of_import(row.said, row.how)]


def _in_row(faults: list[Fault]) -> list[Fault]:
    """The same faults, said of a row that has one choice or fact."""
    return [
        fault._replace(pointer=fault.pointer.removeprefix("/choices/0").removeprefix("/facts/0")) for fault in faults
    ]


def faults_of_import(said: Choice | Fact, how: Circumstances) -> list[Fault]:
    """An import turns no opt-out into an opt-in, unless its row proves a newer consent (Art. 7(1))."""
    if isinstance(said, Fact):
        if said.fact in LIFTING:
            return [Fault("/fact", "no-lifting", "An import answers no objection and lifts no restriction.")]
    elif said.choice == "withdraw_objection":
        return [Fault("/choice", "no-lifting", "An import cannot lift an objection; only the person can.")]
    elif said.choice == "give" and how.method == "import":
        return [Fault("/method", "method-required", "Say how the consent was given, not how the row came here.")]
    return []
