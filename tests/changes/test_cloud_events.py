"""The same rows as CloudEvents 1.0, read in the HTTP Feeds profile."""

import asyncio
from typing import Any

import pytest

from app import changes
from tests.changes.polling import about, follow
from tests.harness.service import Maywe

ADA = {"type": "customer", "id": "ada"}


async def events(maywe: Maywe, status: int = 200, **query: Any) -> Any:
    accept = {"Accept": "application/cloudevents-batch+json"}
    answer = await maywe.http.get("/v1/changes", params=query, headers=accept)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.headers["content-type"] == "application/cloudevents-batch+json"
    return answer.json()


async def test_rows_are_events_and_the_last_id_goes_on(maywe: Maywe) -> None:
    await maywe.choose(ADA, {"purpose": "offers", "choice": "refuse"})
    await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/erasure", json={})
    rows, _ = await follow(maywe.http)
    told = await events(maywe)
    assert [event["data"] for event in told] == rows
    assert {event["specversion"] for event in told} == {"1.0"}
    assert {(event["id"], event["type"]) for event in told} == set(about(rows, "id", "type"))
    assert [event.get("method") for event in told] == [None, None, None, "DELETE"]
    assert told[-1]["subject"] == rows[-1]["subject_id"]
    assert [event["id"] for event in await events(maywe, lastEventId=told[1]["id"])] == [e["id"] for e in told[2:]]
    assert await events(maywe, lastEventId=told[-1]["id"]) == []


async def test_a_reader_that_knows_only_ids_is_not_stuck_behind_what_is_left_out(
    maywe: Maywe, monkeypatch: pytest.MonkeyPatch
) -> None:
    for purpose in ("ads", "statistics", "support", "health_advice"):
        await maywe.choose(ADA, {"purpose": purpose, "choice": "refuse"})
    await maywe.choose(ADA, {"purpose": "recommendations", "choice": "object"})
    monkeypatch.setattr(changes, "REACH", 2)
    assert [event["type"] for event in await events(maywe, type="choice.object")] == ["choice.object"]


async def test_the_timeout_waits(maywe: Maywe) -> None:
    last = (await events(maywe))[-1]["id"]
    waiting = asyncio.create_task(events(maywe, lastEventId=last, timeout=30_000))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await maywe.choose(ADA, {"purpose": "ads", "choice": "refuse"})
    assert [event["type"] for event in await waiting] == ["choice.refuse"]


async def test_ids_that_are_none_or_of_another_history(maywe: Maywe) -> None:
    assert (await events(maywe, 400, lastEventId="evt"))["type"] == "urn:maywe:problem:malformed-cursor"
    assert (await events(maywe, 410, lastEventId="evt_gone-0"))["type"] == "urn:maywe:problem:cursor-expired"
