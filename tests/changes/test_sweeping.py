"""What time alone ends is told once, at its time, whoever is there to tell it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import sweeping
from app.sweeping import sweep
from tests.changes.polling import about, follow
from tests.harness.service import Maywe, command, in_process

GIVE = {"purpose": "ads", "choice": "give"}  # for 180 days
ADA = {"type": "customer", "id": "ada"}
LIFE = timedelta(days=180)


@pytest.fixture(autouse=True)
def without_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for the sweeper need not wait long."""
    monkeypatch.setattr(sweeping, "_PAUSE", 0.1)


def customer(n: int) -> dict[str, str]:
    return {"type": "customer", "id": f"c-{n}"}


def given(ends_in: timedelta) -> dict[str, Any]:
    at = datetime.now(UTC) - LIFE + ends_in
    return {"notice": "conformance-1", "occurred_at": at.isoformat()}


async def until(maywe: Maywe, type: str, count: int) -> list[dict[str, Any]]:
    """The rows of a type, as soon as there are so many, or after long enough."""
    rows: list[dict[str, Any]] = []
    for _ in range(200):
        rows, _ = await follow(maywe.http, type=type)
        if len(rows) >= count:
            break
        await asyncio.sleep(0.1)
    return rows


async def test_a_consent_that_ends_is_told_at_its_time(maywe: Maywe) -> None:
    said = given(timedelta(seconds=0.5))
    await maywe.choose(ADA, GIVE, **said)
    assert (await maywe.ask(ADA, "ads"))["decision"] is True
    (row,) = await until(maywe, "consent.expired", 1)
    assert about([row], "purpose", "channel", "status", "previous_status", "version", "basis") == [
        ("ads", None, "expired", "given", 2, "consent")
    ]
    end = datetime.fromisoformat(said["occurred_at"]) + LIFE
    assert datetime.fromisoformat(row["occurred_at"]) == end <= datetime.fromisoformat(row["recorded_at"])
    answer = await maywe.ask(ADA, "ads")
    assert (answer["decision"], answer["reason"]) == (False, "consent_expired")
    subject = (await maywe.http.get(f"/v1/subjects/{row['subject_id']}")).json()
    assert about(subject["standings"], "status", "version") == [("expired", 2)]


async def test_many_processes_tell_each_end_once(maywe: Maywe) -> None:
    for n in range(12):
        await maywe.choose(customer(n), GIVE, **given(timedelta(seconds=1)))
    async with in_process(maywe.url) as second, in_process(maywe.url) as third:
        await until(maywe, "consent.expired", 12)
        later = datetime.now(UTC)
        await asyncio.gather(*(sweep(one.store, later) for one in (maywe, second, third) for _ in range(3)))
    rows, _ = await follow(maywe.http, type="consent.expired")
    assert len(rows) == len({row["subject_id"] for row in rows}) == 12


async def test_who_writes_first_tells_the_end_before_their_own(maywe: Maywe) -> None:
    """Versions and rows of a standing stay in order, whether or not a sweeper was there in between."""
    await maywe.choose(ADA, GIVE, **given(timedelta(milliseconds=300)))
    await asyncio.sleep(0.4)
    await maywe.choose(ADA, GIVE, notice="conformance-1")
    rows, _ = await follow(maywe.http, purpose="ads")
    told = [row for row in rows if row["version"]]
    assert about(told, "type", "version", "previous_status") == [
        ("choice.give", 1, None),
        ("consent.expired", told[1]["version"], "given"),
        ("choice.give", 3, "expired"),
    ]


async def test_a_renewed_or_withdrawn_consent_does_not_end(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, **given(timedelta(seconds=0.5)))
    await maywe.choose(ADA, {"purpose": "ads", "choice": "withdraw"})
    await maywe.choose(customer(1), GIVE, **given(timedelta(seconds=0.7)))
    await until(maywe, "consent.expired", 1)
    rows, _ = await follow(maywe.http, type="consent.expired")
    assert about(rows, "subject_id") == [(await maywe.find(customer(1)),)]


async def test_evidence_that_ends_is_told_for_each_purpose_that_rests_on_it(maywe: Maywe, shop: dict[str, Any]) -> None:
    at = datetime.now(UTC) - timedelta(days=730) + timedelta(seconds=0.5)
    sale = {"fact": "sale", "reference": "order-1", "occurred_at": at.isoformat()}
    await maywe.establish(ADA, sale)
    (row,) = await until(maywe, "evidence.expired", 1)
    assert (row["purpose"], row["details"], row["version"]) == ("canada_news", {"evidence": "sale"}, None)
    assert datetime.fromisoformat(row["occurred_at"]) == at + timedelta(days=730)
    await maywe.establish(ADA, {"fact": "enquiry", "reference": "question"})
    await sweep(maywe.store, datetime.now(UTC))
    assert len(await until(maywe, "evidence.expired", 1)) == 1


async def test_a_version_that_makes_lives_shorter_ends_what_it_ends(maywe: Maywe, shop: dict[str, Any]) -> None:
    await maywe.choose(ADA, GIVE, **given(timedelta(days=90)))
    ads = {**shop["purposes"]["ads"], "grounds": [{"basis": "consent", "expires_after": "P30D"}]}
    shorter = {**shop, "version": "shorter", "purposes": {**shop["purposes"], "ads": ads}}
    del shorter["effective_from"]
    await maywe.publish(shorter)
    (row,) = await until(maywe, "consent.expired", 1)
    assert (row["status"], (await maywe.ask(ADA, "ads"))["reason"]) == ("expired", "consent_expired")


async def test_the_ledger_alone_tells_it_all_again(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, **given(timedelta(seconds=0.5)))
    at = datetime.now(UTC) - timedelta(days=730) + timedelta(seconds=0.5)
    await maywe.establish(ADA, {"fact": "sale", "reference": "order-1", "occurred_at": at.isoformat()})
    await until(maywe, "consent.expired", 1)
    await until(maywe, "evidence.expired", 1)
    assert "agree" in await asyncio.to_thread(command, maywe.url, "rebuild", "--check")
    assert "whole" in await asyncio.to_thread(command, maywe.url, "verify")
