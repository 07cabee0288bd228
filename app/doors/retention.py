"""What is due for erasure, for whoever holds the data."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response as HttpResponse

from app import retaining
from app.doors.dependencies import TheReading, encoded, scoped
from app.doors.problems import responses
from app.doors.strict import StrictRoute
from app.doors.words import Instant, Jurisdiction, Response

router = APIRouter(
    prefix="/v1/retention", route_class=StrictRoute, tags=["retention"], responses=responses(401, 403, 422, 503)
)


class UnusedCategory(Response):
    """A data category that no purpose may use; `since` is when the last one might, or the last restriction of it
    was lifted; null if neither ever was."""

    data_category: str
    since: Instant | None


class DuePerson(Response):
    """What is due about one person."""

    subject_id: str
    data_categories: list[UnusedCategory]


class DueResponse(Response):
    """Some of the people; `next` goes on, null after the last."""

    due: list[DuePerson]
    next: str | None
    revision: str


@router.get(
    "/due",
    response_model=DueResponse,
    summary="What no purpose may use any more",
    dependencies=[scoped("subjects:read")],
)
async def due(
    reading: TheReading,
    after: Annotated[
        str, Query(max_length=128, pattern=r"^[A-Za-z0-9_-]*$", description="Go on from `next` of the page before.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many people are looked at.")] = 100,
    jurisdiction: Annotated[
        Jurisdiction | None, Query(description="Where these people are; else where the catalogue says by default.")
    ] = None,
) -> HttpResponse:
    """Per person the data categories that are to be erased wherever they are held. Whether they are held, and how old
    they are, only their holder knows: ask with `data_collected_at` about data that a purpose may still use. What the
    person had restricted is to be kept, and is not listed."""
    async with reading.begin_long() as (connection, _):
        page = await retaining.due(
            connection, reading.store, jurisdiction=jurisdiction, after=after, limit=limit, now=reading.now
        )
    told = [{"subject_id": p.subject_id, "data_categories": [c._asdict() for c in p.data_categories]} for p in page.due]
    return encoded({"due": told, "next": page.next, "revision": page.revision})
