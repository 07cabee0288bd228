"""What the catalogue alone says to a question, whoever it is about and whenever it is asked: worked out once for each
question and version, since the same few are asked again and again."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from app.decision.catalogue import Catalogue, Ground, Purpose, Recipient
from app.decision.jurisdictions import lies_within
from app.decision.model import Decision, Event, Question
from app.decision.period import after, midnight, parse_period

_GROUND_ORDER = ("contract", "legal_obligation", "vital_interest", "public_task", "consent", "legitimate_interest")
_REVIEW_LASTS = parse_period("P1Y")
_REMEMBERED = 1024  # questions


class Plan(NamedTuple):
    """What is asked, as the catalogue declares it. A `fault` of the recipient settles the question, unless its review
    has ended (`review_ends`): that comes first. `grounds` are in the order in which they are looked at."""

    purpose: Purpose
    data_categories: tuple[str, ...]
    is_special: bool
    jurisdiction: str
    grounds: tuple[Ground, ...]
    review_ends: datetime | None
    fault: Decision | None


@lru_cache(maxsize=_REMEMBERED)
def plan_of(question: Question, catalogue: Catalogue) -> Plan | Decision:
    """The plan for a question, without regard to the instants in it; a decision where the catalogue settles it."""
    purpose = catalogue.purposes.get(question.purpose)
    if purpose is None:
        return no("unknown_purpose")
    if not purpose.enabled:
        return no("purpose_disabled")
    if not purpose.personal:
        return Decision(True, "not_personal_data")
    asked = question.data_categories
    data_categories = purpose.data_categories if asked is None else asked
    settled = _uncovered(data_categories, purpose, catalogue) or _undeclared(question.channel, purpose)
    if settled is not None:
        return settled
    recipient = fault = None
    if question.recipient is not None:
        recipient = catalogue.recipients.get(question.recipient)
        fault = _fault_of(question.recipient, recipient, purpose, data_categories, catalogue)
    jurisdiction = question.jurisdiction or catalogue.default_jurisdiction
    return Plan(
        purpose,
        data_categories,
        any(catalogue.data_categories[c].special for c in data_categories),
        jurisdiction,
        tuple(sorted(purpose.grounds_in(jurisdiction), key=lambda g: _GROUND_ORDER.index(g.basis))),
        _review_end(recipient) if recipient is not None else None,
        fault,
    )


def _uncovered(data_categories: Sequence[str], purpose: Purpose, catalogue: Catalogue) -> Decision | None:
    unknown = tuple(c for c in data_categories if c not in catalogue.data_categories)
    if unknown:
        return no("unknown_data_category", failing=unknown)
    uncovered = tuple(c for c in data_categories if c not in purpose.data_categories)
    return no("data_category_not_covered", failing=uncovered) if uncovered else None


def _undeclared(channel: str | None, purpose: Purpose) -> Decision | None:
    declared = purpose.channels or ()
    if channel is None:
        return no("channel_required") if declared else None
    return None if channel in declared else no("channel_not_declared")


def _fault_of(
    key: str, recipient: Recipient | None, purpose: Purpose, data_categories: Sequence[str], catalogue: Catalogue
) -> Decision | None:
    if recipient is None:
        return no("recipient_not_declared")
    if recipient.role == "processor" and recipient.own_purposes:
        return no("recipient_own_purposes")
    if recipient.role == "processor" and not _is_reviewed(recipient):
        return no("recipient_not_reviewed")
    if not lies_within(recipient.country, catalogue.home) and recipient.transfer_safeguard is None:
        return no("no_transfer_safeguard")
    if key not in purpose.recipients:
        return no("recipient_not_declared")
    allowed = data_categories if recipient.data_categories is None else recipient.data_categories
    withheld = tuple(c for c in data_categories if c not in allowed)
    return no("recipient_not_declared", failing=withheld) if withheld else None


def _is_reviewed(recipient: Recipient) -> bool:
    return recipient.contract is not None and recipient.reviewed_on is not None


def _review_end(recipient: Recipient) -> datetime | None:
    """When the review of a processor ends; None where something else is wrong with it already, or none is needed."""
    if recipient.role != "processor" or recipient.own_purposes or not _is_reviewed(recipient):
        return None
    assert recipient.reviewed_on is not None
    return after(midnight(recipient.reviewed_on), _REVIEW_LASTS)


def no(reason: str, *events: Event, failing: tuple[str, ...] = ()) -> Decision:
    """An answer that is no."""
    return Decision(False, reason, failing_data_categories=failing, determining=events)
