"""The application as it delivers to a receiver on loopback, without the long pauses between attempts."""

from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from tests.harness.databases import Databases
from tests.harness.service import Maywe, in_process
from tests.webhooks.receiver import Receiver, receiving

LOOPBACK = "127.0.0.0/8"
RETRIES = "0.05,0.05"


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving() as listening:
        yield listening


@pytest.fixture
def retries() -> str:
    """Seconds between attempts; tests that need others parametrize it."""
    return RETRIES


@pytest.fixture
async def maywe(
    databases: Databases, engine: str, published: Callable[[str], Awaitable[str]], retries: str
) -> AsyncGenerator[Maywe]:
    """The application on a fresh database, which may post to loopback."""
    url = databases.copy(await published(engine))
    async with in_process(url, webhook_networks=LOOPBACK, webhook_retries=retries) as running:
        yield running
    databases.drop(url)
