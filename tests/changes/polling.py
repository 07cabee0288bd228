"""Pollers of the change feed, as a consumer would write them."""

from collections.abc import Iterable
from typing import Any

import httpx


async def page(http: httpx.AsyncClient, status: int = 200, **query: Any) -> Any:
    """One page of the feed, or the problem told instead."""
    answer = await http.get("/v1/changes", params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


async def follow(http: httpx.AsyncClient, after: str | None = None, **query: Any) -> tuple[list[dict[str, Any]], str]:
    """Everything after a cursor, page by page, and the cursor to go on from."""
    rows: list[dict[str, Any]] = []
    while True:
        told = await page(http, **query, **({"after": after} if after else {}))
        rows += told["changes"]
        after = told["next"]
        if not told["has_more"]:
            return rows, str(after)


def about(rows: Iterable[dict[str, Any]], *fields: str) -> list[tuple[Any, ...]]:
    """Some fields of some rows."""
    return [tuple(row[field] for field in fields) for row in rows]
