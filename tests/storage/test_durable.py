"""Durable: when the first octet of a 2xx leaves, whoever looks already sees what was written."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.main import create_app
from tests.harness import sql
from tests.harness.service import Maywe, settings_for

ADA = {"type": "email", "id": "ada@example.com"}
OFF = {"purpose": "offers", "channel": "email", "choice": "withdraw"}


class Witness:
    """Stands between the application and its callers; looks into the database the moment an answer begins."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        self._app = app
        self._url = url
        self.seen: list[tuple[int, int]] = []  # entries in the ledger, identifiers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                counts = "SELECT (SELECT count(*) FROM ledger), (SELECT count(*) FROM identifiers)"
                self.seen += [(entries, held) for entries, held in sql.rows(self._url, counts)]
            await send(message)

        await self._app(scope, receive, sending)


@pytest.fixture
async def witnessed(maywe: Maywe) -> AsyncGenerator[tuple[httpx.AsyncClient, Witness]]:
    app = create_app(settings_for(maywe.url))
    async with app.router.lifespan_context(app):
        witness = Witness(app, maywe.url)
        headers = {"Authorization": maywe.http.headers["Authorization"]}
        transport = httpx.ASGITransport(app=witness)
        async with httpx.AsyncClient(transport=transport, base_url="http://maywe.test", headers=headers) as http:
            yield http, witness


async def test_what_is_answered_is_committed(
    witnessed: tuple[httpx.AsyncClient, Witness], shop: dict[str, Any]
) -> None:
    http, witness = witnessed
    made = await http.post("/v1/choices", json={"subject": ADA, "choices": [OFF]})
    one = made.json()["subject_id"]
    await http.post("/v1/facts", json={"subject": ADA, "facts": [{"fact": "restriction_started"}]})
    linked = await http.post(f"/v1/subjects/{one}/identifiers", json={"type": "customer", "id": "c-1"})
    await http.delete(f"/v1/subjects/{one}/identifiers/{linked.json()['identifier_id']}")
    await http.put("/v1/catalogue", json={**shop, "version": "conformance-2"})
    keyed = {"subject": ADA, "choices": [{**OFF, "channel": "sms"}]}
    await http.post("/v1/choices", json=keyed, headers={"Idempotency-Key": "k"})
    await http.post(f"/v1/subjects/{one}/erasure", json={})
    assert witness.seen == [(2, 1), (3, 1), (4, 2), (5, 1), (6, 1), (7, 1), (8, 0)]
