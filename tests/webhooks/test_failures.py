"""What is not accepted is tried again, in the order of each person, given up after the last attempt, and replayed."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from prometheus_client import REGISTRY

from app import delivering, posting
from app.posting import read_retry_after
from tests.changes.polling import follow
from tests.doors.expecting import expect_problem
from tests.harness import sql
from tests.harness.service import Maywe
from tests.webhooks.receiver import (
    Answer,
    Message,
    Receiver,
    act,
    becomes,
    hook,
    object_to,
    receiving,
    told,
    until,
)

PEOPLE = ("ada", "grace", "alan", "edsger", "barbara")


def refusing(
    wrong: Callable[[Message], bool], status: int = 500, **headers: str
) -> Callable[[Message], Awaitable[Answer]]:
    """Refuse some messages."""

    async def answer(message: Message) -> Answer:
        return Answer(status, headers) if wrong(message) else Answer()

    return answer


async def dead_letters(maywe: Maywe, made: dict[str, Any], **query: Any) -> Any:
    answer = await maywe.http.get(f"/v1/webhooks/{made['webhook_id']}/dead-letters", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("retries", [",".join(["0.02"] * 60)])
async def test_each_persons_rows_come_in_order_whatever_fails(
    maywe: Maywe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "_WINDOW", 7)
    monkeypatch.setattr(delivering, "_KEPT_BACK", 10)
    chance, under_way, most = random.Random(7), 0, 0

    async def answer(message: Message) -> Answer:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(chance.random() * 0.01)
        under_way -= 1
        return Answer(chance.choice((204, 200, 204, 503, 429)))

    receiver.answer = answer
    made = await hook(maywe, receiver.url)
    for _ in range(3):
        await asyncio.gather(*(object_to(maywe, person, 3) for person in PEOPLE))
    people = [await maywe.find({"type": "customer", "id": person}) for person in PEOPLE[:2]]
    linked = {"type": "customer", "id": PEOPLE[1], "carry_consents": True}
    answered = await maywe.http.post(f"/v1/subjects/{people[0]}/identifiers", json=linked)
    assert answered.status_code == 200, answered.text
    await object_to(maywe, PEOPLE[0], 2)
    rows, _ = await follow(maywe.http, made["cursor"])
    await until(lambda: {message.id for message in receiver.accepted} >= {row["id"] for row in rows})
    assert len(receiver.got) > len(rows), "some failed"
    assert most > 1, "several at once"
    accepted = list(dict.fromkeys(message.id for message in receiver.accepted))
    assert sorted(accepted) == sorted(row["id"] for row in rows)
    assert any(row["merged_into"] for row in rows)
    for later, earlier in ((rows[n], row) for n in range(len(rows)) for row in rows[:n]):
        if people_of(later) & people_of(earlier):
            assert accepted.index(earlier["id"]) < accepted.index(later["id"])


def people_of(row: dict[str, Any]) -> set[str]:
    return {row["subject_id"], row["merged_into"]} - {None}


def counted() -> Counter[str]:
    """What the metrics say became of messages, in this process."""
    words = ("accepted", "refused", "gone", "timeout", "unreachable", "tls", "forbidden-address", "dead")
    name = "maywe_webhook_messages_total"
    return Counter({word: int(REGISTRY.get_sample_value(name, {"outcome": word}) or 0) for word in words})


async def test_one_message_that_is_never_accepted_stops_its_own_person_and_not_for_ever(
    maywe: Maywe, receiver: Receiver
) -> None:
    poison: set[str] = set()

    def is_poison(message: Message) -> bool:
        if not poison and message.data["subject_id"] == ada:
            poison.add(message.id)
        return message.id in poison

    await object_to(maywe, "ada", 2)
    ada = await maywe.find({"type": "customer", "id": "ada"})
    before = counted()
    receiver.answer = refusing(is_poison)
    made = await hook(maywe, receiver.url)
    await object_to(maywe, "ada", 2)
    await object_to(maywe, "grace", 1)
    await receiver.until(2)
    now = await becomes(maywe, made, dead_letters=1, waiting=0)
    assert now["state"] == "active"
    tried = [message.id for message in receiver.got if message.data["subject_id"] == ada]
    assert tried[:3] == [tried[0]] * 3, "in all attempts, before anything later about the same person"
    assert len(set(tried[3:])) == 1
    (letter,) = (await dead_letters(maywe, made))["dead_letters"]
    assert (letter["id"], letter["subject_id"]) == (tried[0], ada)
    assert (letter["attempts"], letter["outcome"]) == (3, "status 500")
    receiver.answer = refusing(lambda _: False)
    assert await act(maywe, made, "dead-letters/replay", ids=[letter["id"]]) == {"replayed": 1}
    await becomes(maywe, made, dead_letters=0, waiting=0)
    assert receiver.accepted[-1].id == letter["id"]
    assert counted() - before == Counter(refused=3, dead=1, accepted=len(receiver.accepted))
    assert await act(maywe, made, "dead-letters/replay", ids=[letter["id"]]) == {"replayed": 0}
    path = f"/v1/webhooks/{made['webhook_id']}/dead-letters"
    expect_problem(await maywe.http.post(f"{path}/replay", json={"ids": ["x"]}), 422, "unknown-row", "/ids/0")
    expect_problem(await maywe.http.get(path, params={"after": "x"}), 422, "unknown-row", "query:after")


@pytest.mark.parametrize("retries", ["0.2,0.2,30"])
async def test_an_endpoint_that_is_down_holds_few_rows_back_and_gets_all_of_them(
    maywe: Maywe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "_WINDOW", 3)
    monkeypatch.setattr(delivering, "_KEPT_BACK", 5)
    receiver.answer = refusing(lambda _: True, 503)
    made = await hook(maywe, receiver.url)
    for n in range(12):
        await object_to(maywe, f"c-{n}")
    await becomes(maywe, made, waiting=5)
    await until(lambda: len(receiver.got) >= 15)
    assert len({message.id for message in receiver.got}) == 5
    receiver.answer = refusing(lambda _: False)
    await act(maywe, made, "resume")  # what waits is tried at once
    await becomes(maywe, made, waiting=0, dead_letters=0)
    await until(lambda: len({message.id for message in receiver.accepted}) == 12)


async def test_dead_letters_come_in_pages_and_are_replayed_together(maywe: Maywe, receiver: Receiver) -> None:
    receiver.answer = refusing(lambda _: True)
    made = await hook(maywe, receiver.url)
    for person in PEOPLE:
        await object_to(maywe, person)
    await becomes(maywe, made, dead_letters=5, waiting=0)
    rows, _ = await follow(maywe.http, made["cursor"])
    first = await dead_letters(maywe, made, limit=3)
    rest = await dead_letters(maywe, made, limit=3, after=first["dead_letters"][-1]["id"])
    assert (first["has_more"], rest["has_more"]) == (True, False)
    listed = [letter["id"] for letter in first["dead_letters"] + rest["dead_letters"]]
    assert listed == [row["id"] for row in rows]
    receiver.answer = refusing(lambda _: False)
    assert await act(maywe, made, "dead-letters/replay") == {"replayed": 5}
    await becomes(maywe, made, dead_letters=0, waiting=0)
    assert sorted(message.id for message in receiver.accepted) == sorted(listed)


async def test_retry_after_lets_the_endpoint_alone(maywe: Maywe, receiver: Receiver) -> None:
    at: list[float] = []

    async def answer(_message: Message) -> Answer:
        at.append(time.monotonic())
        return Answer(429, {"Retry-After": "1"}) if len(at) == 1 else Answer()

    receiver.answer = answer
    await hook(maywe, receiver.url)
    await object_to(maywe, "ada", 2)
    await until(lambda: bool(at))
    await object_to(maywe, "grace")
    await receiver.until(3)
    assert min(at[1:]) - at[0] >= 0.95, "not even for somebody else"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("99999999999", 3600),
        (format_datetime(datetime(2026, 11, 26, 12, 1, tzinfo=UTC), usegmt=True), 60),
        ("Thu, 26 Nov 2026 11:00:00 GMT", 0),
        ("Thu, 26 Nov 2027 11:00:00 GMT", 3600),
        ("Thursday, 26-Nov-26 12:00:30 GMT", 30),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("1.5", None),
        ("١٢", None),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(text: str, seconds: float | None) -> None:
    assert read_retry_after(text, datetime(2026, 11, 26, 12, 0, tzinfo=UTC)) == seconds


async def test_410_disables_and_loses_nothing(maywe: Maywe, receiver: Receiver) -> None:
    receiver.answer = refusing(lambda _: True, 410)
    made = await hook(maywe, receiver.url)
    await object_to(maywe, "ada", 2)
    now = await becomes(maywe, made, state="disabled")
    assert now["reason"] == "gone"
    await object_to(maywe, "grace")
    got = len(receiver.got)
    await asyncio.sleep(0.7)
    assert len(receiver.got) == got == 1
    receiver.answer = refusing(lambda _: False)
    await act(maywe, made, "resume")
    assert len({message.id for message in await receiver.until(3)}) == 3
    await becomes(maywe, made, state="active", reason=None, waiting=0)


async def test_a_redirect_is_a_failure_and_not_followed(maywe: Maywe, receiver: Receiver) -> None:
    async with receiving() as elsewhere:
        receiver.answer = refusing(lambda _: True, 307, Location=elsewhere.url)
        made = await hook(maywe, receiver.url)
        await object_to(maywe, "ada")
        await becomes(maywe, made, dead_letters=1)
        assert elsewhere.connections == 0
    assert (await dead_letters(maywe, made))["dead_letters"][0]["outcome"] == "status 307"


async def test_who_takes_too_long_and_who_does_not_answer_is_tried_again(
    maywe: Maywe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "_PATIENCE", 0.2)

    async def answer(message: Message) -> Answer:
        if message.data["subject_id"] == ada:
            await asyncio.sleep(5)
        if len(receiver.got) < 4:
            raise ConnectionError
        return Answer()

    await object_to(maywe, "ada", 2)
    ada = await maywe.find({"type": "customer", "id": "ada"})
    receiver.answer = answer
    made = await hook(maywe, receiver.url)
    await object_to(maywe, "ada")
    await becomes(maywe, made, dead_letters=1)
    (letter,) = (await dead_letters(maywe, made))["dead_letters"]
    assert letter["outcome"] == "timeout"
    await object_to(maywe, "grace")
    await receiver.until(1)
    receiver.answer = refusing(lambda _: True, 200)
    closed = await hook(maywe, "http://127.0.0.1:9/hook")
    await object_to(maywe, "alan")
    await becomes(maywe, closed, dead_letters=1)
    assert (await dead_letters(maywe, closed))["dead_letters"][0]["outcome"] == "unreachable"


async def test_an_answer_is_not_read_for_ever(maywe: Maywe, receiver: Receiver) -> None:
    async def answer(_message: Message) -> Answer:
        return Answer(200, is_endless=True)

    receiver.answer = answer
    made = await hook(maywe, receiver.url)
    await object_to(maywe, "ada", 2)
    await receiver.until(2, seconds=5)
    await becomes(maywe, made, waiting=0, dead_letters=0)
    assert len(receiver.got) == 2


async def test_when_the_feed_cannot_go_on_the_endpoint_says_so(maywe: Maywe, receiver: Receiver) -> None:
    made = await hook(maywe, receiver.url)
    await act(maywe, made, "pause")
    await object_to(maywe, "ada")
    sql.execute(maywe.url, "UPDATE ledger_head SET epoch = 'begun-anew'")
    path = f"/v1/webhooks/{made['webhook_id']}/resume"
    expect_problem(await maywe.http.post(path, json={}), 410, "cursor-expired", more={"oldest"})
    sql.execute(maywe.url, "UPDATE webhooks SET state = 'active'")
    assert (await becomes(maywe, made, state="disabled"))["reason"] == "cursor-expired"
    assert (await act(maywe, made, "resume", after="now"))["state"] == "active"
    await object_to(maywe, "grace")
    await receiver.until(1)
    _, head = await follow(maywe.http)
    await becomes(maywe, made, cursor=head)
    sql.execute(maywe.url, "UPDATE ledger_head SET position = position - 1")  # as in an older backup
    sql.execute(maywe.url, "UPDATE webhooks SET lease = NULL")
    assert (await becomes(maywe, made, state="disabled"))["reason"] == "cursor-ahead"
    assert (await told(maywe, made))["waiting"] == 0
