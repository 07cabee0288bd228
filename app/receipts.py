"""Receipts: what a person can be given as proof of what was recorded, and anyone can check against the chain."""

import json
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto
from app.decision.catalogue import Catalogue, Purpose, Timeline, Wording
from app.decision.refusal import Unknown
from app.describing import held
from app.documents import instant
from app.entries import digest_of_evidence
from app.storage import ledger, subjects
from app.storage.ledger import Entry, Place
from app.storage.store import Store

FORMAT = "maywe receipt v1"


async def receipt(connection: AsyncConnection, store: Store, event_id: str) -> dict[str, Any]:
    """The receipt of one event about a person. Raises Unknown, or Erased once nothing may be told about the person."""
    place = await ledger.place_of(connection, event_id)
    if place is None or place.entry.subject_id is None:
        raise Unknown("unknown-event", "There is no event with this id about a person.")
    await held(connection, store, place.entry.subject_id)
    sealed = await subjects.evidence_for(connection, event_id)
    evidence = json.loads(store.secrets.unseal(sealed, event_id.encode())) if sealed is not None else None
    return await _made(connection, store, place, evidence)


async def _made(
    connection: AsyncConnection, store: Store, place: Place, evidence: dict[str, Any] | None
) -> dict[str, Any]:
    epoch, _ = await ledger.chain_head(connection)
    told = _told(place.entry, evidence, await _known_then(connection, store, place.entry))
    return told | {
        "chain": {
            "epoch": epoch,
            "position": place.link.position,
            "digest": place.link.digest.hex(),
            "previous_digest": place.before.digest.hex(),
            "entry": place.octets.decode(),
        }
    }


async def _known_then(connection: AsyncConnection, store: Store, entry: Entry) -> Timeline:
    """The catalogues published when an entry was recorded, so that the same receipt can be made at any time."""
    timeline = await store.timeline(connection, await ledger.head(connection))
    return timeline.first(await ledger.publications_before(connection, entry.position))


def _told(entry: Entry, evidence: dict[str, Any] | None, timeline: Timeline) -> dict[str, Any]:
    """What a receipt says, made of the ledger's entry, what lay sealed beside it, and the notices of that time."""
    data = entry.data
    agreed = timeline.named(data["notice"]) if "notice" in data else timeline.judging(entry.occurred_at)
    assert agreed is not None, "nothing is recorded before a catalogue is published"
    return {
        "format": FORMAT,
        "event_id": entry.event_id,
        "type": entry.type,
        "subject_id": entry.subject_id,
        "controller": _controller(agreed),
        "purpose": _purpose(entry, agreed, timeline),
        "channel": entry.channel,
        "scope": entry.scope,
        "basis": _basis(entry),
        "explicit": bool(data.get("explicit")),
        "notice": _notice(agreed, data) if "notice" in data else None,
        "wording": ((evidence or {}).get("evidence") or {}).get("wording"),
        "method": data.get("method"),
        "actor": data.get("actor"),
        "language": data.get("language"),
        "occurred_at": instant(entry.occurred_at, timespec="microseconds"),
        "recorded_at": instant(entry.recorded_at, timespec="microseconds"),
        "withdrawal": _withdrawal(agreed),
        "evidence": evidence,
    }


def _controller(catalogue: Catalogue) -> dict[str, Any] | None:
    controller = catalogue.controller
    if controller is None:
        return None
    return {"name": controller.name, "address": controller.address, "contact": controller.contact}


def _purpose(entry: Entry, agreed: Catalogue, timeline: Timeline) -> dict[str, Any] | None:
    if entry.purpose is None:
        return None
    purpose = agreed.purposes.get(entry.purpose) or timeline.purpose_at(entry.purpose, entry.occurred_at)
    told: dict[str, Any] = {"key": entry.purpose, "title": None, "description": None, "data_categories": []}
    if purpose is None:
        return told
    words = _words(entry.purpose, purpose, agreed, entry.data.get("language"))
    categories = list(purpose.data_categories)
    return told | {"title": words.title, "description": words.description, "data_categories": categories}


def _words(key: str, purpose: Purpose, agreed: Catalogue, language: str | None) -> Wording:
    """The purpose's words in the language it was spoken of, where there is a translation."""
    translation = agreed.translations.get(language or "")
    translated = translation.purposes.get(key, Wording()) if translation else Wording()
    return Wording(translated.title or purpose.title, translated.description or purpose.description)


def _basis(entry: Entry) -> str | None:
    if entry.type in ("choice.give", "choice.request"):
        return "consent"
    rows = [row for row in entry.data.get("standings", ()) if row["purpose"] == entry.purpose]
    return next((row["basis"] for row in rows if entry.channel in (None, row["channel"])), None)


def _notice(agreed: Catalogue, data: dict[str, Any]) -> dict[str, Any]:
    notice, language = agreed.notice, data.get("language")
    digests = notice.language_versions if notice else {}
    return {
        "version": agreed.version,
        "title": notice.title if notice else None,
        "url": notice.url if notice else None,
        "sha256": digests.get(language) if language else None,
    }


def _withdrawal(agreed: Catalogue) -> dict[str, Any]:
    """How to say no: at any time, and as easily as yes was said (Art. 7(3), 21)."""
    return {
        "contact": agreed.controller.contact if agreed.controller else None,
        "notice_url": agreed.notice.url if agreed.notice else None,
        "statement": "You may withdraw or object at any time, without giving a reason and without any cost.",
    }


async def fault_of_receipt(connection: AsyncConnection, store: Store, shown: dict[str, Any]) -> str | None:
    """What is wrong with a receipt, if anything: its words against the ledger's entry, the entry against the chain, and
    the chain from there on. That goes as well after the person was erased: the receipt brings the evidence."""
    event_id = str(shown.get("event_id"))
    place = await ledger.place_of(connection, event_id) if event_id.isprintable() else None  # PostgreSQL takes no NUL
    if place is None:
        return "the ledger has no such event"
    fault = _fault_of_evidence(store, place.entry, shown.get("evidence"))
    if fault is not None:
        return fault
    made = await _made(connection, store, place, shown.get("evidence"))
    differing = sorted({name for name, _ in _members(made) ^ _members(shown)})
    if differing:
        return f"it says something else than the ledger: {', '.join(differing)}"
    return (await ledger.verify(connection, after=place.before, through=[place.link])).fault


def _members(told: dict[str, Any]) -> set[tuple[str, bytes]]:
    """Each member as canonical JSON: to Python, 1, 1.0 and true are equal."""
    return {(name, crypto.canonical_json(value)) for name, value in told.items()}


def _fault_of_evidence(store: Store, entry: Entry, evidence: Any) -> str | None:
    expected = digest_of_evidence(entry)
    if expected is None:
        return None if evidence is None else "it shows evidence that was not recorded"
    if evidence is None:
        return "the evidence that was recorded is missing in it"
    digests = store.secrets.reference_digests(crypto.canonical_json(evidence).decode())
    return None if expected in digests else "its evidence was altered"
