"""How a question is answered: the steps of domain 4, each giving the answer or passing the question on."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tests.reference.case import Answer, Case, said_no
from tests.reference.catalogue import MARKETING, Catalogue, instant, ladder, later
from tests.reference.ledger import File

# Of what arose while no ground held, the first of these is the reason (domain 4.8).
REASONS = (
    "objected",
    "consent_withdrawn",
    "consent_refused",
    "basis_added_after_refusal",
    "consent_invalid",
    "child_consent_invalid",
    "consent_not_explicit",
    "consent_outdated",
    "consent_expired",
    "consent_requested",
    "channel_not_consented",
    "no_contract",
    "no_permission_for_channel",
    "not_informed",
    "no_consent",
)
DENIED_TO_CHILDREN = {
    "excluded": ("direct_marketing", "marketing_profiling", "analytics", "automated_decision"),
    "guardian": ("automated_decision",),
}


def no(reason: str, failing: Iterable[str] = ()) -> Answer:
    return Answer(False, reason, failing=tuple(failing))


# 1. Catalogue


def catalogue_allows(case: Case) -> Answer | None:
    if case.declared is None:
        return no("unknown_purpose")
    if case.purpose.get("enabled") is False:
        return no("purpose_disabled")
    if case.purpose.get("personal") is False:
        return Answer(True, "not_personal_data")
    return categories_allow(case) or channel_allows(case)


def categories_allow(case: Case) -> Answer | None:
    unknown = [c for c in case.categories if c not in case.version.document["data_categories"]]
    if unknown:
        return no("unknown_data_category", unknown)
    uncovered = [c for c in case.categories if c not in case.purpose["data_categories"]]
    return no("data_category_not_covered", uncovered) if uncovered else None


def channel_allows(case: Case) -> Answer | None:
    if case.channels and case.place.channel is None:
        return no("channel_required")
    if case.place.channel is not None and case.place.channel not in case.channels:
        return no("channel_not_declared")
    return None


def recipient_allows(case: Case) -> Answer | None:
    name = case.question.get("recipient")
    if name is None:
        return None
    recipient = (case.version.document.get("recipients") or {}).get(name)
    if recipient is None:
        return no("recipient_not_declared")
    fault = recipient_fault(case, recipient)
    if fault is not None:
        return no(fault)
    may_have = recipient.get("data_categories")
    if name not in (case.purpose.get("recipients") or []):
        return no("recipient_not_declared")
    withheld = [] if may_have is None else [c for c in case.categories if c not in may_have]
    return no("recipient_not_declared", withheld) if withheld else None


def recipient_fault(case: Case, recipient: dict[str, Any]) -> str | None:
    if recipient.get("role") == "processor":
        if recipient.get("own_purposes"):
            return "recipient_own_purposes"
        reviewed_on = recipient.get("reviewed_on")
        if not recipient.get("contract") or not reviewed_on or later(instant(reviewed_on), "P1Y") <= case.at:
            return "recipient_not_reviewed"
    home = case.version.document.get("home") or "EEA"
    if home not in ladder(recipient.get("country") or "") and not recipient.get("transfer_safeguard"):
        return "no_transfer_safeguard"
    return None


def retention_allows(case: Case) -> Answer | None:
    collected, retention = case.question.get("data_collected_at"), case.purpose.get("retention")
    if collected is not None and retention and later(collected, retention) <= case.at:
        return no("retention_elapsed")
    return None if case.grounds else no("no_basis_in_jurisdiction")


# 2. Person


def person_allows(case: Case) -> Answer | None:
    erased_at = case.file.erased_at
    if erased_at is not None and case.kind in MARKETING:
        give = case.file.latest_valid_give(case.place)
        if give is None or give.at <= erased_at:
            return no("suppressed")
    child = case.file.child()
    policy = case.version.document.get("children") or "excluded"
    if child is not None and case.at < instant(child.fields["until"]) and case.kind in DENIED_TO_CHILDREN[policy]:
        return no("child")
    return None


# 3. Restriction


def restriction_allows(case: Case) -> Answer | None:
    if not case.restrictions:
        return None
    if case.question.get("operation") == "store":
        return Answer(True, "restriction_storage", obligations=obligations_of_kind(case))
    if case.is_exempt or any(case.holding_give(ground) for ground in case.consent_grounds):
        return None
    return no("restricted")


# 4. Marketing


def marketing_allows(case: Case) -> Answer | None:
    if case.kind not in MARKETING:
        return None
    noes, objections = case.noes_in_force(), case.scope_objections_in_force("all_marketing")
    if objections:
        return no("objected_to_marketing")
    if noes:
        last = max(noes, key=lambda n: n.order)
        if last.kind == "object" or not case.version.has_ground(case.place.purpose, "consent"):
            return no("objected_to_marketing")
        return no(said_no(last))
    if case.kind == "marketing_profiling" and case.scope_objections_in_force("automation"):
        return no("automation_opt_out")
    return None


# 5. Automation


def automation_allows(case: Case) -> Answer | None:
    if case.kind == "automated_decision" and case.scope_objections_in_force("automation"):
        return no("automation_opt_out")
    return None


def obligations(case: Case) -> tuple[str, ...]:
    due = set(obligations_of_kind(case))
    if case.scope_objections_in_force("automation"):
        if case.kind == "direct_marketing":
            due.add("no_segmentation")
        elif case.question.get("automated"):
            due.add("human_review")
    return tuple(due)


def obligations_of_kind(case: Case) -> tuple[str, ...]:
    if case.kind == "direct_marketing" and case.place.channel in ("email", "sms"):
        return ("unsubscribe_link",)
    return ("human_review", "contest") if case.kind == "automated_decision" else ()


# 6. Special categories


def special_categories_allow(case: Case) -> Answer | None:
    if not case.is_special:
        return None
    gives = [give for ground in case.consent_grounds if (give := case.holding_give(ground)) is not None]
    if any(give.explicit for give in gives):
        return None
    lacking = [case.consent_faults(ground) for ground in case.consent_grounds]
    stands_in = any(case.stand_in(ground) == "holds" for ground in case.consent_grounds)
    if gives or stands_in or {"consent_not_explicit"} in lacking:
        return no("consent_not_explicit")
    said, _ = case.said(case.place)
    return no(said or "special_category")


# 7. Global Privacy Control


def gpc_allows(case: Case) -> Answer | None:
    if not (case.question.get("gpc") and case.purpose.get("honours_gpc")):
        return None
    gives = [case.holding_give(ground) for ground in case.consent_grounds]
    return None if any(give is not None and give.explicit for give in gives) else no("gpc_opt_out")


# 8. Grounds


def grounds_allow(case: Case) -> Answer:
    only_consent = case.is_special or (bool(case.restrictions) and not case.is_exempt)
    arose: set[str] = set()
    for ground in case.consent_grounds if only_consent else case.grounds:
        answer, reasons = case.ground_allows(ground)
        if answer is not None:
            reason = "restriction_exempt" if case.restrictions and case.is_exempt else answer.reason
            due = sorted({*answer.obligations, *obligations(case)})
            return Answer(True, reason, ground["basis"], tuple(due))
        arose |= reasons
    return no(next(reason for reason in REASONS if reason in arose))


STEPS = (
    catalogue_allows,
    recipient_allows,
    retention_allows,
    person_allows,
    restriction_allows,
    marketing_allows,
    automation_allows,
    special_categories_allow,
    gpc_allows,
)


def decide(question: dict[str, Any], catalogue: Catalogue, file: File, heard: list[File], now: datetime) -> Answer:
    """`file` is what is on file about the subject, `heard` what is on file about those attached to it."""
    until = question.get("as_of")
    at = now if until is None else until
    if file.erased_at is not None and at < file.erased_at:  # domain 3.4: no reaching back behind an erasure
        at = file.erased_at
        until = None if until is None else at
    version = catalogue.in_force(at)
    if version is None:
        return no("no_catalogue")
    case = Case(question, catalogue, version, file.up_to(until), [other.up_to(until) for other in heard], at)
    for step in STEPS:
        answer = step(case)
        if answer is not None:
            return answer
    return grounds_allow(case)
