"""The example consumer as a real process: its table is what the service itself says, whatever happens to either."""

import asyncio
import contextlib
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.harness import sql
from tests.harness.service import Maywe, served

ADA = {"type": "customer", "id": "ada"}
GIVE = {"purpose": "offers", "channel": "email", "choice": "give"}
CONSUMER = Path(__file__).parents[2] / "examples" / "consumer.py"
PURPOSES: list[dict[str, Any]] = [
    {"purpose": "offers", "channel": "email"},
    {"purpose": "offers", "channel": "sms"},
    {"purpose": "ads"},
    {"purpose": "support"},
    {"purpose": "recommendations"},
    {"scope": "all_marketing"},
    {"scope": "all_marketing", "channel": "email"},
    {"scope": "automation"},
]


@contextlib.contextmanager
def consumer(address: str, key: str, copy: Path) -> Generator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "FEED_URL": address, "FEED_KEY": key}
    process = subprocess.Popen([sys.executable, str(CONSUMER), str(copy)], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def live(maywe: Maywe, chance: random.Random, people: list[dict[str, str]], acts: int) -> None:
    """What people and the controller do."""
    for _ in range(acts):
        subject = chance.choice(people)
        act = chance.random()
        if act < 0.1:
            await maywe.establish(subject, {"fact": "contract_started", "reference": f"order-{chance.randrange(3)}"})
        elif act < 0.2:
            other = chance.choice(people)
            for one in (subject, other):
                await maywe.establish(one, {"fact": "enquiry", "reference": "question"})
            path = f"/v1/subjects/{await maywe.find(subject)}"
            if act < 0.15:
                await maywe.http.post(f"{path}/identifiers", json=other)
            else:
                await maywe.http.post(f"{path}/erasure", json={"force": True})
        else:
            what = chance.choice(PURPOSES)
            words = ["object", "withdraw_objection"]
            words += [] if "scope" in what else ["give", "request", "withdraw", "refuse"]
            choice = {**what, "choice": chance.choice(words)}
            request = {"subject": subject, "choices": [choice], "method": "api", "notice": "conformance-1"}
            answer = await maywe.http.post("/v1/choices", json=request)
            assert answer.status_code in (201, 422), answer.text


async def truth(maywe: Maywe, people: list[dict[str, str]]) -> dict[str, Any]:
    """What the service says of everybody."""
    told: dict[str, Any] = {"standings": set(), "scopes": set()}
    for person in people:
        found = await maywe.http.post("/v1/subjects/find", json=person)
        if found.status_code == 404:
            continue
        subject = (await maywe.http.get(f"/v1/subjects/{found.json()['subject_id']}")).json()
        for s in subject["standings"]:
            told["standings"].add((subject["subject_id"], s["purpose"], s["channel"] or "", s["status"], s["version"]))
        for scope, status in subject["scopes"].items():
            name, _, channel = scope.partition(":")
            if status is not None:
                told["scopes"].add((subject["subject_id"], name, channel))
    return told


def copied(path: Path) -> dict[str, Any]:
    """What the consumer has; nothing before it began."""
    with sqlite3.connect(path) as database, contextlib.suppress(sqlite3.OperationalError):
        standings = set(database.execute("SELECT subject_id, purpose, channel, status, version FROM standings"))
        return {"standings": standings, "scopes": set(database.execute("SELECT * FROM scopes"))}
    return {}


async def in_step(maywe: Maywe, copy: Path, people: list[dict[str, str]]) -> None:
    """Wait until the copy is right; the last difference is the failure."""
    expected = await truth(maywe, people)
    for _ in range(150):
        if copied(copy) == expected:
            return
        await asyncio.sleep(0.1)
    assert copied(copy) == expected


async def test_a_copy_made_of_the_feed_alone_is_what_the_service_says(maywe: Maywe, tmp_path: Path) -> None:
    copy, chance = tmp_path / "copy.db", random.Random(4)
    people = [{"type": "customer", "id": f"c-{n}"} for n in range(8)]
    key = await maywe.key("changes")
    with served(maywe.url) as (address, _):
        with consumer(address, key, copy) as process:
            await in_step(maywe, copy, people)
            await live(maywe, chance, people, 40)
            process.kill()
        await live(maywe, chance, people, 20)
        with consumer(address, key, copy):
            await live(maywe, chance, people, 40)
            await in_step(maywe, copy, people)
            sql.execute(maywe.url, "UPDATE ledger_head SET epoch = 'begun-anew'")
        with sqlite3.connect(copy) as database:
            database.execute("INSERT INTO standings VALUES ('nobody', 'ads', '', 'given', 0, 9)")
        with consumer(address, key, copy):
            await in_step(maywe, copy, people)


async def test_a_copy_follows_a_notice_that_comes_into_force(
    maywe: Maywe, shop: dict[str, Any], tmp_path: Path
) -> None:
    """At its time, although nothing is told then; also where the copy was begun after it was published."""
    await maywe.choose(ADA, GIVE, notice=shop["version"])
    soon = datetime.now(UTC) + timedelta(seconds=2)
    await maywe.publish(shop | {"version": "next", "effective_from": soon.isoformat(), "material_changes": ["offers"]})
    key, copy = await maywe.key("changes"), tmp_path / "copy.db"
    with served(maywe.url) as (address, _), consumer(address, key, copy):
        await in_step(maywe, copy, [ADA])
        assert {status for *_, status, _ in copied(copy)["standings"]} == {"given"}
        await asyncio.sleep((soon - datetime.now(UTC)).total_seconds())
        await in_step(maywe, copy, [ADA])
        assert {status for *_, status, _ in copied(copy)["standings"]} == {"outdated"}
