"""The steps that only the statements of the notice have."""

import asyncio
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
from sqlalchemy import MetaData, select

from tests.harness.scenarios import Scenario
from tests.harness.service import command

PROJECT = Path(__file__).parents[2]


class Statement(Scenario):
    """A row of the table of statements."""

    async def _unsubscribe(self, body: dict[str, Any]) -> None:
        link = await self._linked(body)
        await self._open(body["method"], link["url"])

    async def _preferences(self, body: dict[str, Any]) -> None:
        """The page of a link out of a mail, or of one for somebody signed in; then what is ticked on it, and saved."""
        url = await self._signed_in(body) if body.get("signed_in") else (await self._linked(body))["preferences_url"]
        page = (await self._open("GET", url)).text
        boxes = re.findall(r'name="((?:purpose|scope):[^"]+)" value="on"( checked)?', page)
        ticked = body.get("tick", [])
        assert set(ticked) <= {name for name, _ in boxes}, page
        form = {f"was:{name}": "on" if checked else "off" for name, checked in boxes} if body.get("signed_in") else {}
        notice = re.search(r'name="notice" value="([^"]+)"', page)
        form |= {"notice": notice[1]} if notice else {}
        saved = await self._open("POST", url, data={**form, **dict.fromkeys(ticked, "on")})
        assert 'role="status"' in saved.text, saved.text

    async def _signed_in(self, body: dict[str, Any]) -> str:
        made = await self._sent("POST", "/v1/preference-links", json={"subject": await self._subject(body)})
        return str(made.json()["url"])

    async def _linked(self, body: dict[str, Any]) -> dict[str, Any]:
        wanted = {"subject": await self._subject(body), "purpose": "email_marketing", "channel": "email"}
        made = await self._sent("POST", "/v1/unsubscribe-links", json={"links": [wanted]})
        (link,) = made.json()["links"]
        assert isinstance(link, dict)
        return link

    async def _open(self, method: str, url: str, **form: Any) -> httpx.Response:
        http = self.stage.maywe.http
        request = http.build_request(method, urlsplit(url).path, **form)
        del request.headers["Authorization"]
        answer = await http.send(request)
        assert answer.status_code == 200, f"{method}: {answer.status_code} {answer.text[:600]}"
        return answer

    async def _dump(self, body: dict[str, Any]) -> None:
        text = await self._all_tables()
        assert all(word in text for word in body["holds"])
        assert not [word for word in body["lacks"] if word in text]

    async def _all_tables(self) -> str:
        tables = MetaData()
        async with self.stage.maywe.store.database.read() as connection:
            await connection.run_sync(tables.reflect)
            rows = [row for table in tables.sorted_tables for row in await connection.execute(select(table))]
        return "\n".join(str(tuple(row)) for row in rows)

    async def _restore(self, _: dict[str, Any]) -> None:
        url = await asyncio.to_thread(self.stage.databases.restored, self.stage.maywe.url)
        assert "is whole" in await asyncio.to_thread(command, url, "verify")

    async def _script(self, body: dict[str, Any]) -> None:
        """A script that can be run, and what it runs is there."""
        script = PROJECT / body["path"]
        assert os.access(script, os.X_OK)
        assert body["runs"] in script.read_text(encoding="utf-8").splitlines()
        dry = await anyio.run_process([*body["runs"].split(), "--dry-run"], cwd=PROJECT)
        paths = [word for word in dry.stdout.decode().split() if word.startswith("tests/")]
        assert paths
        assert all((PROJECT / path).exists() for path in paths)
