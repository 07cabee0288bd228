"""Many writers, several processes, pollers of every page size: nothing lost, nothing doubled, nothing out of order."""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest

from tests.changes.polling import about, follow, page
from tests.harness import sql
from tests.harness.effort import effort
from tests.harness.service import NO_TLS, Maywe, command, environment, served

SECONDS = effort(1, 30)  # how long the writers write
WRITERS = 32
PEOPLE = 40
OFFERS = {"purpose": "offers", "channel": "email"}


async def write(http: httpx.AsyncClient, chance: random.Random, until: float) -> list[dict[str, Any]]:
    """Write until the time is up; returns every effective event that was acknowledged."""
    told: list[dict[str, Any]] = []
    while time.monotonic() < until:
        subject = {"type": "customer", "id": f"c-{chance.randrange(PEOPLE)}"}
        choice = {**OFFERS, "choice": chance.choice(["give", "withdraw", "refuse"])}
        request = {"subject": subject, "choices": [choice], "method": "api", "notice": "conformance-1"}
        answer = await http.post("/v1/choices", json=request)
        assert answer.status_code == 201, answer.text
        told += [event for event in answer.json()["events"] if event["effective"]]
    return told


async def poll(http: httpx.AsyncClient, limit: int, done: asyncio.Event) -> list[dict[str, Any]]:
    """Follow the feed from its beginning, until the writers are done and there is no more."""
    rows: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        is_done = done.is_set()
        told = await page(http, limit=limit, wait=1, **after)
        rows += told["changes"]
        after = {"after": told["next"]}
        if is_done and not told["changes"] and not told["has_more"]:
            return rows


@asynccontextmanager
async def clients(maywe: Maywe, *addresses: str) -> AsyncGenerator[list[httpx.AsyncClient]]:
    limits = httpx.Limits(max_connections=None)
    made = [
        httpx.AsyncClient(base_url=address, headers=maywe.http.headers, timeout=60, limits=limits, verify=NO_TLS)
        for address in addresses
    ]
    yield made
    for client in made:
        await client.aclose()


async def test_nothing_is_lost_doubled_or_out_of_order(maywe: Maywe) -> None:
    with served(maywe.url) as (one, _), served(maywe.url) as (other, _):
        async with clients(maywe, one, other) as servers, asyncio.TaskGroup() as group:
            done = asyncio.Event()
            polling = [group.create_task(poll(servers[n % 2], limit, done)) for n, limit in enumerate((1, 7, 1000))]
            until = time.monotonic() + SECONDS
            writers = [write(servers[n % 2], random.Random(n), until) for n in range(WRITERS)]
            acknowledged = [event for told in await asyncio.gather(*writers) for event in told]
            done.set()
    expected = {(event["event_id"], event["version"], event["status"]) for event in acknowledged}
    assert len(expected) == len(acknowledged) > WRITERS
    for task in polling:
        rows = [row for row in task.result() if row["version"] is not None]
        assert len(rows) == len({row["id"] for row in rows})
        assert set(about(rows, "event_id", "version", "status")) == expected
        versions: dict[str, list[int]] = {}
        for row in rows:
            versions.setdefault(row["subject_id"], []).append(row["version"])
        assert all(told == list(range(1, len(told) + 1)) for told in versions.values())
    assert "whole" in await asyncio.to_thread(command, maywe.url, "verify")


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_the_same_load_loses_rows_for_a_reader_of_ids(maywe: Maywe) -> None:
    """Were it not so, the test above would prove nothing: ids of a sequence are taken before the commit."""
    url = maywe.url
    sql.execute(url, "CREATE TABLE naive (id bigserial PRIMARY KEY, person int)", "CREATE TABLE person (id int, n int)")
    sql.execute(url, f"INSERT INTO person SELECT n, 0 FROM generate_series(1, {PEOPLE}) n")
    until = time.monotonic() + 60
    lost: set[int] = set()

    async def write_naively(chance: random.Random) -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            while not lost and time.monotonic() < until:
                person = chance.randint(1, PEOPLE)
                await connection.execute("INSERT INTO naive (person) VALUES (%s)", (person,))
                await connection.execute("UPDATE person SET n = n + 1 WHERE id = %s", (person,))
                await connection.commit()

    async def read_naively() -> None:
        seen, cursor = set[int](), 0
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            while not lost and time.monotonic() < until:
                found = await connection.execute("SELECT id FROM naive WHERE id > %s ORDER BY id", (cursor,))
                seen |= {id for (id,) in await found.fetchall()}
                cursor = max(seen, default=0)
                behind = await connection.execute("SELECT id FROM naive WHERE id <= %s", (cursor,))
                lost.update({id for (id,) in await behind.fetchall()} - seen)

    await asyncio.gather(read_naively(), *(write_naively(random.Random(n)) for n in range(WRITERS)))
    assert lost


async def test_what_is_committed_later_is_told_later(maywe: Maywe) -> None:
    """The inversion: a writer that began first and commits last must not be told first, or a copy ends with the
    wrong word of the same person."""
    subject = {"type": "customer", "id": "inverted"}
    await maywe.choose(subject, {**OFFERS, "choice": "refuse"})
    _, cursor = await follow(maywe.http)
    words = ["give", "withdraw"] * 10
    await asyncio.gather(*(maywe.choose(subject, {**OFFERS, "choice": word}, notice="conformance-1") for word in words))
    rows, _ = await follow(maywe.http, cursor)
    assert [row["version"] for row in rows] == list(range(2, len(rows) + 2))
    read = (await maywe.http.get(f"/v1/subjects/{rows[0]['subject_id']}")).json()
    (standing,) = [s for s in read["standings"] if s["channel"] == "email"]
    assert (standing["status"], standing["version"]) == (rows[-1]["status"], rows[-1]["version"])


HOLDING = """
import asyncio, sys
from app.storage import ledger
from tests.harness.service import in_process

async def hold(*_, **__):
    print("holding", flush=True)
    await asyncio.sleep(3600)

async def main():
    ledger.append = hold
    async with in_process(sys.argv[1]) as maywe:
        await maywe.choose({"type": "customer", "id": "killed"}, {"purpose": "ads", "choice": "refuse"})

asyncio.run(main())
"""


def kill_while_it_holds_the_head(url: str) -> None:
    command = [sys.executable, "-c", HOLDING, url]
    with subprocess.Popen(command, env=environment(url), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        process.kill()


async def test_a_writer_killed_while_it_holds_the_head_stops_nobody(maywe: Maywe) -> None:
    _, cursor = await follow(maywe.http)
    await asyncio.to_thread(kill_while_it_holds_the_head, maywe.url)
    await asyncio.wait_for(maywe.choose({"type": "customer", "id": "other"}, {"purpose": "ads", "choice": "refuse"}), 5)
    rows, _ = await follow(maywe.http, cursor)
    assert about(rows, "type", "subject_id") == [
        ("choice.refuse", await maywe.find({"type": "customer", "id": "other"}))
    ]
    assert sql.rows(maywe.url, "SELECT position FROM ledger ORDER BY position") == [(1,), (2,)]
    assert "whole" in await asyncio.to_thread(command, maywe.url, "verify")
