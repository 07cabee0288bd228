"""Who may be addressed: a list filtered, everybody streamed; each as a check would answer."""

import itertools
import json
import sqlite3
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest

from app.audience import Audience
from app.decision.model import Question
from app.storage import people
from tests.audience.people import PURPOSES, populate
from tests.harness.service import Maywe, served

ADA = {"type": "email", "id": "ada@example.com"}
GIVE = {"purpose": "offers", "channel": "email", "choice": "give"}
OFFERS = {"purpose": "offers", "channel": "email"}


async def export(maywe: Maywe, **question: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The lines of an export, and its last one."""
    answer = await maywe.http.post("/v1/audience/export", json={"identifier_type": "email", **question})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    *lines, end = [json.loads(line) for line in answer.text.splitlines()]
    assert end["end"] is True
    assert end["count"] == len(lines)
    return lines, end


async def keep(maywe: Maywe, subjects: list[dict[str, Any]], **question: Any) -> dict[str, Any]:
    answer = await maywe.http.post("/v1/audience/filter", json={"subjects": subjects, **question})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_every_answer_equals_that_of_a_check(maywe: Maywe) -> None:
    names = await populate(maywe, people=15, seed=20261126)
    holders = [await _holder(maywe, name) for name in names]
    differing: set[bool] = set()
    for (purpose, channels), jurisdiction in itertools.product(PURPOSES, (None, "GB")):
        for channel in channels:
            question = {"purpose": purpose, "channel": channel, "jurisdiction": jurisdiction}
            batch = {"defaults": question, "checks": [{"subject": name} for name in names]}
            answers = (await maywe.http.post("/v1/check/batch", json=batch)).json()["decisions"]
            told = await keep(maywe, names, **question)
            allowed = [name for name, a in zip(names, answers, strict=True) if a["decision"]]
            denied = [(name, a["reason"]) for name, a in zip(names, answers, strict=True) if not a["decision"]]
            assert told["allowed"] == allowed
            assert told["obligations"] == [a["obligations"] for a in answers if a["decision"]]
            assert [(d["subject"], d["reason"]) for d in told["denied"]] == denied
            held = [(name, who, a) for name, who, a in zip(names, holders, answers, strict=True) if who is not None]
            for type in ("customer", "email", "device"):
                lines, end = await export(maywe, **question | {"identifier_type": type})
                expected = [(name, who, a) for name, who, a in held if name["type"] == type]
                assert sorted((line["subject"]["id"], line["subject_id"], line["obligations"]) for line in lines) == (
                    sorted((name["id"], who, a["obligations"]) for name, who, a in expected if a["decision"])
                )
                assert end["denied"] == Counter(a["reason"] for _, _, a in expected if not a["decision"])
            differing |= {a["decision"] for a in answers}
    assert differing == {True, False}


async def _holder(maywe: Maywe, name: dict[str, Any]) -> str | None:
    found = await maywe.http.post("/v1/subjects/find", json=name)
    return str(found.json()["subject_id"]) if found.status_code == 200 else None


# Filter


async def test_a_wrong_identifier_is_denied_and_the_rest_stand(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, notice="conformance-1")
    wrong = [{"type": "email", "id": "no address"}, {"type": "fax", "id": "1"}]
    sent = {"type": "email", "id": " ADA@example.com"}
    told = await keep(maywe, [wrong[0], sent, wrong[1], {"subject_id": await maywe.find(ADA)}], **OFFERS)
    assert told["allowed"] == [sent, {"subject_id": await maywe.find(ADA)}]
    assert told["denied"] == [{"subject": subject, "reason": "invalid_question"} for subject in wrong]


async def test_who_is_denied_is_left_out_on_request(maywe: Maywe) -> None:
    told = await keep(maywe, [ADA], **OFFERS, denied="omit")
    assert told.keys() == {"revision", "allowed", "obligations"}
    assert told["allowed"] == []


async def test_a_typing_error_reaches_nobody_and_says_so(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, notice="conformance-1")
    told = await keep(maywe, [ADA], purpose="ofers", channel="email")
    assert told["denied"] == [{"subject": ADA, "reason": "unknown_purpose"}]
    lines, end = await export(maywe, purpose="ofers", channel="email")
    assert lines == []
    assert end["denied"] == {"unknown_purpose": 1}


async def test_ten_thousand_subjects_are_one_snapshot_and_more_are_too_many(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, notice="conformance-1")
    crowd = [{"type": "customer", "id": f"{n}"} for n in range(9_999)]
    told = await keep(maywe, [*crowd, ADA], **OFFERS)
    assert told["allowed"] == [ADA]
    assert len(told["denied"]) == 9_999
    answer = await maywe.http.post("/v1/audience/filter", json={"subjects": [*crowd, ADA, ADA], **OFFERS})
    assert answer.status_code == 413


async def test_only_a_key_for_audiences_may_ask(maywe: Maywe) -> None:
    headers = {"Authorization": f"Bearer {await maywe.key('check', 'subjects:read')}"}
    for path, more in (("filter", {"subjects": [ADA]}), ("export", {"identifier_type": "email"})):
        answer = await maywe.http.post(f"/v1/audience/{path}", json=OFFERS | more, headers=headers)
        assert answer.status_code == 403
        assert "audience" in answer.json()["detail"]


# Export


async def test_every_identifier_of_the_type_is_there_and_nobody_erased(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, notice="conformance-1")
    subject_id = await maywe.find(ADA)
    second = {"type": "email", "id": "lovelace@example.com"}
    await maywe.http.post(f"/v1/subjects/{subject_id}/identifiers", json=second)
    gone = {"type": "email", "id": "gone@example.com"}
    await maywe.choose(gone, GIVE, notice="conformance-1")
    await maywe.http.post(f"/v1/subjects/{await maywe.find(gone)}/erasure", json={})
    lines, _ = await export(maywe, **OFFERS)
    assert {line["subject"]["id"] for line in lines} == {ADA["id"], second["id"]}
    assert {line["subject_id"] for line in lines} == {subject_id}
    assert lines[0]["obligations"] == ["unsubscribe_link"]


async def test_what_an_attached_device_said_is_heard(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, notice="conformance-1")
    browser = {"type": "device", "id": "d-1"}
    await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/identifiers", json=browser)
    assert len((await export(maywe, **OFFERS))[0]) == 1
    await maywe.choose(browser, {"scope": "all_marketing", "choice": "object"})
    lines, end = await export(maywe, **OFFERS)
    assert lines == []
    assert end["denied"] == {"objected_to_marketing": 1}


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"identifier_type": "fax"}, 422, "unknown-identifier-type"),
        ({"at_least": "nonsense"}, 422, "invalid-revision"),
        ({"identifier_type": None}, 422, "string-type"),
    ],
)
async def test_a_wrong_request_is_refused_before_the_stream(
    maywe: Maywe, wrong: dict[str, Any], status: int, code: str
) -> None:
    body = {"identifier_type": "email", **OFFERS, **wrong}
    answer = await maywe.http.post("/v1/audience/export", json=body)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["code"] == code


async def test_a_change_during_the_stream_is_not_half_in_it(maywe: Maywe) -> None:
    people = [{"type": "email", "id": f"p{n}@example.com"} for n in range(3)]
    for person in people:
        await maywe.choose(person, GIVE, notice="conformance-1")
    now = datetime.now(UTC)
    async with maywe.store.database.long_view() as connection:
        question = Question("offers", channel="email")
        audience = await Audience.begin(connection, maywe.store, question, "email", now=now)
        written = await maywe.choose(people[0], {**GIVE, "choice": "withdraw"})
        await maywe.choose({"type": "email", "id": "late@example.com"}, GIVE, notice="conformance-1")
        found = [member.id async for page in audience.members(connection, now=now) for member in page]
    assert sorted(found) == [person["id"] for person in people]
    assert audience.head.revision != written["revision"]
    assert {line["subject"]["id"] for line in (await export(maywe, **OFFERS))[0]} == {
        "p1@example.com",
        "p2@example.com",
        "late@example.com",
    }


async def test_an_export_is_read_a_few_people_at_a_time(maywe: Maywe) -> None:
    """Else memory would grow with the audience, and nobody else be answered meanwhile."""
    for n in range(7):
        await maywe.choose({"type": "email", "id": f"p{n}@example.com"}, GIVE, notice="conformance-1")
    async with maywe.store.database.long_view() as connection:
        sizes = [len(page) async for page in people.holders(connection, "email", size=3)]
    assert sizes == [3, 3, 1]


async def test_long_reads_leave_room_for_questions(maywe: Maywe) -> None:
    async with AsyncExitStack() as held:
        for _ in range(4):
            await held.enter_async_context(maywe.store.database.long_view())
        assert (await maywe.ask(ADA, "offers", channel="email"))["decision"] is False
        await maywe.choose(ADA, GIVE, notice="conformance-1")


async def test_a_stream_that_fails_has_no_last_line(maywe: Maywe) -> None:
    for n in range(3):
        await maywe.choose({"type": "email", "id": f"p{n}@example.com"}, GIVE, notice="conformance-1")
    await _damage_one_value(maywe)
    body = {"identifier_type": "email", **OFFERS}
    headers = {"Authorization": f"Bearer {await maywe.key()}"}
    received: list[bytes] = []
    with (
        served(maywe.url) as (address, _),
        httpx.stream("POST", f"{address}/v1/audience/export", json=body, headers=headers) as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        received.extend(answer.iter_bytes())
    assert b'"end"' not in b"".join(received)


async def _damage_one_value(maywe: Maywe) -> None:
    statement = "UPDATE identifiers SET sealed = {} WHERE identifier_id = (SELECT max(identifier_id) FROM identifiers)"
    if maywe.store.database.is_sqlite:
        with sqlite3.connect(maywe.url.removeprefix("sqlite:///")) as connection:
            connection.execute(statement.format("x'00'"))
        return
    with psycopg.connect(maywe.url) as server:
        server.execute(statement.format("'\\x00'").encode())
