"""Waiting for a change: woken by what matches, from this process and others, holding nothing of the database."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app import administering
from app.storage.store import Store
from app.telling import Filter
from app.watching import Watch
from tests.changes.polling import about, follow, page
from tests.harness import sql
from tests.harness.service import NO_TLS, Maywe, in_process, served

ADA = {"type": "customer", "id": "ada"}
REFUSE = {"purpose": "ads", "choice": "refuse"}
OBJECT = {"purpose": "recommendations", "choice": "object"}


@contextlib.asynccontextmanager
async def waiting(http: httpx.AsyncClient, **query: Any) -> AsyncGenerator[asyncio.Task[Any]]:
    """A poller that waits by the time the block begins."""
    task = asyncio.create_task(page(http, wait=30, **query))
    await asyncio.sleep(0.3)
    assert not task.done()
    yield task
    await task


async def test_who_waits_is_told_as_soon_as_something_is_committed(maywe: Maywe) -> None:
    _, end = await follow(maywe.http)
    async with waiting(maywe.http, after=end) as told:
        await maywe.choose(ADA, REFUSE)
        answer = await told
    assert about(answer["changes"], "type", "purpose") == [("choice.refuse", "ads")]
    assert (await page(maywe.http, after=answer["next"]))["changes"] == []


async def test_what_a_filter_leaves_out_is_no_answer_and_is_passed(maywe: Maywe) -> None:
    after = (await page(maywe.http, after="now", purpose="ads"))["next"]
    task = asyncio.create_task(page(maywe.http, after=after, purpose="ads", wait=1.5))
    await asyncio.sleep(0.3)
    await maywe.choose(ADA, OBJECT)
    answer = await task
    assert (answer["changes"], answer["has_more"]) == ([], False)
    assert answer["next"] != after
    async with waiting(maywe.http, after=after, purpose="ads") as told:
        await maywe.choose(ADA, OBJECT)
        await maywe.choose(ADA, REFUSE)
        assert about((await told)["changes"], "purpose") == [("ads",)]


async def test_what_is_there_already_is_not_waited_for(maywe: Maywe) -> None:
    await maywe.choose(ADA, REFUSE)
    answer = await page(maywe.http, wait=30)
    assert len(answer["changes"]) == 2


async def test_nothing_is_an_answer_too(maywe: Maywe) -> None:
    now = await page(maywe.http, after="now")
    answer = await page(maywe.http, after=now["next"], wait=0.2)
    assert (answer["changes"], answer["next"], answer["has_more"]) == ([], now["next"], False)


async def test_more_than_30_seconds_is_refused(maywe: Maywe) -> None:
    for wait in (-1, 31, "long", "nan"):
        await page(maywe.http, 422, wait=wait)


async def test_a_commit_of_another_process_wakes_too(maywe: Maywe) -> None:
    async with in_process(maywe.url) as other, waiting(other.http, after="now") as told:
        await maywe.choose(ADA, REFUSE)
        assert about((await told)["changes"], "type") == [("choice.refuse",)]


async def test_a_commit_wakes_when_no_hint_of_it_arrives(maywe: Maywe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "committed", lambda _: None)
    async with in_process(maywe.url) as other, waiting(other.http, after="now") as told:
        await maywe.choose(ADA, REFUSE)
        assert about((await told)["changes"], "type") == [("choice.refuse",)]


async def test_more_wait_than_there_are_connections_and_questions_are_answered(maywe: Maywe) -> None:
    end = (await page(maywe.http, after="now"))["next"]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(page(maywe.http, after=end, wait=30)) for _ in range(60)]
        await asyncio.sleep(1)
        await asyncio.to_thread(until_no_transaction_is_open, maywe)
        assert not any(task.done() for task in tasks)
        assert (await maywe.ask(ADA, "recommendations"))["decision"] is True
        await maywe.choose(ADA, OBJECT)
    assert {row["type"] for task in tasks for row in task.result()["changes"]} == {"choice.object"}
    assert all(task.result()["changes"] for task in tasks)


def until_no_transaction_is_open(maywe: Maywe) -> None:
    """As long as they wait, did they hold one."""
    query = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND xact_start IS NOT NULL"
    )
    while not maywe.store.database.is_sqlite and sql.rows(maywe.url, query):
        time.sleep(0.1)


async def test_a_key_that_is_revoked_meanwhile_gets_no_answer(maywe: Maywe) -> None:
    key = await maywe.key("changes")
    key_id = key.split("_")[1]
    headers = {"Authorization": f"Bearer {key}"}
    query = {"after": "now", "wait": 30}
    task = asyncio.create_task(maywe.http.get("/v1/changes", params=query, headers=headers))
    await asyncio.sleep(0.3)
    await revoke(maywe.store, key_id)
    await maywe.choose(ADA, REFUSE)
    answer = await task
    assert answer.status_code == 401
    assert "choice" not in answer.text


async def revoke(store: Store, key_id: str) -> None:
    assert await administering.revoke_key(store, key_id, now=datetime.now(UTC))


def scope_of(maywe: Maywe, query: bytes) -> dict[str, Any]:
    """A request for the feed, for what a client in process cannot do."""
    headers = [(b"authorization", maywe.http.headers["authorization"].encode())]
    scope = {"type": "http", "method": "GET", "path": "/v1/changes", "headers": headers, "http_version": "1.1"}
    return {**scope, "query_string": query}


async def test_who_reads_slowly_holds_up_nobody(maywe: Maywe) -> None:
    """Few are let in at a time; but an answer that its reader does not take is out already."""
    await maywe.choose(ADA, REFUSE)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def never_sent(_: Any) -> None:
        await asyncio.Event().wait()

    slow = [asyncio.create_task(maywe.app(scope_of(maywe, b"limit=1"), receive, never_sent)) for _ in range(20)]
    await asyncio.sleep(0.2)
    answer = await asyncio.wait_for(page(maywe.http), 10)
    assert answer["changes"]
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()
    await asyncio.wait(slow)


async def test_a_client_that_hangs_up_is_forgotten_at_once(maywe: Maywe) -> None:
    hangs_up = asyncio.Event()
    first = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in first:
            return message
        await hangs_up.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        assert hangs_up.is_set()

    request = asyncio.create_task(maywe.app(scope_of(maywe, b"after=now&wait=30"), receive, send))
    await asyncio.sleep(0.5)
    assert not request.done()
    hangs_up.set()
    await asyncio.wait_for(request, 10)


async def test_a_server_that_stops_lets_everybody_go(maywe: Maywe) -> None:
    """Otherwise it would wait for them, and then cut their connections."""
    with served(maywe.url) as (address, process):
        http = httpx.AsyncClient(base_url=address, headers=maywe.http.headers, timeout=40, verify=NO_TLS)
        async with http, waiting(http, after="now") as told:
            os.kill(process.pid, signal.SIGTERM)
            assert (await told)["changes"] == []


async def test_a_watch_ends_when_it_is_told_to_whatever_it_heard_just_then(maywe: Maywe) -> None:
    watch = Watch(maywe.store.database)
    with watch.waiting(Filter(), 2**40):
        for ticks in range(6):
            running = asyncio.create_task(watch.run())
            await asyncio.sleep(0.05)
            watch.committed()
            for _ in range(ticks):
                await asyncio.sleep(0)
            running.cancel()
            done, _ = await asyncio.wait([running], timeout=0.5)
            running.cancel()
            assert done, ticks
