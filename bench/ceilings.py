"""The programs Maywe is measured against: what the server, the driver and the usual stack can do at best, with no
decision, no authentication and no log. Started by uvicorn: `bench.ceilings:fixed` and so on."""

import json
import os
import sqlite3
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import asyncpg
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ROWS = 100_000
TABLE = "CREATE TABLE point (id integer PRIMARY KEY, subject text, purpose text, status text, version integer)"
FILL = "INSERT INTO point VALUES (?, ?, ?, ?, ?)"
SELECT = "SELECT subject, purpose, status, version FROM point WHERE id = {}"
COLUMNS = ("subject", "purpose", "status", "version")
_URL = os.environ.get("BENCH_DATABASE_URL", "")
_HEADERS = [(b"content-type", b"application/json")]


def rows() -> list[tuple[int, str, str, str, int]]:
    """What the point selects select from."""
    return [(n, f"sub_{n:026d}", "offers", "withdrawn" if n % 3 else "given", n % 7) for n in range(ROWS)]


async def _answer(send: Send, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, length]})
    await send({"type": "http.response.body", "body": body})


def _asked(scope: Scope) -> int:
    return int(scope["query_string"][3:])  # id=...


async def fixed(scope: Scope, _receive: Receive, send: Send) -> None:
    """The server alone: 200 bytes, always the same."""
    if scope["type"] == "http":
        await _answer(send, b"{" + b" " * 198 + b"}")


class Sqlite:
    """One point select with the driver of the standard library, in the event loop."""

    def __init__(self) -> None:
        self._connection: sqlite3.Connection | None = None
        self._select = SELECT.format("?")

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._connection is None:
            self._connection = sqlite3.connect(_URL.removeprefix("sqlite:///"))
        row = self._connection.execute(self._select, (_asked(scope),)).fetchone()
        await _answer(send, json.dumps(dict(zip(COLUMNS, row, strict=True))).encode())


class Asyncpg:
    """One point select with asyncpg, prepared by its statement cache."""

    def __init__(self) -> None:
        self._pool: asyncpg.Pool | None = None
        self._select = SELECT.format("$1")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self._pool = await asyncpg.create_pool(_URL, min_size=10, max_size=10)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self._pool.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        assert self._pool is not None
        row = await self._pool.fetchrow(self._select, _asked(scope))
        await _answer(send, json.dumps(dict(zip(COLUMNS, row, strict=True))).encode())


sqlite = Sqlite()
postgresql = Asyncpg()


class Point(BaseModel):
    """A row."""

    subject: str
    purpose: str
    status: str
    version: int


def _engine() -> AsyncEngine:
    if _URL.startswith("sqlite"):
        return create_async_engine(_URL.replace("sqlite:", "sqlite+aiosqlite:"), pool_size=10)
    return create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(_URL), pool_size=10)


def stack() -> FastAPI:
    """What everybody builds: FastAPI, a Pydantic answer, one select through SQLAlchemy."""
    app, engine, select = FastAPI(), _engine(), text(SELECT.format(":id"))

    @app.get("/")
    async def point(id: int) -> Point:
        async with engine.connect() as connection:
            return Point(**(await connection.execute(select, {"id": id})).one()._mapping)

    return app
