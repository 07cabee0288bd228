"""The link in every mail: a page that changes nothing when looked at, and a POST that stops what the link stands for.
Open to all; the token is the authority (RFC 8058)."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from app.decision.catalogue import Timeline
from app.decision.refusal import NotReady
from app.doors import pages, visits
from app.doors.dependencies import Now, TheStore
from app.links import Link, Token, read_token, resolve
from app.recording import Circumstances
from app.storage import ledger
from app.storage.database import Unavailable
from app.storage.store import Store
from app.unsubscribing import ALL, Stopped, choice_of, read_undo, stop, undo, write_undo
from app.writing import Unit, no_catalogue

router = APIRouter(prefix="/u", tags=["unsubscribe"], default_response_class=HTMLResponse)


class Visit:
    """One request with a token that was made here."""

    def __init__(self, request: Request, store: Store, text: str, token: Token, now: datetime) -> None:
        self._request = request
        self._store = store
        self._text = text
        self._token = token
        self._now = now
        self._language = pages.language_of(request, token.language)

    async def look(self) -> Response:
        """What the link would stop."""
        async with self._store.database.read() as connection:
            timeline = await self._store.timeline(connection, await ledger.head(connection))
        if not timeline:
            raise no_catalogue()
        link = resolve(self._token, timeline)
        return self._not_ours() if link is None else self._page("unsubscribe.html", link, timeline, stops_all=False)

    async def act(self) -> Response:
        """Do what the form says, which is to stop what the link stands for unless it says otherwise."""
        form = await visits.form_of(self._request)
        if "undo" in form:
            return await self._undo(form["undo"])
        is_page = form.get("from") == "page"
        stops_all = is_page and form.get("stop") == "all"

        async def work(connection: AsyncConnection) -> tuple[Link | None, Stopped, Timeline]:
            unit = await Unit.begin(connection, self._store, self._now)
            link = resolve(self._token, unit.timeline)
            if link is None:
                return None, Stopped([]), unit.timeline
            choice = ALL if stops_all else choice_of(link)
            how = self._how(link, "unsubscribe_link" if is_page else "one_click")
            if is_page:
                how = how._replace(notice=unit.catalogue.version, language=self._language)
            return link, await stop(unit, link.subject, [choice], how), unit.timeline

        link, stopped, timeline = await self._store.database.write(work)
        if link is None:
            return self._not_ours()
        event_id = stopped.undoable
        token = write_undo(self._store.secrets, self._text, event_id, now=self._now) if event_id else None
        return self._page("done.html", link, timeline, stops_all=stops_all, undo=token)

    async def _undo(self, text: str) -> Response:
        event_id = read_undo(self._store.secrets, self._text, text, now=self._now)

        async def work(connection: AsyncConnection) -> tuple[bool, Timeline]:
            unit = await Unit.begin(connection, self._store, self._now)
            link = resolve(self._token, unit.timeline)
            if link is None or event_id is None:
                return False, unit.timeline
            how = self._how(link, "unsubscribe_link")._replace(language=self._language)
            return await undo(unit, link.subject, event_id, how), unit.timeline

        undone, timeline = await self._store.database.write(work)
        return pages.page("undone.html", self._language, catalogue=timeline.judging(self._now), undone=undone)

    def _how(self, link: Link, method: str) -> Circumstances:
        return visits.how_it_came(self._request, method, campaign=link.campaign)

    def _page(self, template: str, link: Link, timeline: Timeline, *, stops_all: bool, **values: Any) -> HTMLResponse:
        catalogue = timeline.judging(self._now)
        assert catalogue is not None, "a token resolves only once a catalogue is published"
        up = "../../" if self._request.url.path.endswith("/") else "../"
        if stops_all or link.purpose is None:
            shown = pages.all_marketing(None if stops_all else link.channel, self._language)
        else:
            about = catalogue if link.purpose in catalogue.purposes else timeline.with_purpose(link.purpose)[-1]
            shown = pages.shown(about, link.purpose, link.channel, self._language)
        return pages.page(
            template,
            self._language,
            catalogue=catalogue,
            shown=shown,
            services=pages.services(catalogue, self._language),
            preferences=f"{up}preferences/{self._text}?lang={self._language}",
            **values,
        )

    def _not_ours(self) -> HTMLResponse:
        return visits.failure(self._request, self._store, "not_found", 404, self._token.language)

    def unavailable(self) -> HTMLResponse:
        """What cannot be known or done now is to be tried again."""
        return visits.failure(self._request, self._store, "unavailable", 503, self._token.language)


def _visit(path: str, request: Request, store: Store, now: datetime) -> Visit | Response:
    """The visit, or the answer to a token that was not made here. Asks nothing of the database."""
    text = visits.token_in(path)
    token = read_token(store.secrets, text)
    return visits.not_made_here(request, store) if token is None else Visit(request, store, text, token, now)


@router.get("/{token:path}", summary="Look at what a link would stop", responses=visits.ANSWERS)
async def look(token: str, request: Request, store: TheStore, now: Now) -> Response:
    """Changes nothing: mail scanners follow links."""
    visit = _visit(token, request, store, now)
    if isinstance(visit, Response):
        return visit
    try:
        return await visit.look()
    except (Unavailable, NotReady):
        return visit.unavailable()


@router.post("/{token:path}", summary="Stop what a link stands for", responses=visits.ANSWERS)
async def act(token: str, request: Request, store: TheStore, now: Now) -> Response:
    """One-click (RFC 8058), whatever the body; also the form of the page. Answers once it is committed, and never with
    a redirect or a cookie."""
    visit = _visit(token, request, store, now)
    if isinstance(visit, Response):
        return visit
    try:
        return await visit.act()
    except (Unavailable, NotReady):
        return visit.unavailable()


@router.api_route("/{token:path}", methods=visits.CHANGING_NOTHING, include_in_schema=False)
async def other(token: str, request: Request, store: TheStore, now: Now) -> Response:
    """Nothing is looked up or changed by any other method."""
    visit = _visit(token, request, store, now)
    return visit if isinstance(visit, Response) else visits.without_body(request.method)
