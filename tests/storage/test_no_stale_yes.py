"""No stale yes: a check that starts after a change was acknowledged is decided on it, whichever worker answers."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx

from app import administering
from tests.harness import sql
from tests.harness.service import NO_TLS, Maywe, served

ON = {"purpose": "offers", "channel": "email", "choice": "give"}
OFF = {"purpose": "offers", "channel": "email", "choice": "withdraw"}
CHECKS = 6  # right after each change, on connections of their own
ROUNDS = 2


class Shop:
    """Two workers, and what their callers do; each request comes on a connection of its own, so to either worker."""

    def __init__(self, maywe: Maywe, http: httpx.AsyncClient) -> None:
        self.maywe = maywe
        self.http = http

    async def done(self, path: str, body: dict[str, Any]) -> Any:
        answer = await self.http.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def customer(self, n: int, *choices: dict[str, Any]) -> tuple[dict[str, str], str]:
        """Somebody whom offers may be sent to, unless other choices are given."""
        subject = {"type": "customer", "id": f"c-{n}"}
        body = {"subject": subject, "choices": choices or (ON,), "notice": "conformance-1", "method": "web_form"}
        return subject, (await self.done("/v1/choices", body))["subject_id"]


async def test_no_check_answers_yes_after_a_no_was_acknowledged(maywe: Maywe, shop: dict[str, Any]) -> None:
    key = {"Authorization": f"Bearer {await maywe.key()}"}
    fresh = httpx.Limits(max_keepalive_connections=0)
    with served(maywe.url, workers=2) as (address, _):
        async with httpx.AsyncClient(base_url=address, headers=key, limits=fresh, timeout=30, verify=NO_TLS) as http:
            workers = Shop(maywe, http)
            await after_a_change_to_the_person(workers)
            await after_a_revocation(workers)
            await after_a_publication(workers, shop)


async def everywhere(shop: Shop, subject: dict[str, str], expected: bool) -> None:
    """Ask at every door at once, each on a fresh connection."""
    question = {"subject": subject, "purpose": "offers", "channel": "email"}
    doors: list[tuple[str, dict[str, Any]]] = [
        ("/v1/check", question),
        ("/v1/check/batch", {"checks": [question] * 2}),
        ("/v1/check/all", {"subject": subject}),
    ]
    answers = await asyncio.gather(*(shop.done(*doors[n % 3]) for n in range(CHECKS)))
    assert [_offers(answer) for answer in answers] == [expected] * CHECKS


def _offers(answer: dict[str, Any]) -> bool:
    decisions = answer.get("decisions", [answer])
    return any(d["decision"] for d in decisions if (d["purpose"], d["channel"]) == ("offers", "email"))


Change = Callable[[Shop, dict[str, str], str, int], Awaitable[None]]


async def withdraw(shop: Shop, subject: dict[str, str], _subject_id: str, _n: int) -> None:
    await shop.done("/v1/choices", {"subject": subject, "choices": [OFF], "method": "email"})


async def erase(shop: Shop, _subject: dict[str, str], subject_id: str, _n: int) -> None:
    await shop.done(f"/v1/subjects/{subject_id}/erasure", {})


async def restrict(shop: Shop, subject: dict[str, str], _subject_id: str, _n: int) -> None:
    await shop.done("/v1/facts", {"subject": subject, "facts": [{"fact": "restriction_started"}]})


async def merge(shop: Shop, _subject: dict[str, str], subject_id: str, n: int) -> None:
    """Somebody who said no turns out to be the same person."""
    other, _ = await shop.customer(1000 + n, {"scope": "all_marketing", "choice": "object"})
    await shop.done(f"/v1/subjects/{subject_id}/identifiers", other)


async def hear(shop: Shop, _subject: dict[str, str], subject_id: str, n: int) -> None:
    """A device that said no is attached."""
    device = {"type": "device", "id": f"d-{n}"}
    await shop.done("/v1/choices", {"subject": device, "choices": [{"scope": "all_marketing", "choice": "object"}]})
    await shop.done(f"/v1/subjects/{subject_id}/identifiers", device)


async def after_a_change_to_the_person(workers: Shop) -> None:
    changes: list[Change] = [withdraw, erase, restrict, merge, hear]
    for n, change in enumerate(changes * ROUNDS):
        subject, subject_id = await workers.customer(n)
        await everywhere(workers, subject, expected=True)
        await change(workers, subject, subject_id, n)
        await everywhere(workers, subject, expected=False)


async def after_a_publication(workers: Shop, shop: dict[str, Any]) -> None:
    subject, _ = await workers.customer(1)
    for n in range(ROUNDS):
        is_on = n % 2 == 1
        purposes = {**shop["purposes"], "offers": {**shop["purposes"]["offers"], "enabled": is_on}}
        document = {**shop, "version": f"v{n}", "effective_from": None, "purposes": purposes}
        answer = await workers.http.put("/v1/catalogue", json=document)
        assert answer.status_code == 201, answer.text
        await everywhere(workers, subject, expected=is_on)


async def after_a_revocation(workers: Shop) -> None:
    """Requests of another key go on meanwhile, so that some worker reads the keys between identifying the caller
    and answering it."""
    subject, _ = await workers.customer(1)
    question = {"subject": subject, "purpose": "offers", "channel": "email"}

    def ask(key: str | None) -> Awaitable[httpx.Response]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return workers.http.post("/v1/check", json=question, headers=headers)

    for _ in range(ROUNDS):
        key = await workers.maywe.key("check")
        before = await asyncio.gather(*(ask(key) for _ in range(CHECKS)))
        assert {answer.status_code for answer in before} == {200}
        assert await administering.revoke_key(workers.maywe.store, key.split("_")[1], now=datetime.now(UTC))
        mixed = await asyncio.gather(*(ask((key, None)[n % 2]) for n in range(2 * CHECKS)))
        assert [answer.status_code for answer in mixed] == [401, 200] * CHECKS


async def test_a_key_revoked_elsewhere_is_refused_by_every_request_at_once(maywe: Maywe) -> None:
    """Whichever of them reads the keys again: those that were let in before that are refused too."""
    key = await maywe.key("check")
    headers = {"Authorization": f"Bearer {key}"}
    question = {"subject": {"type": "customer", "id": "c-1"}, "purpose": "offers", "channel": "email"}
    assert (await maywe.http.post("/v1/check", json=question, headers=headers)).status_code == 200
    sql.execute(
        maywe.url,
        "UPDATE api_keys SET revoked_at = created_at WHERE key_id = :key_id",
        "UPDATE ledger_head SET keys_serial = keys_serial + 1",
        key_id=key.split("_")[1],
    )
    answers = await asyncio.gather(*(maywe.http.post("/v1/check", json=question, headers=headers) for _ in range(40)))
    assert {answer.status_code for answer in answers} == {401}
