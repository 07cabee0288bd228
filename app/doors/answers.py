"""What is told and noted of a decision, on every way to the checks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app import crypto, metrics
from app.asking import Answers, Asked, hint
from app.decision.catalogue import Catalogue
from app.decision.model import CHANNELS, Decision
from app.decision_log import Answered
from app.doors.dependencies import Caller


def told(decision: Decision, asked: Asked, catalogue: Catalogue) -> dict[str, Any]:
    """The answer as callers get it, without what a batch says once for all of its answers."""
    question = asked.question
    content = {
        "decision": decision.decision,
        "reason": decision.reason,
        "basis": decision.basis,
        "purpose": question.purpose,
        "channel": question.channel,
        "failing_data_categories": decision.failing_data_categories,
        "obligations": decision.obligations,
        "determining": [
            {"event_id": e.id, "type": e.type, "occurred_at": e.at, "notice": e.notice} for e in decision.determining
        ],
        "valid_until": decision.valid_until,
    }
    nearest = hint(decision, question, catalogue)
    if nearest is not None:
        content["hint"] = nearest
    if asked.explain:
        content["considered"] = [c._asdict() for c in decision.considered]
    return content


def noted(caller: Caller, answers: Answers, answered: Sequence[Answered], now: datetime) -> dict[str, Any]:
    """Count answers and put them into the decision log. Returns what the log line of the request says of them: their
    `decision_id`; one in full, several by their number. Of the question only what the catalogue declares is logged."""
    catalogue = answers.catalogue
    metrics.count_decisions((decision.decision, decision.reason) for decision, _, _ in answered)
    decision_id = crypto.new_id("dec_")
    if caller.log is not None:
        key_id, head = caller.key_id, answers.head
        caller.log.note(answered, key_id=key_id, head=head, catalogue=catalogue, at=now, decision_id=decision_id)
    note: dict[str, Any] = {"decision_id": decision_id}
    if len(answered) != 1:
        return note | {"count": len(answered)}
    [(decision, question, _)] = answered
    note |= {"decision": decision.decision, "reason": decision.reason, "basis": decision.basis}
    note["catalogue_version"] = decision.catalogue_version
    if question.purpose in catalogue.purposes:
        note["purpose"] = question.purpose
    if question.channel in CHANNELS:
        note["channel"] = question.channel
    return note


def once(answers: Answers, version: str | None, now: datetime, note: dict[str, Any]) -> dict[str, Any]:
    """What is told once, however many questions were asked: where the answers come from, and under which name they are
    in the logs."""
    return {
        "revision": answers.head.revision,
        "catalogue_version": version,
        "decision_id": note["decision_id"],
        "evaluated_at": now,
    }
