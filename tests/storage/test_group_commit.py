"""Choices that come together share one commit, and each is answered for itself."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto, group_commit
from app.decision.model import State
from app.judging import Choice
from app.recording import Record, Recorded, place_choices
from app.storage import ledger
from app.storage.database import Unavailable
from tests.harness import sql
from tests.harness.service import Maywe, in_process
from tests.harness.wholeness import assert_whole

OFFERS = {"purpose": "offers", "channel": "email"}
MANY = 40
WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def withdraw(maywe: Maywe, person: int | str, **more: Any) -> Any:
    body = {"subject": {"type": "customer", "id": f"c-{person}"}, "choices": [{**OFFERS, "choice": "withdraw"}]}
    return maywe.http.post("/v1/choices", json=body | more.pop("body", {}), **more)


def commits_of(maywe: Maywe) -> list[None]:
    """Grows by one with every commit of the application."""
    seen: list[None] = []
    maywe.store.database.after_commit.append(lambda: seen.append(None))
    return seen


def recorded(maywe: Maywe) -> int:
    return len(sql.rows(maywe.url, "SELECT position FROM ledger WHERE type = 'choice.withdraw'"))


async def test_what_comes_together_is_committed_together(maywe: Maywe) -> None:
    commits = commits_of(maywe)
    answers = await asyncio.gather(*(withdraw(maywe, n) for n in range(MANY)))
    assert {answer.status_code for answer in answers} == {201}
    told = [answer.json() for answer in answers]
    assert len({answer["subject_id"] for answer in told}) == MANY
    assert len({answer["revision"] for answer in told}) == len(commits) < MANY / 2
    assert recorded(maywe) == MANY
    for n in range(MANY):
        question = {"subject": {"type": "customer", "id": f"c-{n}"}, **OFFERS}
        answer = (await maywe.http.post("/v1/check", json=question)).json()
        assert (answer["decision"], answer["determining"][0]["event_id"]) == (
            False,
            told[n]["events"][0]["event_id"],
        )
    await assert_whole(maywe.url)


async def test_a_unit_of_work_is_as_large_as_what_it_holds(maywe: Maywe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that say much share it with fewer others, so that nobody waits long for it."""
    monkeypatch.setattr(group_commit, "_ENOUGH", 3)
    two = {"choices": [{**OFFERS, "choice": "withdraw"}, {**OFFERS, "channel": "sms", "choice": "withdraw"}]}
    answers = await asyncio.gather(*(withdraw(maywe, n, body=two) for n in range(MANY)))
    shared = Counter(answer.json()["revision"] for answer in answers)
    assert max(shared.values()) == 2
    assert recorded(maywe) == 2 * MANY


async def test_each_is_refused_for_itself(maywe: Maywe) -> None:
    other = {"Authorization": f"Bearer {await maywe.key('check')}"}
    wrong: list[Any] = [
        withdraw(maywe, "a", body={"choices": [{"purpose": "undeclared", "choice": "withdraw"}]}),
        withdraw(maywe, "b", body={"subject": {"type": "undeclared", "id": "x"}}),
        withdraw(maywe, "c", body={"occurred_at": "2999-01-01T00:00:00Z"}),
        withdraw(maywe, "d", headers=other),
        withdraw(maywe, "e", body={"subject": {"type": "email", "id": "no address"}}),
    ]
    right = [withdraw(maywe, n) for n in range(MANY)]
    mixed = [request for pair in zip(right, wrong, strict=False) for request in pair] + right[len(wrong) :]
    answers = await asyncio.gather(*mixed)
    refused = [answer for answer in answers if answer.status_code != 201]
    assert [answer.status_code for answer in refused] == [422, 422, 422, 403, 422]
    pointers = [fault["pointer"] for answer in refused for fault in answer.json().get("errors", ())]
    assert pointers == ["/choices/0/purpose", "/subject/type", "/occurred_at", "/subject/id"]
    assert len(answers) - len(refused) == recorded(maywe) == MANY
    await assert_whole(maywe.url)


async def test_one_person_at_a_time(maywe: Maywe) -> None:
    """What is told of one word of a person is not what the next has made of it already."""
    words = ["give", "withdraw"] * 5
    how = {"notice": "conformance-1", "method": "web_form"}
    choices = [{"body": {"choices": [{**OFFERS, "choice": word}], **how}} for word in words]
    answers = await asyncio.gather(*(withdraw(maywe, "same", **choice) for choice in choices))
    events = [answer.json()["events"][0] for answer in answers]
    acknowledged = sorted((e["version"], e["status"], e["event_id"]) for e in events if e["effective"])
    assert [version for version, *_ in acknowledged] == list(range(1, len(acknowledged) + 1))
    changes = (await maywe.http.get("/v1/changes")).json()["changes"]
    rows = [(row["version"], row["status"], row["event_id"]) for row in changes if row["version"] is not None]
    assert rows == acknowledged


