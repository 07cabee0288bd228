"""Running applications under a base catalogue, on which scenarios are played."""

import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.harness.databases import Databases
from tests.harness.service import Maywe, in_process

_BEFORE_NOW = re.compile(r"-P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def instant(text: str | None) -> str | None:
    """RFC 3339 from a duration before now such as -P2DT3H; anything else is passed through."""
    found = _BEFORE_NOW.fullmatch(text or "")
    if found is None:
        return text
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return _written(datetime.now(UTC) - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))


def _written(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


class Stage:
    """A running application under a base catalogue. A scenario that publishes needs a stage of its own, as published
    versions stay."""

    def __init__(self, maywe: Maywe, base: dict[str, Any], databases: Databases) -> None:
        self.maywe = maywe
        self.base = base
        self.databases = databases
        self.catalogue: dict[str, Any] = {}
        self._notices: list[tuple[datetime, str]] = []  # in force from, version; oldest first
        self._keys: dict[tuple[str, ...], str] = {}

    async def open(self) -> "Stage":
        """Publish the base catalogue."""
        await self._publish(self.base)
        return self

    async def replace(self, document: dict[str, Any], *, effective_from: str) -> None:
        """Publish a document as the next version."""
        version = f"{self.base['version']}+{len(self._notices)}"
        await self._publish({**document, "version": version, "effective_from": instant(effective_from)})

    async def _publish(self, document: dict[str, Any]) -> None:
        await self.maywe.publish(document)
        self.catalogue = document
        self._notices.append((datetime.fromisoformat(document["effective_from"]), document["version"]))
        self._notices.sort(key=lambda notice: notice[0])

    def notice_at(self, at: str | None) -> str:
        """The version in force at an instant, else the earliest."""
        when = datetime.fromisoformat(at) if at is not None else datetime.now(UTC)
        return next((version for start, version in reversed(self._notices) if start <= when), self._notices[0][1])

    async def send(self, method: str, path: str, *, scopes: tuple[str, ...] = (), **request: Any) -> httpx.Response:
        """A request with a key of every scope, or of some."""
        headers = dict(request.pop("headers", {}))
        if scopes:
            if scopes not in self._keys:
                self._keys[scopes] = await self.maywe.key(*scopes)
            headers["Authorization"] = f"Bearer {self._keys[scopes]}"
        return await self.maywe.http.request(method, path, headers=headers, **request)


class Stages:
    """The stages of a test run: one for each engine and catalogue, made when first asked for."""

    def __init__(self, databases: Databases, opened: AsyncExitStack) -> None:
        self._databases = databases
        self._opened = opened
        self._shared: dict[tuple[str, str], Stage] = {}

    @asynccontextmanager
    async def stage(self, engine: str, base: dict[str, Any], *, alone: bool) -> AsyncGenerator[Stage]:
        """The stage for a catalogue; a fresh one for who wants to be alone, because published versions stay."""
        if alone:
            url = self._databases.make(engine)
            async with in_process(url, decision_log_days=1) as maywe:
                yield await Stage(maywe, base, self._databases).open()
            self._databases.drop(url)
            return
        key = (engine, base["version"])
        if key not in self._shared:
            url = self._databases.make(engine)
            maywe = await self._opened.enter_async_context(in_process(url, decision_log_days=1))
            self._shared[key] = await Stage(maywe, base, self._databases).open()
        yield self._shared[key]
