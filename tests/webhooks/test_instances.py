"""Many processes, one of which delivers to an endpoint: another takes over when it dies, and one that comes back from
the dead takes nothing back."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app import dispatching
from app.cursors import read_cursor
from app.delivering import Delivery, Lost
from app.posting import Poster
from app.scopes import SCOPES
from app.watching import Watch
from tests.changes.polling import follow
from tests.harness import sql
from tests.harness.databases import Databases
from tests.harness.service import Maywe, command, in_process, served
from tests.webhooks.conftest import LOOPBACK
from tests.webhooks.receiver import Answer, Message, Receiver, becomes, hook, object_to, told, until

POSTING = {"webhook_networks": LOOPBACK, "webhook_retries": "0.05,0.05"}
IN_ENVIRONMENT = {name.upper(): value for name, value in POSTING.items()}
LEASE = "SELECT lease FROM webhooks"


@pytest.fixture
async def url(databases: Databases, engine: str, published: Callable[[str], Awaitable[str]]) -> AsyncGenerator[str]:
    made = databases.copy(await published(engine))
    yield made
    databases.drop(made)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of the test itself hold another for dead after a second."""
    monkeypatch.setattr(dispatching, "_LOOK", 0.1)
    monkeypatch.setattr(dispatching, "_BEAT", 0.3)
    monkeypatch.setattr(dispatching, "_DEAD", 1.2)


async def holding(maywe: Maywe, receiver: Receiver) -> tuple[dict[str, Any], asyncio.Event]:
    """A webhook whose holder waits for the answer to a first message, until an event."""
    go_on = asyncio.Event()

    async def answer(_message: Message) -> Answer:
        if len(receiver.got) == 1:
            await go_on.wait()
        return Answer()

    receiver.answer = answer
    made = await hook(maywe, receiver.url)
    await object_to(maywe, "ada", 3)
    await until(lambda: len(receiver.got) == 1)
    return made, go_on


async def test_another_takes_over_from_one_that_was_killed(url: str, receiver: Receiver, impatient: None) -> None:
    with served(url, **IN_ENVIRONMENT) as (_, process):
        async with in_process(url, **POSTING) as admin:
            await stop_dispatching(admin)
            made, _ = await holding(admin, receiver)
            held = sql.rows(url, LEASE)
            os.killpg(process.pid, signal.SIGKILL)
            async with in_process(url, **POSTING) as other:
                rows, _ = await follow(other.http, made["cursor"])
                await receiver.until(len(rows))
                assert sql.rows(url, LEASE) != held
                await becomes(other, made, waiting=0, dead_letters=0)
    accepted = list(dict.fromkeys(message.id for message in receiver.accepted))
    assert accepted == [row["id"] for row in rows], "in order, and nothing is lost"
    assert receiver.got[0].id == rows[0]["id"], "it was under way when its sender died"


async def test_one_that_comes_back_from_the_dead_takes_nothing_back(
    url: str, receiver: Receiver, impatient: None
) -> None:
    with served(url, **IN_ENVIRONMENT) as (_, process):
        async with in_process(url, **POSTING) as admin:
            await stop_dispatching(admin)
            made, go_on = await holding(admin, receiver)
        os.killpg(process.pid, signal.SIGSTOP)
        async with in_process(url, **POSTING) as other:
            await receiver.until(3)
            _, head = await follow(other.http, made["cursor"])
            reached = await becomes(other, made, cursor=head)
            go_on.set()
            os.killpg(process.pid, signal.SIGCONT)
            await object_to(other, "grace")
            await receiver.until(4)
            position = read_cursor(other.store.secrets, reached["cursor"]).position
            for _ in range(10):
                now = await told(other, made)
                assert read_cursor(other.store.secrets, now["cursor"]).position >= position
                assert (now["waiting"], now["dead_letters"]) == (0, 0)
                await asyncio.sleep(0.05)


