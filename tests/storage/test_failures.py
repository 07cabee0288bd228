"""A database that goes away, is full, or is held by others: 503 and no more; and it heals by itself."""

import asyncio
import resource
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, text

from app.storage import database, lookup
from tests.harness import sql
from tests.harness.databases import Databases
from tests.harness.service import NO_TLS, Maywe, in_process, served
from tests.harness.wholeness import assert_whole
from tests.harness.wire import Cut, wire_to

ADA = {"type": "email", "id": "ada@example.com"}
OFF = {"purpose": "offers", "channel": "email", "choice": "withdraw"}
ON = {"purpose": "offers", "channel": "email", "choice": "give"}
QUESTION = {"subject": ADA, "purpose": "offers", "channel": "email"}
WITHDRAWAL = {"subject": ADA, "choices": [OFF]}
ON_POSTGRESQL = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
ON_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
HANG_UP = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def is_unavailable(answer: httpx.Response) -> bool:
    told = answer.json()
    return (answer.status_code, told.get("type")) == (503, "urn:maywe:problem:unavailable") and (
        answer.headers["Retry-After"].isdigit() and "ada@" not in answer.text
    )


# The connection


@pytest.mark.parametrize(
    ("cut", "replayed"),
    [("before the commit arrives", False), ("before its acknowledgement arrives", True)],
)
async def test_a_commit_of_unknown_outcome_is_not_acknowledged(
    databases: Databases, shop: dict[str, Any], cut: Cut, replayed: bool
) -> None:
    """The caller asks again under the same key, and what was written is written once."""
    url = databases.make("postgresql")
    async with wire_to(url) as wire, in_process(wire.url) as maywe:
        await maywe.publish(shop)
        key = {"Idempotency-Key": "once"}
        wire.cut = cut
        assert is_unavailable(await maywe.http.post("/v1/choices", json=WITHDRAWAL, headers=key))
        assert sql.rows(url, "SELECT position FROM ledger_head") == [(2 if replayed else 1,)]
        again = await maywe.http.post("/v1/choices", json=WITHDRAWAL, headers=key)
        assert again.status_code == 201
        assert again.headers.get("Idempotency-Replayed") == ("true" if replayed else None)
        assert sql.rows(url, "SELECT position FROM ledger_head") == [(2,)]
        assert (await maywe.ask(ADA, "offers", channel="email"))["reason"] == "consent_withdrawn"
    await assert_whole(url)


