"""A shop with marketing by e-mail, on a real server, and links into it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from app import administering
from app.crypto import Secrets
from app.scopes import SCOPES
from app.storage.database import Database
from app.storage.store import Store
from tests.conftest import catalogue
from tests.harness.databases import Databases
from tests.harness.service import served, settings_for
from tests.unsubscribe.website import Website


@pytest.fixture(scope="session")
def newsletter() -> dict[str, Any]:
    return catalogue("unsubscribe/catalogue.yaml")


@pytest.fixture(scope="session", params=("sqlite", "postgresql"))
def site(request: pytest.FixtureRequest, databases: Databases, newsletter: dict[str, Any]) -> Iterator[Website]:
    """A server on loopback with the catalogue published; people are new in each test."""
    url = databases.make(str(request.param))
    key = asyncio.run(prepare(url, newsletter))
    with served(url) as (address, _), Website(address, key, url) as site:
        yield site


async def prepare(url: str, document: dict[str, Any]) -> str:
    """Publish a catalogue, and make a key with every scope."""
    current, previous = settings_for(url).key_bytes()
    database, now = Database(url), datetime.now(UTC)
    store = Store(database, Secrets(current, previous))
    try:
        await administering.publish(store, document, now=now)
        return await administering.create_key(store, "shop", SCOPES, now=now, expires_at=None)
    finally:
        await database.close()
