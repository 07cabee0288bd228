"""Choices recorded in bulk: many people in one unit of work, each row as if it came alone (domain 3)."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app.addressing import Address, Subject, address_of
from app.decision.fold import repeated
from app.decision.refusal import Fault, Invalid
from app.judging import Choice, faults_of_choices
from app.recording import Circumstances, event_of, instant_of, record_choice
from app.storage.store import Store
from app.writing import Unit

CREATED, UNCHANGED = "created", "unchanged"


class Row(NamedTuple):
    """What one person decided, and how; `how.occurred_at` is always known."""

    subject: Subject
    choice: Choice
    how: Circumstances

    def __repr__(self) -> str:
        return "Row(...)"  # an identifier is never shown by accident


class RolledBack(Exception):
    """What would have become of some rows; nothing was kept."""

    def __init__(self, results: list[str]) -> None:
        self.results = results


async def import_rows(
    connection: AsyncConnection, store: Store, rows: Sequence[Row], *, now: datetime, dry_run: bool = False
) -> list[str]:
    """Record rows in one unit of work; per row `created`, `unchanged`, or `refused: ` and why. Raises RolledBack
    instead of returning on a dry run."""
    unit = await Unit.begin(connection, store, now)
    judged = [_judge(row, unit) for row in rows]
    addresses = [address for address in judged if not isinstance(address, Invalid)]
    held = iter(await unit.hold_all(addresses) if addresses else [])
    results = []
    for row, verdict in zip(rows, judged, strict=True):
        if isinstance(verdict, Invalid):
            results.append(refused(verdict))
            continue
        state = next(held)
        at = instant_of(row.how.occurred_at, now, "/occurred_at")
        assert at is not None, "a row says when"
        event = event_of(row.choice, state, at, row.how)
        is_known = repeated(state, event) is not None
        if not is_known:
            await record_choice(unit, state, event, row.how)
        results.append(UNCHANGED if is_known else CREATED)
    await unit.finish()
    if dry_run:
        raise RolledBack(results)
    return results


def refused(invalid: Invalid) -> str:
    """The result of a row that cannot be recorded."""
    return "refused: " + "; ".join(f"{fault.pointer.lstrip('/')}: {fault.detail}" for fault in invalid.faults)


def _judge(row: Row, unit: Unit) -> Address | Invalid:
    try:
        at = instant_of(row.how.occurred_at, unit.now, "/occurred_at")
        address = address_of(row.subject, unit.catalogue, unit.store.secrets)
    except Invalid as invalid:
        return invalid
    faults = [*faults_of_choices([row.choice], row.how.notice, row.how.method, unit.timeline, at or unit.now)]
    faults += _faults_of_import(row)
    return (
        Invalid(*(fault._replace(pointer=fault.pointer.removeprefix("/choices/0")) for fault in faults))
        if (faults)
        else address
    )


def _faults_of_import(row: Row) -> list[Fault]:
    """An import turns no opt-out into an opt-in, unless its row proves a newer consent (Art. 7(1))."""
    if row.choice.choice == "withdraw_objection":
        return [Fault("/choice", "no-lifting", "An import cannot lift an objection; only the person can.")]
    if row.choice.choice == "give" and row.how.method == "import":
        return [Fault("/method", "method-required", "Say how the consent was given, not how the row came here.")]
    return []
