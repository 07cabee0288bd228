"""kill -9 under load: no acknowledged event is lost, none is half-written, and asking again does nothing twice."""

import asyncio
import os
import random
import signal
from itertools import count
from typing import Any

import httpx

from tests.harness import sql
from tests.harness.effort import effort
from tests.harness.service import NO_TLS, Maywe, served
from tests.harness.wholeness import assert_whole

ROUNDS = effort(1, 6)
CLIENTS = 6
CHOICES = [
    {"purpose": "offers", "channel": "email", "choice": "withdraw"},
    {"purpose": "recommendations", "choice": "object"},
    {"scope": "automation", "choice": "object"},
]


class Load:
    """Requests of three choices each, every one about somebody new and under a key of its own."""

    def __init__(self) -> None:
        self._numbers = count()
        self.acknowledged: dict[int, str] = {}  # number of the request -> subject_id
        self.unanswered: set[int] = set()
        self.enough = asyncio.Event()  # set every twenty acknowledgements

    async def press(self, http: httpx.AsyncClient) -> None:
        """Write until nobody answers any more."""
        while True:
            number = next(self._numbers)
            try:
                answer = await self.send(http, number)
            except httpx.HTTPError:
                self.unanswered.add(number)
                return
            assert answer.status_code == 201, answer.text
            self.acknowledged[number] = answer.json()["subject_id"]
            if len(self.acknowledged) % 20 == 0:
                self.enough.set()

    async def send(self, http: httpx.AsyncClient, number: int) -> httpx.Response:
        body: dict[str, Any] = {"subject": {"type": "customer", "id": f"c-{number}"}, "choices": CHOICES}
        return await http.post("/v1/choices", json=body, headers={"Idempotency-Key": f"request-{number}"})


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(maywe: Maywe) -> None:
    load, chance = Load(), random.Random(7)
    key = {"Authorization": maywe.http.headers["Authorization"]}
    for _ in range(ROUNDS):
        with served(maywe.url, workers=2) as (address, process):
            async with httpx.AsyncClient(base_url=address, headers=key, timeout=30, verify=NO_TLS) as http:
                pressing = [asyncio.create_task(load.press(http)) for _ in range(CLIENTS)]
                await load.enough.wait()
                load.enough.clear()
                await asyncio.sleep(chance.random() / 10)
                os.killpg(process.pid, signal.SIGKILL)
                await asyncio.gather(*pressing)
    assert len(load.unanswered) == ROUNDS * CLIENTS
    written = _entries_per_subject(maywe.url)
    assert {written.get(subject_id) for subject_id in load.acknowledged.values()} == {len(CHOICES)}
    assert set(written.values()) == {len(CHOICES)}  # of what was not acknowledged: all or nothing
    await assert_whole(maywe.url)
    for number in load.unanswered:
        answer = await load.send(maywe.http, number)
        assert answer.status_code == 201, answer.text
        load.acknowledged[number] = answer.json()["subject_id"]
    assert _entries_per_subject(maywe.url) == dict.fromkeys(load.acknowledged.values(), len(CHOICES))
    await assert_whole(maywe.url)


def _entries_per_subject(url: str) -> dict[str, int]:
    per_subject = "SELECT subject_id, count(*) FROM ledger WHERE subject_id IS NOT NULL GROUP BY subject_id"
    return {str(subject_id): int(entries) for subject_id, entries in sql.rows(url, per_subject)}
