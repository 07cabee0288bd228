"""Whether the process is up, and whether it can answer. Open to all, without detail that would help an attacker."""

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response as HttpResponse
from pydantic import Field

from app.doors.dependencies import TheStore, encoded
from app.doors.problems import MEDIA_TYPE, problem
from app.doors.words import Response
from app.storage import ledger, schema
from app.storage.database import Unavailable

router = APIRouter(tags=["health"])


class LiveResponse(Response):
    """The process is up."""

    status: Literal["ok"]


class ReadyResponse(Response):
    """Questions can be answered: nothing is missing."""

    status: Literal["ready"]
    missing: list[str] = Field(max_length=0)


_MISSING = {
    "database": "The database cannot be reached.",
    "migrations": "The database is not at the newest schema: run `maywe migrate`.",
    "catalogue": "No catalogue is published: publish one with PUT /v1/catalogue or `maywe catalogue publish`.",
}
_NOT_READY = {
    "allOf": [
        {"$ref": "#/components/schemas/Problem"},
        {
            "type": "object",
            "properties": {"missing": {"type": "array", "items": {"enum": list(_MISSING)}}},
            "required": ["missing"],
        },
    ]
}


@router.get("/livez", response_model=LiveResponse, summary="Is the process up?")
async def live() -> HttpResponse:
    """Asks nothing of the database."""
    return encoded({"status": "ok"})


@router.get(
    "/readyz",
    response_model=ReadyResponse,
    summary="Can it answer?",
    responses={503: {"content": {MEDIA_TYPE: {"schema": _NOT_READY}}, "description": "Not ready"}},
)
async def ready(store: TheStore, request: Request) -> HttpResponse:
    """Database reachable, migrations at head, a catalogue published."""
    try:
        async with store.database.read() as connection:
            if await schema.revision(connection) != request.app.state.schema_head:
                missing = "migrations"
            else:
                missing = "" if (await ledger.head(connection)).catalogue_serial else "catalogue"
    except Unavailable:
        missing = "database"
    if not missing:
        return encoded({"status": "ready", "missing": []})
    again = {"Retry-After": "1"}
    return problem(
        request.scope["request_id"], 503, "not-ready", _MISSING[missing], members={"missing": [missing]}, headers=again
    )