@ON_POSTGRESQL
async def test_connections_lost_while_idle_are_not_noticed(maywe: Maywe) -> None:
    """As after a restart of the server, or behind a firewall that forgets."""
    await asyncio.gather(*(maywe.ask(ADA, "offers", channel="email") for _ in range(12)))
    sql.execute(maywe.url, HANG_UP)
    answers = await asyncio.gather(*(maywe.http.post("/v1/check", json=QUESTION) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200}
    await maywe.choose(ADA, OFF)


@ON_POSTGRESQL
async def test_connections_lost_at_work(maywe: Maywe) -> None:
    """Each request is answered 201 or 503; under its key it is done once, however often it was sent."""

    async def insist(number: int) -> str:
        body = {"subject": {"type": "customer", "id": f"c-{number}"}, "choices": [OFF]}
        while True:
            answer = await maywe.http.post("/v1/choices", json=body, headers={"Idempotency-Key": f"k{number}"})
            if answer.status_code == 201:
                return str(answer.json()["subject_id"])
            assert is_unavailable(answer), answer.text

    async def disturb() -> None:
        for _ in range(8):
            await asyncio.to_thread(sql.execute, maywe.url, HANG_UP)
            await asyncio.sleep(0.02)

    *subject_ids, _ = await asyncio.gather(*(insist(number) for number in range(60)), disturb())
    assert len(set(subject_ids)) == 60
    assert await assert_whole(maywe.url) == 1 + 60


@ON_POSTGRESQL
async def test_a_server_that_is_away_for_a_while(maywe: Maywe) -> None:
    name = sql.rows(maywe.url, "SELECT current_database()")[0][0]
    elsewhere = maywe.url.replace(f"/{name}", "/postgres")
    sql.execute(elsewhere, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    sql.execute(elsewhere, HANG_UP.replace("current_database()", f"'{name}'"))
    assert is_unavailable(await maywe.http.post("/v1/check", json=QUESTION))
    assert is_unavailable(await maywe.http.post("/v1/choices", json=WITHDRAWAL))
    ready = await maywe.http.get("/readyz")
    assert (ready.status_code, ready.json()["missing"]) == (503, ["database"])
    sql.execute(elsewhere, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await maywe.choose(ADA, OFF)
    assert (await maywe.ask(ADA, "offers", channel="email"))["reason"] == "consent_withdrawn"


@ON_POSTGRESQL
async def test_a_standby_is_not_asked(maywe: Maywe) -> None:
    """It may not know yet what was just withdrawn; so no server that only reads is good enough for a question."""
    name = sql.rows(maywe.url, "SELECT current_database()")[0][0]
    sql.execute(maywe.url, f"ALTER DATABASE {name} SET default_transaction_read_only = on", HANG_UP)
    assert is_unavailable(await maywe.http.post("/v1/check", json=QUESTION))
    assert is_unavailable(await maywe.http.post("/v1/choices", json=WITHDRAWAL))


@ON_POSTGRESQL
async def test_a_commit_waits_for_the_disk_whatever_the_server_is_configured_to(maywe: Maywe) -> None:
    name = sql.rows(maywe.url, "SELECT current_database()")[0][0]
    for configured, expected in (("off", "on"), ("remote_apply", "remote_apply")):
        sql.execute(maywe.url, f"ALTER DATABASE {name} SET synchronous_commit = {configured}", HANG_UP)
        for unit in (_shown_in_a_write, _shown_in_a_read):
            assert await unit(maywe) == expected


async def _shown_in_a_write(maywe: Maywe) -> str:
    async def work(connection: Any) -> str:
        return str((await connection.execute(text("SHOW synchronous_commit"))).scalar_one())

    return await maywe.store.database.write(work)


async def _shown_in_a_read(maywe: Maywe) -> str:
    async with maywe.store.database.read() as connection:
        return str((await connection.execute(text("SHOW synchronous_commit"))).scalar_one())


# Other writers


@contextmanager
def holding(url: str) -> Iterator[Connection]:
    """Another writer that holds what every write needs, and leaves no trace."""
    with sql.connected(url) as connection:
        if url.startswith("sqlite:"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("UPDATE ledger_head SET position = position")
        yield connection
        connection.rollback()


@pytest.fixture
async def impatient(database_url: str, shop: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Maywe]:
    """The application, that waits for other writers half a second and not fifteen, and hardly for a connection."""
    monkeypatch.setattr(database, "_LOCK_WAIT", 0.2)
    monkeypatch.setattr(database, "_POSTGRES_OPTIONS", "-c lock_timeout=200")
    monkeypatch.setattr(database, "_PATIENCE", 0.5)
    monkeypatch.setattr(database, "_POOL_WAIT", 0.1)
    async with in_process(database_url) as maywe:
        await maywe.publish(shop)
        yield maywe


async def test_a_writer_that_does_not_let_go(impatient: Maywe) -> None:
    """Writes are answered 503 and leave nothing; questions are answered all the while, however many writes wait."""
    with holding(impatient.url):
        writes = [asyncio.create_task(impatient.http.post("/v1/choices", json=WITHDRAWAL)) for _ in range(25)]
        for _ in range(5):
            assert (await impatient.ask(ADA, "offers", channel="email"))["reason"] == "no_consent"
        assert all(is_unavailable(answer) for answer in await asyncio.gather(*writes))
    assert sql.rows(impatient.url, "SELECT position FROM ledger_head") == [(1,)]
    assert sql.rows(impatient.url, "SELECT subject_id FROM subjects") == []
    async with asyncio.timeout(10):  # the sweep may have the connection, for which this application hardly waits
        while is_unavailable(answer := await impatient.http.post("/v1/choices", json=WITHDRAWAL)):
            pass
    assert answer.status_code == 201, answer.text
    await assert_whole(impatient.url)


@ON_POSTGRESQL
async def test_a_writer_that_holds_one_person_stops_nobody_else(impatient: Maywe) -> None:
    """Choices that share a unit of work with one that cannot be recorded now are recorded all the same."""
    people = [{"type": "customer", "id": f"c-{n}"} for n in range(10)]
    held = (await impatient.choose(people[3], OFF))["subject_id"]
    with sql.connected(impatient.url) as connection:
        connection.execute(text("SELECT state FROM subjects WHERE subject_id = :id FOR UPDATE"), {"id": held})
        bodies = [{"subject": person, "choices": [OFF]} for person in people]
        answers = await asyncio.gather(*(impatient.http.post("/v1/choices", json=body) for body in bodies))
    assert [answer.status_code for answer in answers] == [503 if n == 3 else 201 for n in range(len(people))]
    await assert_whole(impatient.url)


async def test_a_writer_that_lets_go_in_time(maywe: Maywe) -> None:
    with holding(maywe.url):
        write = asyncio.create_task(maywe.http.post("/v1/choices", json=WITHDRAWAL))
        await asyncio.sleep(0.3)
        assert not write.done()
    assert (await write).status_code == 201


# The disk


def move(url: str, to: str) -> None:
    """Give a database file another name, which nothing has."""
    old, new = (Path(name.removeprefix("sqlite:///")) for name in (url, to))
    assert not new.exists()
    old.rename(new)


@ON_SQLITE
async def test_a_file_that_is_gone_is_not_written_to(
    maywe: Maywe, shop: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a file open goes on with it though it has no name any more: what is acknowledged then is lost."""
    monkeypatch.setattr(lookup, "_LOOK_EVERY", 0)
    await maywe.choose(ADA, ON, notice=shop["version"])
    move(maywe.url, f"{maywe.url}.away")
    for path, body in (("/v1/choices", WITHDRAWAL), ("/v1/check", QUESTION)):
        assert is_unavailable(await maywe.http.post(path, json=body)), path
    move(f"{maywe.url}.away", maywe.url)  # which fails if one was made in its place
    assert (await maywe.ask(ADA, "offers", channel="email"))["decision"] is True
    await maywe.choose(ADA, OFF)
    await assert_whole(maywe.url)


@ON_SQLITE
async def test_a_file_put_in_its_place_is_the_database(
    maywe: Maywe, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older backup is restored while the server runs."""
    monkeypatch.setattr(lookup, "_LOOK_EVERY", 0)
    backup = databases.copy(maywe.url)
    await maywe.choose(ADA, OFF)
    assert (await maywe.ask(ADA, "offers", channel="email"))["reason"] == "consent_withdrawn"
    for end in ("", "-wal", "-shm"):
        move(maywe.url + end, f"{maywe.url}.away{end}")
    move(backup, maywe.url)
    assert (await maywe.ask(ADA, "offers", channel="email"))["reason"] == "no_consent"
    await maywe.choose(ADA, OFF)
    assert (await maywe.ask(ADA, "offers", channel="email"))["reason"] == "consent_withdrawn"
    assert sql.rows(maywe.url, "SELECT position FROM ledger_head") == [(2,)]


@ON_SQLITE
async def test_a_full_disk(maywe: Maywe) -> None:
    """No file may grow any more: writes are answered 503, questions go on; with room again, so do writes."""
    key = {"Authorization": f"Bearer {await maywe.key()}"}
    await maywe.choose(ADA, OFF)
    with served(maywe.url) as (address, process):
        async with httpx.AsyncClient(base_url=address, headers=key, timeout=60, verify=NO_TLS) as http:
            assert (await http.post("/v1/choices", json=WITHDRAWAL)).status_code == 201
            unlimited = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1024, unlimited[1]))
            assert is_unavailable(await http.post("/v1/choices", json=WITHDRAWAL))
            assert (await http.post("/v1/check", json=QUESTION)).json()["reason"] == "consent_withdrawn"
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
            assert (await http.post("/v1/choices", json=WITHDRAWAL)).status_code == 201
    assert await assert_whole(maywe.url) == 4
