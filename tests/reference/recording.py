"""What is refused at the write (domain 3.1 and 3.2): the problem, or None."""

from datetime import datetime
from typing import Any

from tests.reference.catalogue import CHANNELS, MARKETING, Catalogue, Version
from tests.reference.ledger import NOES, File, Place

FACTS = {
    "contract_started": ("reference",),
    "contract_ended": ("reference",),
    "sale": ("reference",),
    "enquiry": ("reference",),
    "informed": (),
    "restriction_started": (),
    "restriction_lifted": (),
    "child": ("until",),
    "objection_upheld": ("purpose",),
    "objection_overridden": ("purpose", "grounds", "decided_by"),
    "consent_invalidated": ("purpose",),
}


def problem_with_choices(
    items: list[dict[str, Any]], catalogue: Catalogue, at: datetime, notice: str | None, method: str | None
) -> str | None:
    if notice is not None and catalogue.named(notice) is None:
        return "refused"
    for item in items:
        problem = problem_with_choice(item, catalogue, at, notice, method)
        if problem is not None:
            return problem
    gives = [item for item in items if item["choice"] == "give"]
    noes = [item for item in items if item["choice"] in NOES and item.get("purpose") is not None]
    if any(g["purpose"] == n["purpose"] and n.get("channel") in (None, g.get("channel")) for g in gives for n in noes):
        return "contradictory-choices"
    return None


def problem_with_choice(
    item: dict[str, Any], catalogue: Catalogue, at: datetime, notice: str | None, method: str | None
) -> str | None:
    if (item.get("purpose") is None) == (item.get("scope") is None):
        return "refused"
    if item.get("scope") is not None:
        return problem_with_scope(item)
    if item["choice"] == "give":
        return problem_with_give(item, catalogue, at, notice, method)
    if item["choice"] == "request":
        return problem_with_wish(item, catalogue.in_force(at))
    if item["choice"] in (*NOES, "withdraw_objection"):
        return problem_with_no(item, catalogue)
    return "refused"


def problem_with_scope(item: dict[str, Any]) -> str | None:
    channels = {"all_marketing": (None, *CHANNELS), "automation": (None,)}.get(item["scope"], ())
    fits = item.get("channel") in channels and item["choice"] in ("object", "withdraw_objection")
    return None if fits else "refused"


def problem_with_no(item: dict[str, Any], catalogue: Catalogue) -> str | None:
    """A no, and what lifts it, is judged by any version that had the purpose."""
    known = bool(catalogue.having(item["purpose"]))
    channel = item.get("channel")
    return None if known and (channel is None or channel in catalogue.channels_ever(item["purpose"])) else "refused"


def problem_with_give(
    item: dict[str, Any], catalogue: Catalogue, at: datetime, notice: str | None, method: str | None
) -> str | None:
    if notice is None or method is None:
        return "refused"
    version = catalogue.named(notice)
    if version is None or version.effective_from > at:
        return "notice-not-in-force"
    problem = problem_with_wish(item, version)
    if problem is not None:
        return problem
    consents = [ground for ground in version.grounds(item["purpose"]) if ground["basis"] == "consent"]
    asked = all(ground.get("explicit") for ground in consents)
    return "explicit-consent-required" if asked and not item.get("explicit") else None


def problem_with_wish(item: dict[str, Any], version: Version | None) -> str | None:
    """A give or a request, by the version that counts for it."""
    purpose = None if version is None else version.purpose(item["purpose"])
    if version is None or purpose is None or purpose.get("enabled") is False:
        return "refused"
    if not version.has_ground(item["purpose"], "consent"):
        return "no-consent-ground"
    channels, channel = purpose.get("channels") or [], item.get("channel")
    if channels and channel is None:
        return "channel-required"
    return "refused" if channel is not None and channel not in channels else None


def problem_with_fact(item: dict[str, Any], catalogue: Catalogue, at: datetime, file: File) -> str | None:
    wanted = FACTS.get(item["fact"])
    if wanted is None or any(not item.get(field) for field in wanted):
        return "refused"
    declared = {category for v in catalogue.versions for category in v.document["data_categories"]}
    if not declared >= set(item.get("data_categories") or ()):
        return "refused"
    if item.get("notice") is not None and catalogue.named(item["notice"]) is None:
        return "refused"
    if "purpose" in wanted and problem_with_no(item, catalogue) is not None:
        return "refused"
    if item["fact"] == "objection_overridden":
        return problem_with_override(item["purpose"], catalogue, at, file)
    return None


def problem_with_override(purpose: str, catalogue: Catalogue, at: datetime, file: File) -> str | None:
    version = catalogue.in_force(at)
    if version is None or version.purpose(purpose) is None:
        version = catalogue.having(purpose)[-1]
    if (version.purpose(purpose) or {}).get("kind") in MARKETING:
        return "refused"
    places = [Place(purpose, channel) for channel in (None, *CHANNELS)]
    return None if any(file.noes(place) for place in places) else "no-objection"
