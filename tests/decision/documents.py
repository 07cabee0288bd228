"""A minimal catalogue that lint lets pass, and changes to it by JSON pointer."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from app.decision.catalogue import Catalogue
from app.decision.lint import lint

READER = TypeAdapter(Catalogue)
REMOVED = object()
SECRET = "free text that nobody may read"

BASE: dict[str, Any] = {
    "version": "2026-11",
    "identifier_types": {"customer": {"normalise": "exact"}, "email": {"normalise": "email", "channel": "email"}},
    "data_categories": {
        "email": {"title": SECRET, "sources": ["subject"]},
        "health": {"sources": ["subject"], "special": True},
    },
    "recipients": {
        "mailer": {"title": SECRET, "role": "processor", "country": "IE", "contract": "DPA-1"},
        "court": {"role": "authority", "country": "DE", "disclosure_basis": "ZPO", "data_categories": ["email"]},
        "unlisted": {"role": "processor", "country": "US", "own_purposes": True},
        "partner": {"role": "independent_controller", "country": "US"},
    },
    "purposes": {
        "news": {
            "title": SECRET,
            "kind": "service",
            "grounds": [{"basis": "consent"}],
            "data_categories": ["email"],
            "recipients": ["mailer", "court"],
            "retention": "P2Y",
        }
    },
    "measures": {"encryption": {}},
}

CONSENT = {"basis": "consent", "expires_after": "P24M"}
CONTRACT = {"basis": "contract"}
INTEREST = {"basis": "legitimate_interest", "reference": "LIA-1"}
SALE = {**INTEREST, "evidence": "sale"}
TASK = {"basis": "public_task", "reference": "statute 1"}
STATUTE = {"basis": "legal_obligation", "reference": "statute 1"}
VITAL = {"basis": "vital_interest"}

NEWS = "/purposes/news"
GROUND = "/purposes/news/grounds/0"

Changes = dict[str, Any]


def within(ground: dict[str, Any], *areas: str) -> dict[str, Any]:
    return {**ground, "jurisdictions": list(areas)}


def resting(kind: str, *grounds: dict[str, Any], channels: Sequence[str] = ()) -> Changes:
    return {f"{NEWS}/kind": kind, f"{NEWS}/grounds": list(grounds), f"{NEWS}/channels": list(channels)}


def listing(recipient: str, **fields: Any) -> Changes:
    changes = {f"/recipients/{recipient}/{name}": value for name, value in fields.items()}
    return changes | {f"{NEWS}/recipients": [recipient]}


def patched(changes: Changes) -> dict[str, Any]:
    document = copy.deepcopy(BASE)
    for pointer, value in changes.items():
        *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
        place: Any = document
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        key = int(last) if isinstance(place, list) else last
        if value is REMOVED:
            del place[key]
        else:
            place[key] = value
    return document


def read(changes: Changes) -> Catalogue:
    return READER.validate_json(json.dumps(patched(changes)), strict=True)


def found(changes: Changes) -> list[tuple[str, str, str]]:
    return [(finding.pointer, finding.code, finding.level) for finding in lint(read(changes))]