async def test_who_is_written_about_often_keeps_nobody_waiting(maywe: Maywe, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many words of one person wait, those of others go into the next unit of work."""
    record, have_come, came = group_commit.GroupCommit.record, asyncio.Event(), []

    async def come(group: group_commit.GroupCommit, request: group_commit.Recording) -> Record:
        came.append(request)
        if len(came) == 3 * MANY + 1:
            have_come.set()
        return await record(group, request)

    async def place(unit: Any, state: State, choices: Sequence[Choice], how: Any, **at: Any) -> list[Recorded]:
        await have_come.wait()
        return await place_choices(unit, state, choices, how, **at)

    monkeypatch.setattr(group_commit.GroupCommit, "record", come)
    monkeypatch.setattr(group_commit, "place_choices", place)
    commits = commits_of(maywe)
    crowd = [asyncio.create_task(withdraw(maywe, "same")) for _ in range(3 * MANY)]
    other = asyncio.create_task(withdraw(maywe, "other"))
    assert (await other).status_code == 201
    assert len(commits) < MANY / 2
    assert {answer.status_code for answer in await asyncio.gather(*crowd)} == {201}


async def test_who_fails_fails_alone(maywe: Maywe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something nobody foresaw, on the way of one of many: 500 for that one, and nothing of it is kept."""

    async def fail(unit: Any, state: State, choices: Sequence[Choice], how: Any, **at: Any) -> list[Recorded]:
        events = await place_choices(unit, state, choices, how, **at)
        if choices[0].purpose == "ads":
            raise ZeroDivisionError
        return events

    monkeypatch.setattr(group_commit, "place_choices", fail)
    poison = {"body": {"choices": [{"purpose": "ads", "choice": "withdraw"}]}}
    requests = [withdraw(maywe, n, **(poison if n == 3 else {})) for n in range(MANY)]
    answers = await asyncio.gather(*requests)
    assert [answer.status_code for answer in answers] == [500 if n == 3 else 201 for n in range(MANY)]
    assert recorded(maywe) == MANY - 1
    assert (await maywe.http.post("/v1/subjects/find", json={"type": "customer", "id": "c-3"})).status_code == 404
    await assert_whole(maywe.url)


async def test_nobody_is_told_before_the_commit(maywe: Maywe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is gone at the commit: whoever shares it is told 503, and nothing is on file."""
    await withdraw(maywe, "first")
    database, write = maywe.store.database, maywe.store.database.write

    async def lose(work: Any) -> Any:
        async def work_and_fail(connection: AsyncConnection) -> None:
            await work(connection)
            raise Unavailable

        return await write(work_and_fail)

    monkeypatch.setattr(database, "write", lose)
    answers: list[httpx.Response] = await asyncio.gather(*(withdraw(maywe, n) for n in range(MANY)))
    assert {answer.status_code for answer in answers} == {503}
    monkeypatch.undo()
    assert recorded(maywe) == 1
    assert (await withdraw(maywe, 0)).status_code == 201


async def test_who_gives_up_stops_nobody(maywe: Maywe, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = [asyncio.create_task(withdraw(maywe, n)) for n in range(MANY)]

    async def place(unit: Any, state: State, choices: Sequence[Choice], how: Any, **at: Any) -> list[Recorded]:
        for task in waiting[::2]:
            task.cancel()
        return await place_choices(unit, state, choices, how, **at)

    monkeypatch.setattr(group_commit, "place_choices", place)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*waiting, return_exceptions=True)
    stayed = [answer for answer in answers if isinstance(answer, httpx.Response)]
    assert len(stayed) == MANY / 2
    assert {answer.status_code for answer in stayed} == {201}
    assert recorded(maywe) >= len(stayed)
    await assert_whole(maywe.url)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_a_revision_includes_what_another_process_was_writing(
    maywe: Maywe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same word, sent to two instances: the second finds it on file when the first has committed it."""
    await withdraw(maywe, 1)
    said = {"body": {"occurred_at": "2026-01-01T00:00:00Z"}}
    append, at_the_end, go_on = ledger.append, asyncio.Event(), asyncio.Event()

    async def linger(*entries: Any, **digest: Any) -> None:
        await append(*entries, **digest)
        at_the_end.set()
        await go_on.wait()

    monkeypatch.setattr(ledger, "append", linger)
    async with in_process(maywe.url) as other:
        first = asyncio.create_task(withdraw(maywe, 1, **said))
        await at_the_end.wait()
        second = asyncio.create_task(withdraw(other, 1, **said))
        for _ in range(1000):
            if sql.rows(maywe.url, WAITING):
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("the second never waited for the first")
        go_on.set()
        told = [(await answer).json() for answer in (first, second)]
    assert told[0]["events"][0]["event_id"] == told[1]["events"][0]["event_id"]
    assert crypto.read_revision(told[1]["revision"]) >= crypto.read_revision(told[0]["revision"])
