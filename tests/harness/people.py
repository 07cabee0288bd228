"""A few people to whom everything happens: one random step of their history at a time, through the public doors."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

IDENTIFIERS = [
    *({"type": "customer", "id": f"c-{n}"} for n in range(5)),
    *({"type": "email", "id": f"person{n}@example.com"} for n in range(4)),
    *({"type": "phone", "id": f"+4915112345{n:02}"} for n in range(2)),
    *({"type": "device", "id": f"device-{n}"} for n in range(4)),
]
_PURPOSES = [
    *((purpose, channel) for purpose in ("offers",) for channel in ("email", "sms")),
    *((purpose, None) for purpose in ("recommendations", "ads", "fraud_checks", "service_consent", "improvement")),
]
_NOES = ("refuse", "withdraw", "object")


class People:
    """Acts on the people, as a client of the API would; which of the steps fail with a refusal is part of it."""

    def __init__(self, http: httpx.AsyncClient, seed: int) -> None:
        self._http = http
        self._random = random.Random(seed)
        self.answers: list[httpx.Response] = []

    async def step(self) -> None:
        """Let something happen to somebody."""
        steps: list[Callable[[], Any]] = [
            *[self._choose] * 6,
            *[self._establish] * 3,
            *[self._link] * 4,
            self._unlink,
            self._erase,
        ]
        await self._random.choice(steps)()

    async def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        answer = await self._http.post(path, json=body)
        self.answers.append(answer)
        return answer

    def _anybody(self) -> dict[str, str]:
        return self._random.choice(IDENTIFIERS)

    def _sometime(self) -> dict[str, str]:
        if self._random.random() < 0.5:
            return {}
        at = datetime.now(UTC) - timedelta(days=self._random.randint(1, 900))
        return {"occurred_at": at.isoformat()}

    async def _choose(self) -> None:
        purpose, channel = self._random.choice(_PURPOSES)
        kind = self._random.random()
        choice: dict[str, Any]
        if kind < 0.2:
            choice = {"scope": "all_marketing", "choice": self._random.choice(("object", "withdraw_objection"))}
        elif kind < 0.5:
            choice = {"purpose": purpose, "channel": channel, "choice": self._random.choice(_NOES)}
        else:
            yes = self._random.choice(("give", "request", "withdraw_objection"))
            choice = {"purpose": purpose, "channel": channel, "choice": yes}
        body = {"subject": self._anybody(), "choices": [choice], "notice": "conformance-1", "method": "web_form"}
        await self._post("/v1/choices", {**body, **self._sometime(), "evidence": {"wording": "as shown"}})

    async def _establish(self) -> None:
        reference = f"order-{self._random.randint(1, 3)}"
        purpose, channel = self._random.choice(_PURPOSES)
        fact = self._random.choice(
            [
                {"fact": "contract_started", "reference": reference},
                {"fact": "contract_ended", "reference": reference},
                {"fact": "sale", "reference": reference, "opt_out_offered": True, "own_similar_products": True},
                {"fact": "restriction_started"},
                {"fact": "restriction_lifted", "data_categories": ["email"]},
                {"fact": "child", "until": "2030-01-01", "guardian_authorised": False},
                {"fact": "objection_upheld", "purpose": purpose, "grounds": "looked into", "decided_by": "clerk"},
                {"fact": "consent_invalidated", "purpose": purpose, "channel": channel, "reason": "never asked"},
            ]
        )
        await self._post("/v1/facts", {"subject": self._anybody(), "facts": [{**fact, **self._sometime()}]})

    async def _somebody(self) -> str | None:
        answer = await self._post("/v1/subjects/find", self._anybody())
        return answer.json().get("subject_id")

    async def _link(self) -> None:
        subject_id = await self._somebody()
        if subject_id is not None:
            body = {**self._anybody(), "carry_consents": self._random.random() < 0.4}
            await self._post(f"/v1/subjects/{subject_id}/identifiers", body)

    async def _unlink(self) -> None:
        subject_id = await self._somebody()
        if subject_id is None:
            return
        read = await self._http.get(f"/v1/subjects/{subject_id}")
        self.answers.append(read)
        held = read.json().get("identifiers")
        if held:
            identifier_id = self._random.choice(held)["identifier_id"]
            self.answers.append(await self._http.delete(f"/v1/subjects/{subject_id}/identifiers/{identifier_id}"))

    async def _erase(self) -> None:
        subject_id = await self._somebody()
        if subject_id is not None:
            await self._post(f"/v1/subjects/{subject_id}/erasure", {"force": self._random.random() < 0.7})

    def refused(self) -> list[str]:
        """The answers that are no answer: anything but done, or refused for a reason the caller can act on."""
        wrong = [a for a in self.answers if a.status_code not in (200, 201, 404, 409, 410, 422)]
        return [f"{answer.request.method} {answer.request.url.path}: {answer.text}" for answer in wrong]


async def answers_about_everybody(http: httpx.AsyncClient) -> dict[str, Any]:
    """Every decision about every one of them."""
    told = {}
    for identifier in IDENTIFIERS:
        answer = await http.post("/v1/check/all", json={"subject": identifier})
        assert answer.status_code == 200, answer.text
        told[identifier["id"]] = [
            {name: decision[name] for name in ("purpose", "channel", "decision", "reason", "basis", "determining")}
            for decision in answer.json()["decisions"]
        ]
    return told
