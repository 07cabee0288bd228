"""Whether the process is up, and whether it can answer. Open to all, without detail that would help an attacker."""

from fastapi import APIRouter, Request
from fastapi.responses import Response as HttpResponse

from app.doors.dependencies import TheStore, encoded
from app.doors.words import Response
from app.storage import ledger, schema
from app.storage.database import Unavailable

router = APIRouter(tags=["health"])


class LiveResponse(Response):
    """The process is up."""

    status: str


class ReadyResponse(Response):
    """Whether questions can be answered, and what is missing if not."""

    status: str
    missing: list[str]


@router.get("/livez", response_model=LiveResponse, summary="Is the process up?")
async def live() -> HttpResponse:
    """Asks nothing of the database."""
    return encoded({"status": "ok"})


@router.get(
    "/readyz",
    response_model=ReadyResponse,
    summary="Can it answer?",
    responses={503: {"model": ReadyResponse, "description": "Not ready"}},
)
async def ready(store: TheStore, request: Request) -> HttpResponse:
    """Database reachable, migrations at head, a catalogue published."""
    try:
        async with store.database.read() as connection:
            if await schema.revision(connection) != request.app.state.schema_head:
                missing = ["migrations"]
            else:
                missing = [] if (await ledger.head(connection)).catalogue_serial else ["catalogue"]
    except Unavailable:
        missing = ["database"]
    if missing:
        return encoded({"status": "unavailable", "missing": missing}, 503, {"Retry-After": "1"})
    return encoded({"status": "ready", "missing": []})
