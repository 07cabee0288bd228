"""Many writers on the same few people, from two processes: nobody gets a 5xx, and what is left is whole."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.harness import sql
from tests.harness.effort import effort
from tests.harness.people import People
from tests.harness.service import NO_TLS, Maywe, served
from tests.harness.wholeness import assert_whole

OFF = {"purpose": "offers", "channel": "email", "choice": "withdraw"}
EVERYTHING = {"subject.linked", "subject.merged", "subject.unlinked", "subject.erased", "choice.give"}
ROUNDS = range(effort(2, 10))


@asynccontextmanager
async def two_processes(maywe: Maywe) -> AsyncGenerator[list[httpx.AsyncClient]]:
    """Eight clients, by turns of a server and of the application in this process."""
    key = {"Authorization": f"Bearer {await maywe.key()}"}
    with served(maywe.url) as (address, _):
        async with httpx.AsyncClient(base_url=address, headers=key, timeout=60, verify=NO_TLS) as http:
            yield [maywe.http, http] * 4


async def test_everything_at_once_to_the_same_few_people(maywe: Maywe) -> None:
    async with two_processes(maywe) as clients:
        crowd = [People(client, seed) for seed, client in enumerate(clients)]

        async def act(people: People) -> None:
            for _ in range(effort(20, 100)):
                await people.step()

        for _ in range(5):  # until everything has happened, which chance brings sooner or later
            await asyncio.gather(*(act(people) for people in crowd))
            happened = {kind for (kind,) in sql.rows(maywe.url, "SELECT DISTINCT type FROM ledger")}
            if happened >= EVERYTHING:
                break
    assert happened >= EVERYTHING
    assert [wrong for people in crowd for wrong in people.refused()] == []
    assert await assert_whole(maywe.url) > 100


async def test_what_crosses_on_its_way(maywe: Maywe) -> None:
    """Requests that stand in each other's way: all are answered, in an order that could have been."""
    async with two_processes(maywe) as clients:
        for n in ROUNDS:
            await links_that_cross(maywe, clients, n)
            await one_identifier_claimed_by_everybody(maywe, clients, n)
            await unlinking_twice(maywe, clients, n)
            await erasing_while_writing(maywe, clients, n)
            await a_device_merged_while_its_person_is(maywe, clients, n)
    await assert_whole(maywe.url)


def link(client: httpx.AsyncClient, subject_id: str, identifier: dict[str, str], **more: Any) -> Any:
    return client.post(f"/v1/subjects/{subject_id}/identifiers", json={**identifier, **more})


def withdraw(client: httpx.AsyncClient, subject: dict[str, str]) -> Any:
    return client.post("/v1/choices", json={"subject": subject, "choices": [OFF]})


async def all_at_once(*requests: Any) -> list[httpx.Response]:
    answers: list[httpx.Response] = await asyncio.gather(*requests)
    assert all(answer.status_code < 500 for answer in answers), [answer.text for answer in answers]
    return answers


async def links_that_cross(maywe: Maywe, clients: list[httpx.AsyncClient], n: int) -> None:
    """A to B while B to A, with a write to each: one of them remains, with all identifiers."""
    pair = [{"type": "customer", "id": f"a-{n}"}, {"type": "customer", "id": f"b-{n}"}]
    email = {"type": "email", "id": f"crossing{n}@example.com"}
    one, other = [(await maywe.choose(subject, OFF))["subject_id"] for subject in pair]
    answers = await all_at_once(
        link(clients[0], one, pair[1]),
        link(clients[1], other, pair[0]),
        link(clients[2], one, email),
        withdraw(clients[3], pair[0]),
        withdraw(clients[4], pair[1]),
    )
    assert [answer.status_code for answer in answers] == [200, 200, 200, 201, 201]
    assert len({await maywe.find(subject) for subject in (*pair, email)}) == 1


async def one_identifier_claimed_by_everybody(maywe: Maywe, clients: list[httpx.AsyncClient], n: int) -> None:
    """First choices about the same new person, and links of the same new identifier, at the same instant."""
    new = {"type": "email", "id": f"new{n}@example.com"}
    owners = [{"type": "customer", "id": f"o-{n}-{m}"} for m in range(2)]
    ids = [(await maywe.choose(owner, OFF))["subject_id"] for owner in owners]
    answers = await all_at_once(
        *(withdraw(client, new) for client in clients[:6]),
        *(link(client, owner, new) for client, owner in zip(clients[6:], ids, strict=True)),
    )
    assert [answer.status_code for answer in answers] == [201] * 6 + [200] * 2
    assert len({await maywe.find(subject) for subject in (new, *owners)}) == 1


async def unlinking_twice(maywe: Maywe, clients: list[httpx.AsyncClient], n: int) -> None:
    """Only one unlinking leaves a tombstone; who writes meanwhile writes before it or takes it over."""
    subject = {"type": "customer", "id": f"u-{n}"}
    subject_id = (await maywe.choose(subject, OFF))["subject_id"]
    held = (await maywe.http.get(f"/v1/subjects/{subject_id}")).json()["identifiers"]
    path = f"/v1/subjects/{subject_id}/identifiers/{held[0]['identifier_id']}"
    answers = await all_at_once(
        *(client.delete(path) for client in clients[:5]), *(withdraw(client, subject) for client in clients[5:])
    )
    assert sorted(answer.status_code for answer in answers) == [200, 201, 201, 201, 404, 404, 404, 404]


async def erasing_while_writing(maywe: Maywe, clients: list[httpx.AsyncClient], n: int) -> None:
    """A write comes before the erasure, or starts a new subject that keeps the no; it is never lost between them."""
    subject = {"type": "customer", "id": f"e-{n}"}
    subject_id = (await maywe.choose(subject, OFF))["subject_id"]
    answers = await all_at_once(
        *(client.post(f"/v1/subjects/{subject_id}/erasure", json={}) for client in clients[:3]),
        *(withdraw(client, subject) for client in clients[3:]),
    )
    assert [answer.status_code for answer in answers] == [200] * 3 + [201] * 5
    assert len({answer.json()["erased_at"] for answer in answers[:3]}) == 1
    assert (await maywe.ask(subject, "offers", channel="email", jurisdiction="US"))["decision"] is False


async def a_device_merged_while_its_person_is(maywe: Maywe, clients: list[httpx.AsyncClient], n: int) -> None:
    """What is attached moves with a merge, even when both its ends merge at the same instant: the no of the person is
    still heard on the device."""
    person, namesake = {"type": "customer", "id": f"p-{n}"}, {"type": "customer", "id": f"q-{n}"}
    phone, laptop = {"type": "device", "id": f"phone-{n}"}, {"type": "device", "id": f"laptop-{n}"}
    known = [await maywe.establish(subject, {"fact": "informed"}) for subject in (person, namesake, laptop)]
    person_id, namesake_id, laptop_id = (record["subject_id"] for record in known)
    await maywe.choose(person, {"purpose": "recommendations", "choice": "object"})
    assert (await link(maywe.http, person_id, phone)).json()["attached"] is True
    answers = await all_at_once(
        link(clients[0], namesake_id, person), link(clients[1], laptop_id, phone, carry_consents=True)
    )
    assert [answer.status_code for answer in answers] == [200, 200]
    for device in (phone, laptop):
        assert (await maywe.ask(device, "recommendations"))["reason"] == "objected_to_marketing"
