"""The catalogue over HTTP: read by every caller, published by few."""

import asyncio
import hashlib
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi import Request as HttpRequest
from fastapi.responses import Response as HttpResponse
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.exceptions import HTTPException

from app import linked_data, processing_record, publishing
from app.decision.refusal import Unknown
from app.documents import read_document
from app.doors.dependencies import TheReading, TheWrite, encoded, scoped
from app.doors.problems import ErrorItem, responses
from app.doors.strict import StrictRoute
from app.doors.words import Instant, Response
from app.storage.catalogue import Published
from app.storage.store import document_of
from app.writing import no_catalogue

router = APIRouter(prefix="/v1/catalogue", route_class=StrictRoute, tags=["catalogue"], responses=responses(401, 503))

LINKED_DATA = "application/ld+json"
_AS_FILE = {"Content-Disposition": 'attachment; filename="processing-record.csv"'}
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")


class VersionTold(Response):
    """One published version."""

    version: str
    effective_from: Instant
    published_at: Instant


class VersionsResponse(Response):
    """Every published version, oldest first, and which is in force."""

    versions: list[VersionTold]
    in_force: str | None


class PublishedResponse(Response):
    """What was published."""

    version: str
    published_at: Instant
    revision: str
    warnings: list[ErrorItem]


class DryRunResponse(Response):
    """What publishing would change."""

    version: str
    purposes_added: list[str]
    purposes_removed: list[str]
    purposes_changed: list[str]
    grounds_changed: list[str]
    data_categories_added: list[str]
    data_categories_removed: list[str]
    recipients_added: list[str]
    recipients_removed: list[str]
    newly_material: list[str]
    consents_outdated: int
    warnings: list[ErrorItem]


@router.get(
    "",
    response_model=dict[str, Any],
    summary="The catalogue in force",
    responses={
        200: {"description": "The document", "content": {LINKED_DATA: {"schema": {"type": "object"}}, "text/csv": {}}},
        304: {"description": "Not changed"},
    },
)
async def current(
    reading: TheReading,
    if_none_match: Annotated[str | None, Header()] = None,
    format: Annotated[
        Literal["dpv", "ropa"] | None,
        Query(description="`dpv`: JSON-LD in the terms of DPV 2.3. `ropa`: the Art. 30 record as CSV."),
    ] = None,
) -> HttpResponse:
    """The document as it was published, with the `effective_from` it got; or drawn from it, another form."""
    async with reading.begin() as (connection, head):
        timeline = await reading.store.timeline(connection, head)
        in_force = timeline.in_force(reading.now)
        published = await reading.store.published(connection)
    if in_force is None:
        raise no_catalogue()
    if format == "dpv":
        return HttpResponse(json.dumps(linked_data.of_catalogue(in_force)), media_type=LINKED_DATA)
    if format == "ropa":
        return HttpResponse(processing_record.as_csv(in_force), media_type="text/csv", headers=_AS_FILE)
    return _document(next(p for p in published if p.version == in_force.version), if_none_match)


def _document(published: Published, if_none_match: str | None) -> HttpResponse:
    etag = f'"{hashlib.sha256(published.document.encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    sent = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    if etag in sent or "*" in sent:
        return HttpResponse(status_code=304, headers=headers)
    return encoded(document_of(published), headers=headers)


@router.get("/versions", response_model=VersionsResponse, summary="Every version")
async def versions(reading: TheReading) -> HttpResponse:
    """Oldest first."""
    async with reading.begin() as (connection, head):
        timeline = await reading.store.timeline(connection, head)
        published = await reading.store.published(connection)
    in_force = timeline.in_force(reading.now)
    told = [{name: getattr(p, name) for name in VersionTold.model_fields} for p in published]
    return encoded({"versions": told, "in_force": in_force.version if in_force else None})


@router.get(
    "/versions/{version:path}",
    response_model=dict[str, Any],
    summary="One version",
    responses=responses(404) | {304: {"description": "Not changed"}},
)
async def version(
    version: str, reading: TheReading, if_none_match: Annotated[str | None, Header()] = None
) -> HttpResponse:
    """The document of a version, whether or not it is in force."""
    async with reading.begin() as (connection, _):
        published = await reading.store.published(connection)
    found = next((p for p in published if p.version == version), None)
    if found is None:
        raise Unknown("unknown-version", "No catalogue version of this name was published.")
    return _document(found, if_none_match)


@router.put(
    "",
    status_code=201,
    response_model=PublishedResponse,
    summary="Publish a version",
    dependencies=[scoped("catalogue")],
    responses=responses(400, 403, 409, 413, 415, 422)
    | {
        200: {
            "model": PublishedResponse | DryRunResponse,
            "description": "The same content was published before; or a dry run",
        }
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                media: {"schema": {"type": "object", "description": "A catalogue document"}}
                for media in ("application/json", "application/yaml")
            },
        }
    },
)
async def publish(
    request: HttpRequest,
    write: TheWrite,
    reading: TheReading,
    dry_run: Annotated[bool, Query(description="Only say what would change.")] = False,
) -> HttpResponse:
    """Refused with every lint finding; a published version never changes."""
    document = await _read(request)
    if dry_run:
        async with reading.begin_long() as (connection, _):
            return encoded(_dry(await publishing.dry_run(connection, reading.store, document, now=reading.now)))

    async def work(connection: AsyncConnection) -> tuple[int, dict[str, Any]]:
        caller = write.caller
        published = await publishing.publish(connection, caller.store, document, now=write.now, key_id=caller.key_id)
        return 201 if published.created else 200, _published(published)

    return await write.perform_on_connection(work, 201)


async def _read(request: HttpRequest) -> dict[str, Any]:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in ("application/json", *_YAML):
        raise HTTPException(415)
    text = await request.body()
    return await asyncio.to_thread(read_document, text, is_yaml=media in _YAML)  # a large one takes seconds


def _published(published: publishing.Publication) -> dict[str, Any]:
    return {
        "version": published.version,
        "published_at": published.published_at,
        "revision": published.revision,
        "warnings": [{"pointer": w.pointer, "code": w.code, "detail": w.detail} for w in published.warnings],
    }


def _dry(run: publishing.DryRun) -> dict[str, Any]:
    return {
        "version": run.version,
        **run.difference._asdict(),
        "consents_outdated": run.consents_outdated,
        "warnings": [{"pointer": w.pointer, "code": w.code, "detail": w.detail} for w in run.findings],
    }
