"""Publishing a catalogue: read, linted, compared, put in force. A published version never changes."""

import hashlib
import json
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto
from app.decision.catalogue import Catalogue, Timeline
from app.decision.difference import Difference, difference
from app.decision.lint import Finding, lint, lint_change
from app.decision.refusal import Conflicting, Fault, Invalid
from app.documents import Unreadable, read_json, read_yaml
from app.storage import catalogue as shelf
from app.storage import ledger, subjects
from app.storage.catalogue import Published
from app.storage.ledger import Entry
from app.storage.store import DOCUMENT, Store


class Publication(NamedTuple):
    """What became of a publication; `created` is false if the same content was published before."""

    version: str
    published_at: datetime
    revision: str
    warnings: list[Finding]
    created: bool


def read_document(text: bytes, *, is_yaml: bool) -> dict[str, Any]:
    """A document from JSON or YAML text. Raises Unreadable."""
    document = read_yaml(text) if is_yaml else read_json(text)
    try:
        json.dumps(document, default=_plain, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable from error
    if not isinstance(document, dict):
        raise Unreadable
    return document


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError("not a value of JSON")


def parse(document: dict[str, Any]) -> Catalogue:
    """The catalogue a document describes. Raises Invalid with every place where its shape is wrong."""
    try:
        catalogue = DOCUMENT.validate_json(json.dumps(document, default=_plain), strict=True)
    except ValidationError as error:
        raise Invalid(
            *(_shape_fault(dict(found)) for found in error.errors(include_input=False, include_url=False))
        ) from None
    if catalogue.effective_from is not None and catalogue.effective_from.tzinfo is None:
        raise Invalid(Fault("/effective_from", "shape", "Give the time with its zone, such as 2026-11-01T00:00:00Z."))
    return catalogue


def _shape_fault(error: dict[str, Any]) -> Fault:
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in error["loc"])
    return Fault(pointer, "shape", f"{error['msg']}.")


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
    existing = await _existing(connection, document)
    if existing is not None:
        return Publication(existing.version, existing.published_at, head.revision, [], created=False)
    catalogue = parse(document)
    warnings = await _judge(connection, catalogue, timeline, now)
    version = _published(document, catalogue, serial + 1, now)
    await shelf.add(connection, version)
    position, digest = await ledger.reserve(connection, 1)
    entry = _entry(version, catalogue, position + 1, key_id)
    await ledger.append(connection, [entry], digest=digest)
    return Publication(version.version, now, head._replace(position=position + 1).revision, warnings, created=True)


async def _existing(connection: AsyncConnection, document: dict[str, Any]) -> Published | None:
    """The version of that name with the same content, if it was published. Raises Conflicting for other content."""
    existing = next((p for p in await shelf.published(connection) if p.version == document.get("version")), None)
    if existing is not None and existing.content_digest != content_digest(document):
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


def content_digest(document: dict[str, Any]) -> str:
    """By what two documents are the same content: SHA-256 of the canonical JSON, in hex."""
    plain = json.loads(json.dumps(document, default=_plain))
    return hashlib.sha256(crypto.canonical_json(plain)).hexdigest()


def _published(document: dict[str, Any], catalogue: Catalogue, serial: int, now: datetime) -> Published:
    start = catalogue.effective_from or now
    text = json.dumps({**document, "effective_from": start.isoformat().replace("+00:00", "Z")}, default=_plain)
    return Published(serial, catalogue.version, content_digest(document), start, now, text)


def _entry(version: Published, catalogue: Catalogue, position: int, key_id: str) -> Entry:
    at = version.published_at
    data = {
        "version": version.version,
        "effective_from": version.effective_from.isoformat(),
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
    """What publishing a document would change, without doing it. Raises what publishing would raise."""
    existing = await _existing(connection, document)
    if existing is not None:
        return DryRun(existing.version, Difference(), 0, [])
    timeline = await store.timeline(connection, await ledger.head(connection))
    catalogue = parse(document)
    warnings = await _judge(connection, catalogue, timeline, now)
    outdated = await subjects.count_given(connection, catalogue.material_changes)
    return DryRun(catalogue.version, difference(timeline.judging(now), catalogue), outdated, warnings)
