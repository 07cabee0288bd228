"""Cursors: going on from anywhere loses nothing, and a place that is none of this history is never taken for one."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from app import changes
from tests.changes.polling import about, follow, page
from tests.harness.databases import Databases
from tests.harness.service import Maywe, in_process

OFFERS = {"purpose": "offers", "channel": "email"}


def customer(n: int | str) -> dict[str, str]:
    return {"type": "customer", "id": f"c-{n}"}


async def some_history(maywe: Maywe, people: int = 4) -> None:
    for n in range(people):
        await maywe.choose(customer(n), {**OFFERS, "choice": "give"}, notice="conformance-1")
        await maywe.choose(customer(n), {"purpose": "offers", "choice": "withdraw"})
        await maywe.choose(
            customer(n), {"purpose": "ads", "choice": "refuse"}, {"purpose": "support", "choice": "refuse"}
        )
        await maywe.establish(customer(n), {"fact": "sale", "reference": f"order-{n}"})
    await maywe.choose(customer(0), {"scope": "all_marketing", "choice": "object"})


async def test_pages_of_any_size_tell_the_same(maywe: Maywe) -> None:
    await some_history(maywe)
    whole = (await page(maywe.http, limit=1000))["changes"]
    assert len(whole) > 20
    for limit in (1, 2, 7, len(whole) - 1, len(whole)):
        rows, last = await follow(maywe.http, limit=limit)
        assert about(rows, "id") == about(whole, "id")
        assert (await page(maywe.http, after=last))["changes"] == []


async def test_any_row_is_a_place_to_go_on_from(maywe: Maywe) -> None:
    await some_history(maywe, people=2)
    whole, _ = await follow(maywe.http)
    for n, row in enumerate(whole):
        rest, _ = await follow(maywe.http, row["cursor"])
        assert about(rest, "id") == about(whole[n + 1 :], "id")


async def test_now_and_head_are_the_end(maywe: Maywe) -> None:
    await some_history(maywe, people=1)
    first = await page(maywe.http, limit=1)
    assert first["has_more"] is True
    now = await page(maywe.http, after="now")
    assert (now["changes"], now["has_more"], now["next"]) == ([], False, first["head"])
    await maywe.choose(customer(0), {**OFFERS, "choice": "give"}, notice="conformance-1")
    rows, _ = await follow(maywe.http, now["next"])
    assert about(rows, "type") == [("choice.give",)]


FILTERS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
    ({"purpose": "ads"}, lambda row: row["purpose"] in (None, "ads")),
    ({"purpose": ["ads", "offers"]}, lambda row: row["purpose"] in (None, "ads", "offers")),
    ({"channel": "sms"}, lambda row: row["channel"] in (None, "sms")),
    ({"type": ["choice.give", "fact.sale"]}, lambda row: row["type"] in ("choice.give", "fact.sale")),
    (
        {"purpose": "offers", "channel": "email", "type": "choice.withdraw"},
        lambda row: (row["type"], row["channel"], row["purpose"]) == ("choice.withdraw", "email", "offers"),
    ),
]


async def test_a_filter_passes_its_rows_and_those_without(maywe: Maywe) -> None:
    await some_history(maywe)
    whole, _ = await follow(maywe.http)
    for query, passes in FILTERS:
        expected = [row for row in whole if passes(row)]
        assert 0 < len(expected) < len(whole)
        for limit in (1, 3, 1000):
            rows, _ = await follow(maywe.http, limit=limit, **query)
            assert about(rows, "id") == about(expected, "id")


async def test_next_moves_past_what_a_filter_left_out(maywe: Maywe) -> None:
    start = await page(maywe.http, type="subject.erased")
    await some_history(maywe, people=1)
    moved = await page(maywe.http, type="subject.erased", after=start["next"])
    assert moved["changes"] == []
    assert moved["next"] != start["next"]
    assert moved["has_more"] is False


async def test_a_cursor_serves_only_the_filter_it_was_given_out_for(maywe: Maywe) -> None:
    unfiltered = await page(maywe.http)
    filtered = await page(maywe.http, purpose="ads")
    assert (await page(maywe.http, 400, after=filtered["next"]))["type"] == "urn:maywe:problem:cursor-of-another-filter"
    await page(maywe.http, 400, after=filtered["next"], purpose=["ads", "offers"])
    await page(maywe.http, purpose="ads", after=filtered["next"])
    await page(maywe.http, purpose="ads", after=unfiltered["next"])  # it left nothing out


async def test_what_is_no_cursor_is_400(maywe: Maywe) -> None:
    cursor = (await page(maywe.http))["next"]
    octets = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    octets[-1] ^= 1
    forged = base64.urlsafe_b64encode(octets).decode().rstrip("=")
    for wrong in ("", "x", "NOW", "é", "a" * 256, cursor + "=", cursor[:-1], forged):
        problem = await page(maywe.http, 400, after=wrong)
        assert problem["type"] == "urn:maywe:problem:malformed-cursor"


async def test_queries_with_a_typo_are_refused(maywe: Maywe) -> None:
    for wrong in (
        {"purposes": "ads"},
        {"purpose": "adverts"},
        {"identifier_type": "customers"},
        {"channel": "fax"},
        {"type": "choice.gave"},
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "ten"},
    ):
        await page(maywe.http, 422, **wrong)


async def test_only_the_scope_changes_may_read(maywe: Maywe) -> None:
    key = await maywe.key("check", "subjects:read")
    answer = await maywe.http.get("/v1/changes", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403


async def test_a_restored_older_backup_is_told_to_those_who_know_more(
    databases: Databases, database_url: str, shop: dict[str, Any]
) -> None:
    async with in_process(database_url) as maywe:
        await maywe.publish(shop)
        await some_history(maywe, people=2)
        backed_up = await page(maywe.http, limit=1000)
    backup = databases.copy(database_url)
    async with in_process(database_url) as maywe:
        await maywe.choose(customer("late"), {**OFFERS, "choice": "withdraw"})
        beyond = await page(maywe.http, after=backed_up["next"])
        assert len(beyond["changes"]) == 1
    async with in_process(backup) as maywe:
        assert (await page(maywe.http, after=backed_up["next"]))["changes"] == []
        problem = await page(maywe.http, 409, after=beyond["next"])
        assert problem["type"] == "urn:maywe:problem:cursor-ahead"
        for n in range(3):  # history goes on, another one, beyond where the old one was
            await maywe.choose(customer(f"new-{n}"), {**OFFERS, "choice": "withdraw"})
        problem = await page(maywe.http, 409, after=beyond["next"])
        assert problem["type"] == "urn:maywe:problem:cursor-ahead"
        assert "snapshot" in problem["detail"]
        rows, _ = await follow(maywe.http, problem["oldest"])
        assert len(rows) == len(backed_up["changes"]) + 3


async def test_a_database_begun_anew_expires_every_cursor(maywe: Maywe) -> None:
    cursor = (await page(maywe.http))["next"]

    async def begin_anew(connection: Any) -> None:
        await connection.execute(text("UPDATE ledger_head SET epoch = 'another'"))

    await maywe.store.database.write(begin_anew)
    problem = await page(maywe.http, 410, after=cursor)
    assert problem["type"] == "urn:maywe:problem:cursor-expired"
    await page(maywe.http, after=problem["oldest"])


async def test_a_page_looks_at_so_much_and_says_that_there_is_more(
    maywe: Maywe, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_history(maywe)
    await maywe.choose(customer("last"), {**OFFERS, "choice": "object"})
    monkeypatch.setattr(changes, "REACH", 5)
    first = await page(maywe.http, type="choice.object")
    assert (first["changes"], first["has_more"]) == ([], True)
    rows, _ = await follow(maywe.http, type="choice.object")
    assert about(rows, "status", "scope") == [("objected", "all_marketing"), ("withdrawn", None)]


async def test_an_audience_comes_with_the_place_from_which_to_watch_it(maywe: Maywe) -> None:
    await some_history(maywe, people=1)
    question = {"purpose": "offers", "channel": "email", "identifier_type": "customer"}
    exported = await maywe.http.post("/v1/audience/export", json=question)
    cursor = json.loads(exported.text.splitlines()[-1])["changes_cursor"]
    assert (await page(maywe.http, after=cursor, purpose="offers"))["changes"] == []
    await maywe.choose(customer(0), {"purpose": "offers", "choice": "refuse"})
    rows, _ = await follow(maywe.http, cursor)
    assert {row["type"] for row in rows} == {"choice.refuse"}