async def test_who_lost_the_lease_records_nothing(url: str, receiver: Receiver) -> None:
    async with in_process(url, **POSTING) as admin:
        await stop_dispatching(admin)
        poster = Poster(admin.app.state.destinations)
        watch = Watch(admin.store.database)

        def deliver(made: dict[str, Any], token: str) -> asyncio.Task[None]:
            sql.execute(url, "UPDATE webhooks SET lease = :token", token=token)
            delivery = Delivery(admin.store, watch, poster, made["webhook_id"], token)
            return asyncio.create_task(delivery.run([0.05]))

        go_on = asyncio.Event()

        async def answer(_message: Message) -> Answer:
            if len(receiver.got) == 1:
                await go_on.wait()
                return Answer(500)
            return Answer()

        receiver.answer = answer
        made = await hook(admin, receiver.url)
        await object_to(admin, "ada")
        zombie = deliver(made, "zombie")
        await until(lambda: len(receiver.got) == 1)
        await object_to(admin, "ada", 2)
        other = deliver(made, "other")
        _, head = await follow(admin.http, made["cursor"])
        reached = await becomes(admin, made, cursor=head)
        go_on.set()
        with pytest.raises(Lost):
            await asyncio.wait_for(zombie, 5)
        assert await told(admin, made) == reached
        other.cancel()
        await asyncio.wait([other])
        await poster.close()


async def test_who_lives_keeps_the_lease_and_who_ends_hands_it_over(
    url: str, receiver: Receiver, impatient: None
) -> None:
    async with in_process(url, **POSTING) as second:
        async with in_process(url, **POSTING) as first:
            made = await hook(first, receiver.url)
            await object_to(first, "ada", 2)
            await receiver.until(2)
            held = sql.rows(url, LEASE)
            await asyncio.sleep(1.5)  # longer than one is held for dead
            assert sql.rows(url, LEASE) == held != [(None,)]
        await object_to(second, "ada", 2)
        await receiver.until(4, seconds=5)
        await becomes(second, made, waiting=0)
    assert [message.id for message in receiver.got] == [message.id for message in receiver.accepted]
    assert len({message.id for message in receiver.got}) == len(receiver.got), "each was sent once"


async def stop_dispatching(maywe: Maywe) -> None:
    """Let this process deliver nothing."""
    maywe.app.state.watch.stop()
    await asyncio.sleep(0.8)


async def test_nothing_secret_is_logged(url: str, receiver: Receiver, tmp_path: Path) -> None:
    key = command(url, "keys", "create", "all", *[word for scope in SCOPES for word in ("--scope", scope)]).strip()
    log, secret_path = tmp_path / "log", "zq7marked1"

    async def answer(message: Message) -> Answer:
        return Answer(500 if len(receiver.got) < 4 else 410, {}, secret_path.encode())

    receiver.answer = answer
    with served(url, log=log, LOG_LEVEL="debug", **IN_ENVIRONMENT) as _:
        async with in_process(url, **POSTING) as admin:
            await stop_dispatching(admin)
            admin.http.headers["Authorization"] = f"Bearer {key}"
            wanted = {"identifier_type": "customer"}
            made = await hook(admin, f"{receiver.url}/{secret_path}?token={secret_path}", filter=wanted)
            await object_to(admin, f"{secret_path}-ada")
            await object_to(admin, f"{secret_path}-grace")
            await becomes(admin, made, state="disabled")
    said = log.read_text()
    of_webhooks = [line for line in map(json.loads, said.splitlines()) if line["logger"] == "maywe.webhooks"]
    assert {line["event"] for line in of_webhooks} >= {"webhook_not_accepted", "webhook_disabled"}
    assert {line["webhook_id"] for line in of_webhooks} == {made["webhook_id"]}
    secrets = (secret_path, made["secret"].removeprefix("whsec_"), "127.0.0.1:" + str(receiver.port), "/hook")
    assert not [secret for secret in secrets if secret in said]
