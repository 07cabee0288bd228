"""One running application per engine for all tests of the doors: each test asks about people of its own."""

from collections.abc import AsyncGenerator

import pytest

from tests.conftest import ENGINES, catalogue
from tests.harness.databases import Databases
from tests.harness.service import Maywe, in_process


@pytest.fixture(scope="session", params=ENGINES)
async def service(request: pytest.FixtureRequest, databases: Databases) -> AsyncGenerator[Maywe]:
    """The application with the shop's catalogue; for tests that publish nothing and revoke nothing."""
    async with in_process(databases.make(request.param)) as running:
        await running.publish(catalogue("scenarios/catalogue.yaml"))
        yield running
