"""Publishing a catalogue: linted, compared, put in force. A published version never changes."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto
from app.decision.catalogue import Catalogue, Timeline
from app.decision.difference import Difference, difference
from app.decision.lint import Finding, lint, lint_change
from app.decision.refusal import Conflicting, Fault, Invalid
from app.decision.standing import standing
from app.documents import instant, written
from app.storage import catalogue as shelf
from app.storage import ledger, subjects
from app.storage.catalogue import Published
from app.storage.ledger import Entry
from app.storage.store import DOCUMENT, Store, document_of
from app.validation import sentence


class Publication(NamedTuple):
    """What became of a publication; `created` is false if the same content was published before."""

    version: str
    published_at: datetime
    revision: str
    warnings: list[Finding]
    created: bool


def parse(document: dict[str, Any]) -> Catalogue:
    """The catalogue a document describes. Raises Invalid with every place where its shape is wrong."""
    try:
        catalogue = DOCUMENT.validate_json(written(document), strict=True)
    except ValidationError as error:
        raise Invalid(
            *(_shape_fault(dict(found)) for found in error.errors(include_input=False, include_url=False))
        ) from None
    if catalogue.effective_from is not None and catalogue.effective_from.tzinfo is None:
        raise Invalid(Fault("/effective_from", "shape", "Give the time with its zone, such as 2026-11-01T00:00:00Z."))
    return catalogue


def _shape_fault(error: dict[str, Any]) -> Fault:
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in error["loc"])
    return Fault(pointer, "shape", sentence(error))


def findings(catalogue: Catalogue, previous: Catalogue | None, types_in_use: set[str]) -> list[Finding]:
    """Every lint finding, of the document itself and of the step from the version before it."""
    return lint(catalogue) + lint_change(catalogue, previous, types_in_use)


async def publish(
    connection: AsyncConnection, store: Store, document: dict[str, Any], *, now: datetime, key_id: str
) -> Publication:
    """Publish a document as the next version. Raises Invalid with every finding, Conflicting if the version exists with
    other content."""
    serial = await shelf.take_head(connection)
    head = await ledger.head(connection)
    timeline = await store.timeline(connection, head)
    earlier = await shelf.published(connection)
    now = max([now, *(version.published_at for version in earlier)])  # publications come one by one
    existing = _existing(earlier, document)
    if existing is not None:
        return Publication(existing.version, existing.published_at, head.revision, [], created=False)
    catalogue = parse(document)
    warnings = await _judge(connection, catalogue, timeline, now)
    version = _published(document, catalogue, serial + 1, now)
    await shelf.add(connection, version)
    ended, digest = await ledger.reserve(connection, 1)
    entry = _entry(version, catalogue, ended.position + 1, key_id)
    await ledger.append(connection, [entry], digest=digest)
    return Publication(version.version, now, ended._replace(position=entry.position).revision, warnings, created=True)


def _existing(earlier: Iterable[Published], document: dict[str, Any]) -> Published | None:
    """The version of that name with the same content, as it was sent or as it is read back with its `effective_from`.
    Raises Conflicting for other content."""
    existing = next((version for version in earlier if version.version == document.get("version")), None)
    if existing is None:
        return None
    same = {existing.content_digest, content_digest(document_of(existing))}
    if content_digest(document) not in same:
        detail = "This version was published with other content, and never changes; publish a new version."
        raise Conflicting("version-exists", detail)
    return existing


async def _judge(connection: AsyncConnection, catalogue: Catalogue, timeline: Timeline, now: datetime) -> list[Finding]:
    """Refuse what lint refuses; return the warnings."""
    found = findings(catalogue, timeline.judging(now), await subjects.types_in_use(connection))
    errors = [Fault(f.pointer, f.code, f.detail) for f in found if f.level == "error"]
    current = timeline.in_force(now)
    start = catalogue.effective_from or now
    if current is not None and current.effective_from is not None and start < current.effective_from:
        detail = "A version cannot come into force before the one that is in force now."
        errors.append(Fault("/effective_from", "effective-from-too-early", detail))
    if errors:
        raise Invalid(*errors)
    return [f for f in found if f.level == "warning"]


def content_digest(document: Mapping[str, object]) -> str:
    """By what two documents are the same content: SHA-256 of the canonical JSON, in hex."""
    plain = json.loads(written(document))
    return hashlib.sha256(crypto.canonical_json(plain)).hexdigest()


def _published(document: dict[str, Any], catalogue: Catalogue, serial: int, now: datetime) -> Published:
    start = catalogue.effective_from or now
    text = written({**document, "effective_from": instant(start)})
    return Published(serial, catalogue.version, content_digest(document), start, now, text)


def _entry(version: Published, catalogue: Catalogue, position: int, key_id: str) -> Entry:
    at = version.published_at
    data = {
        "version": version.version,
        "effective_from": instant(version.effective_from),
        "material_changes": list(catalogue.material_changes),
        "content": version.content_digest,
        "key_id": key_id,
    }
    return Entry(crypto.new_id("evt_"), "catalogue.published", at, at, data, position=position)


class DryRun(NamedTuple):
    """What publishing would change: the difference, and how many given consents would become outdated."""

    version: str
    difference: Difference
    consents_outdated: int
    findings: list[Finding]


async def dry_run(connection: AsyncConnection, store: Store, document: dict[str, Any], *, now: datetime) -> DryRun:
    """What publishing a document would change, from a connection that holds one snapshot. Raises what publishing would
    raise."""
    existing = _existing(await shelf.published(connection), document)
    if existing is not None:
        return DryRun(existing.version, Difference(), 0, [])
    timeline = await store.timeline(connection, await ledger.head(connection))
    catalogue = parse(document)
    warnings = await _judge(connection, catalogue, timeline, now)
    changes = difference(timeline.judging(now), catalogue)
    outdated = await _standing_consents(connection, timeline, changes.newly_material, now)
    return DryRun(catalogue.version, changes, outdated, warnings)


async def _standing_consents(
    connection: AsyncConnection, timeline: Timeline, purposes: Sequence[str], now: datetime
) -> int:
    """How many consents to some purposes stand now: neither expired nor outdated already."""
    if not purposes:
        return 0
    count = 0
    async for state in subjects.states(connection):
        for purpose in purposes:
            for channel in state.standings.get(purpose, ()):
                found = standing(state, purpose, channel or None, timeline=timeline, now=now)
                count += found.status == "given"
    return count
