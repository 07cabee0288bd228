"""What was answered about whom, kept for a set time, for the person and for a regulator: every no, every answer about
an audience, every disclosure, and a share of the other yeses. Written beside the requests, never within one."""

import asyncio
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto, metrics
from app.decision.catalogue import Catalogue
from app.decision.model import CHANNELS, Decision, Question
from app.storage import decisions
from app.storage.database import Database, Unavailable
from app.storage.decisions import Logged
from app.storage.ledger import Head
from app.telemetry import get_logger

_PAUSE = 1.0  # seconds between two writes
_ROOM = 20_000  # answers that wait to be written; what is more is lost, and counted
_MANY = 2_000  # written before an audience goes on
_CLEANED_EVERY = timedelta(minutes=10)

_log = get_logger("maywe.decision_log")


class Answered(NamedTuple):
    """One answer about somebody; `subject_id` is empty where nobody was known."""

    decision: Decision
    question: Question
    subject_id: str


class DecisionLog:
    """The answers of one process that are to be kept `keep` long; of those that need not be, the share `yeses`."""

    def __init__(self, database: Database, *, keep: timedelta, yeses: float) -> None:
        self._database = database
        self._keep = keep
        self._yeses = yeses
        self._waiting: list[Logged] = []
        self._cleaned: datetime | None = None

    def note(
        self,
        answered: Iterable[Answered],
        *,
        key_id: str,
        head: Head,
        catalogue: Catalogue,
        at: datetime,
        decision_id: str | None = None,
    ) -> None:
        """Remember answers given to a caller together; without a `decision_id`, about an audience: all of them."""
        name = decision_id or crypto.new_id("dec_")
        for one in answered:
            if decision_id is None or self._is_kept(one):
                if len(self._waiting) < _ROOM:
                    self._waiting.append(_logged(one, name, key_id, head, catalogue, at))
                else:
                    metrics.count_unlogged()

    def _is_kept(self, one: Answered) -> bool:
        if not one.decision.decision or one.question.operation == "disclose":
            return True
        return random.random() < self._yeses  # noqa: S311  a sample, no secret

    async def run(self) -> None:
        """Write what waits, every second, and clean up now and then."""
        while True:
            await asyncio.sleep(_PAUSE)
            await self.write()

    async def make_room(self) -> None:
        """Write before more is noted, if much waits: an audience is noted faster than others ask."""
        if len(self._waiting) >= _MANY:
            await self.write()

    async def write(self) -> None:
        """Write what waits; it waits on where that cannot be done."""
        now = datetime.now(UTC)
        written, self._waiting = self._waiting, []
        is_due = self._cleaned is None or now - self._cleaned > _CLEANED_EVERY
        if not written and not is_due:
            return
        try:
            await self._database.write(lambda connection: self._write(connection, written, now if is_due else None))
        except Unavailable as error:
            self._waiting = [*written, *self._waiting][:_ROOM]
            _log.warning("decisions_not_written", exc_info=error)
            return
        if is_due:
            self._cleaned = now

    async def _write(self, connection: AsyncConnection, written: list[Logged], now: datetime | None) -> None:
        if written:
            await decisions.add(connection, written)
        if now is not None:
            await decisions.clean(connection, before=now - self._keep)


def _logged(one: Answered, decision_id: str, key_id: str, head: Head, catalogue: Catalogue, at: datetime) -> Logged:
    question, decision = one.question, one.decision
    return Logged(
        decision_id=decision_id,
        answered_at=at,
        key_id=key_id,
        subject_id=one.subject_id or None,
        purpose=question.purpose if question.purpose in catalogue.purposes else None,
        channel=question.channel if question.channel in CHANNELS else None,
        recipient=question.recipient if question.recipient in catalogue.recipients else None,
        operation=question.operation,
        decision=decision.decision,
        reason=decision.reason,
        basis=decision.basis,
        catalogue_version=decision.catalogue_version,
        position=head.position,
    )
