"""The preference page. A link out of a mail shows nothing about the person and only turns off; a link for a person who
is signed in shows what they chose, and turns on as well."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from app.addressing import Subject
from app.decision.catalogue import MARKETING, Catalogue, Timeline
from app.decision.refusal import Erased, Invalid, NotReady, Unknown
from app.doors import pages, visits
from app.doors.dependencies import Now, TheStore
from app.links import Token, read_token, resolve
from app.preferring import (
    EVERYTHING,
    PROFILING,
    Chosen,
    Session,
    Target,
    choices_of,
    chosen_by,
    needs_explicit,
    read_session,
    targets,
)
from app.recording import record_choices
from app.storage import ledger
from app.storage.database import Unavailable
from app.storage.store import Store
from app.unsubscribing import ALL, stop
from app.writing import Unit, no_catalogue

router = APIRouter(prefix="/preferences", tags=["unsubscribe"], default_response_class=HTMLResponse)


class Box(NamedTuple):
    """One box of the page. `is_on` is None where the page does not tell; `asks` for consent, which is `explicit` where
    ticking the box says so expressly."""

    target: Target
    shown: pages.Shown
    is_on: bool | None
    asks: bool = False
    explicit: bool = False


class _Visit:
    """One request with a token that was made here."""

    def __init__(self, request: Request, store: Store, language: str | None, now: datetime) -> None:
        self._request = request
        self._store = store
        self._now = now
        self._linked_language = language
        self._language = pages.language_of(request, language)

    def failure(self, error: Exception) -> HTMLResponse:
        """The page for what stood in the way."""
        if isinstance(error, Unavailable | NotReady):
            return visits.failure(self._request, self._store, "unavailable", 503, self._linked_language)
        return visits.failure(self._request, self._store, "gone", 410, self._linked_language)

    def _boxes(self, wanted: Iterable[Target], catalogue: Catalogue, is_on: dict[Target, bool] | None) -> list[Box]:
        return [self._box(target, catalogue, None if is_on is None else is_on.get(target)) for target in wanted]

    def _box(self, target: Target, catalogue: Catalogue, is_on: bool | None) -> Box:
        if target.purpose is None:
            return Box(target, pages.scope(target.scope or "", self._language), is_on)
        shown = pages.shown(catalogue, target.purpose, target.channel, self._language)
        purpose = catalogue.purposes[target.purpose]
        return Box(target, shown, is_on, purpose.rests_on("consent"), needs_explicit(purpose))

    def _wording(self, changed: Iterable[Target], catalogue: Catalogue) -> list[str]:
        """What stood beside the boxes, for the record."""
        said = pages.messages(self._language)["preferences"]
        boxes = [self._box(target, catalogue, None) for target in changed]
        return [
            " / ".join(
                words
                for words in (
                    box.shown.title,
                    box.shown.channel,
                    box.shown.description,
                    said["explicit"] if box.explicit else None,
                )
                if words
            )
            for box in boxes
        ]

    def _page(self, catalogue: Catalogue, boxes: list[Box], **values: Any) -> HTMLResponse:
        groups: dict[str, list[Box]] = {"marketing": [], "automated": [], "other": []}
        for box in boxes:
            groups[_group(box.target, catalogue)].append(box)
        return pages.page(
            "preferences.html",
            self._language,
            catalogue=catalogue,
            groups=groups,
            services=pages.services(catalogue, self._language),
            notice=catalogue.version,
            **values,
        )


def _group(target: Target, catalogue: Catalogue) -> str:
    if target.purpose is None:
        return "automated" if target == PROFILING else "marketing"
    return "marketing" if catalogue.purposes[target.purpose].kind in MARKETING else "other"


class LinkVisit(_Visit):
    """With a link out of a mail: whoever has the mail has the link, so it shows nothing and only turns off."""

    def __init__(self, request: Request, store: Store, token: Token, now: datetime) -> None:
        super().__init__(request, store, token.language, now)
        self._token = token

    async def look(self) -> Response:
        """What can be stopped."""
        async with self._store.database.read() as connection:
            timeline = await self._store.timeline(connection, await ledger.head(connection))
        if not timeline:
            raise no_catalogue()
        return self._told(timeline, None)

    async def act(self) -> Response:
        """Stop what was ticked."""
        form = await visits.form_of(self._request)

        async def work(connection: AsyncConnection) -> tuple[Timeline, list[Target]]:
            unit = await Unit.begin(connection, self._store, self._now)
            link = resolve(self._token, unit.timeline)
            ticked = [target for target in _all_targets(unit.catalogue) if target.name in form]
            if link is not None and ticked:
                evidence = {"campaign": link.campaign, "wording": self._wording(ticked, unit.catalogue)}
                how = visits.how_it_came(self._request, "preference_centre", **evidence)
                how = how._replace(notice=unit.catalogue.version, language=self._language)
                await stop(unit, link.subject, [target.no for target in ticked], how)
            return unit.timeline, ticked

        return self._told(*await self._store.database.write(work))

    def _told(self, timeline: Timeline, stopped: list[Target] | None) -> HTMLResponse:
        catalogue = timeline.judging(self._now)
        if catalogue is None or resolve(self._token, timeline) is None:
            return visits.failure(self._request, self._store, "not_found", 404, self._linked_language)
        boxes = self._boxes(_all_targets(catalogue), catalogue, None)
        done = None if stopped is None else [box for box in boxes if box.target in stopped]
        return self._page(catalogue, boxes, signed_in=False, done=done, outdated=False)


def _all_targets(catalogue: Catalogue) -> list[Target]:
    return [EVERYTHING, *targets(catalogue), PROFILING]


class SessionVisit(_Visit):
    """With a link for a person who is signed in."""

    def __init__(self, request: Request, store: Store, session: Session, now: datetime) -> None:
        super().__init__(request, store, session.language, now)
        self._session = session

    async def look(self) -> Response:
        """What the person chose."""
        self._require_current()
        return self._told(await self._chosen(), None)

    async def act(self) -> Response:
        """Record what differs from what the page showed."""
        self._require_current()
        form = await visits.form_of(self._request)

        async def work(connection: AsyncConnection) -> list[Target]:
            unit = await Unit.begin(connection, self._store, self._now)
            shown = unit.timeline.named(form.get("notice", "")) or unit.catalogue
            was_on = {
                target: form[f"was:{target.name}"] == "on"
                for target in [*targets(shown), PROFILING]
                if f"was:{target.name}" in form
            }
            ticked = [target for target in was_on if target.name in form]
            is_all = form.get("stop") == "all"
            changed = [EVERYTHING] if is_all else [t for t, on in was_on.items() if (t in ticked) != on]
            choices = [ALL] if is_all else choices_of(shown, was_on, ticked)
            if choices:
                wording = self._wording(changed, shown)
                how = visits.how_it_came(self._request, "preference_centre", wording=wording)
                how = how._replace(notice=shown.version, language=self._language)
                await record_choices(unit, Subject(subject_id=self._session.subject_id), choices, how)
            return changed

        try:
            changed = await self._store.database.write(work)
        except Invalid:  # the page was older than the catalogue
            return self._told(await self._chosen(), [], outdated=True)
        return self._told(await self._chosen(), changed)

    def _require_current(self) -> None:
        if self._session.expires_at < self._now:
            raise Unknown("link-ended", "A link for somebody who is signed in ends soon.")

    async def _chosen(self) -> Chosen:
        async with self._store.database.read() as connection:
            return await chosen_by(connection, self._store, self._session.subject_id, now=self._now)

    def _told(self, chosen: Chosen, changed: list[Target] | None, *, outdated: bool = False) -> HTMLResponse:
        boxes = self._boxes(chosen.is_on, chosen.catalogue, chosen.is_on)
        done = None
        if changed is not None:
            done = [box for box in boxes if box.target in changed]
            done += self._boxes([EVERYTHING], chosen.catalogue, {EVERYTHING: False}) if EVERYTHING in changed else []
        return self._page(chosen.catalogue, boxes, signed_in=True, done=done, outdated=outdated)


def _visit(path: str, request: Request, store: Store, now: datetime) -> LinkVisit | SessionVisit | Response:
    """The visit, or the answer to a token that was not made here. Asks nothing of the database."""
    text = visits.token_in(path)
    token = read_token(store.secrets, text)
    if token is not None:
        return LinkVisit(request, store, token, now)
    session = read_session(store.secrets, text)
    return visits.not_made_here(request, store) if session is None else SessionVisit(request, store, session, now)


_RESPONSES = visits.ANSWERS | {410: {"description": "The link has ended", "content": {"text/html": {}}}}
_IN_THE_WAY = (Unavailable, NotReady, Unknown, Erased)


@router.get("/{token:path}", summary="Look at the preference page", responses=_RESPONSES)
async def look(token: str, request: Request, store: TheStore, now: Now) -> Response:
    """Changes nothing."""
    visit = _visit(token, request, store, now)
    if isinstance(visit, Response):
        return visit
    try:
        return await visit.look()
    except _IN_THE_WAY as error:
        return visit.failure(error)


@router.post("/{token:path}", summary="Save the preference page", responses=_RESPONSES)
async def act(token: str, request: Request, store: TheStore, now: Now) -> Response:
    """The form of the page. Answers once it is committed."""
    visit = _visit(token, request, store, now)
    if isinstance(visit, Response):
        return visit
    try:
        return await visit.act()
    except _IN_THE_WAY as error:
        return visit.failure(error)


@router.api_route("/{token:path}", methods=visits.CHANGING_NOTHING, include_in_schema=False)
async def other(token: str, request: Request, store: TheStore, now: Now) -> Response:
    """Nothing is looked up or changed by any other method."""
    visit = _visit(token, request, store, now)
    return visit if isinstance(visit, Response) else visits.without_body(request.method)
