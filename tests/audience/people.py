"""A small town in which everything that can happen to people happened to somebody."""

import random
from typing import Any

from tests.harness.service import Maywe

PURPOSES = (
    ("offers", ("email", "sms")),
    ("postal_offers", ("post",)),
    ("recommendations", (None,)),
    ("ads", (None,)),
    ("statistics", (None,)),
    ("support", (None,)),
    ("health_advice", (None,)),
)
FACTS: tuple[dict[str, Any], ...] = (
    {"fact": "contract_started", "reference": "order"},
    {"fact": "restriction_started"},
    {"fact": "restriction_started", "data_categories": ["email"]},
    {"fact": "child", "until": "2099-01-01", "guardian_authorised": False},
    {"fact": "sale", "reference": "order", "opt_out_offered": True, "own_similar_products": True},
)


async def populate(maywe: Maywe, *, people: int, seed: int) -> list[dict[str, Any]]:
    """People with random histories, links, attached devices, erasures; returns every identifier ever used."""
    chance = random.Random(seed)
    names = [identifier for n in range(people) for identifier in _names(n)]
    for n in range(people):
        for name in _names(n):
            for _ in range(chance.randint(0, 2)):
                await maywe.choose(name, _choice(chance), notice="conformance-1")
            if chance.random() < 0.3:
                await maywe.establish(name, chance.choice(FACTS))
    for n in range(people):
        await _join(maywe, chance, *_names(n), stranger=_names(chance.randrange(people))[2])
    return names


def _names(n: int) -> list[dict[str, Any]]:
    return [
        {"type": "customer", "id": f"c-{n}"},
        {"type": "email", "id": f"person{n}@example.com"},
        {"type": "device", "id": f"d-{n}"},
    ]


def _choice(chance: random.Random) -> dict[str, Any]:
    if chance.random() < 0.2:
        scope = chance.choice(["all_marketing", "automation"])
        return {"scope": scope, "choice": chance.choice(["object", "withdraw_objection"])}
    purpose, channels = chance.choice(PURPOSES)
    said = chance.choice(["give", "give", "give", "refuse", "withdraw", "object"])
    if said == "give" and purpose in ("postal_offers", "recommendations"):
        said = "withdraw_objection"
    choice = {"purpose": purpose, "choice": said, "channel": chance.choice(channels)}
    return choice | ({"explicit": True} if purpose == "health_advice" and said == "give" else {})


async def _join(maywe: Maywe, chance: random.Random, *names: dict[str, Any], stranger: dict[str, Any]) -> None:
    """Some become one person with their e-mail address, some hear a device, some are erased."""
    customer, email, device = names
    await maywe.choose(customer, {"purpose": "ads", "choice": "refuse"})
    subject_id = await maywe.find(customer)
    for name in (email, device, stranger):
        if chance.random() < 0.4:
            await maywe.http.post(f"/v1/subjects/{subject_id}/identifiers", json=name)
    if chance.random() < 0.15:
        await maywe.http.post(f"/v1/subjects/{subject_id}/erasure", json={"force": True})
