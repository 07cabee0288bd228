"""What every test may use: both engines, fresh databases, the application with a catalogue in force."""

import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from hypothesis import settings

from app.sweeping import sweep
from tests.harness.databases import Databases
from tests.harness.documents import read_yaml
from tests.harness.service import Maywe, in_process
from tests.harness.stages import Stages

ENGINES = ("sqlite", "postgresql")

settings.register_profile("maywe", deadline=None)  # no test depends on how busy the machine is
settings.load_profile("maywe")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end: looking it over for garbage takes a tenth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What mostly waits comes first, beside what computes, and not when nothing else is left to do."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/webhooks/"))


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    made = Databases()
    yield made
    made.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database_url(databases: Databases, engine: str) -> Iterator[str]:
    url = databases.make(engine)
    yield url
    databases.drop(url)


@pytest.fixture
def shop() -> dict[str, Any]:
    """The catalogue of a small shop, in force since 2015."""
    return catalogue("scenarios/catalogue.yaml")


def catalogue(name: str) -> dict[str, Any]:
    """A catalogue among the tests; its providers were reviewed a month ago."""
    return deepcopy(_catalogue(name, datetime.now(UTC).date()))


@cache
def _catalogue(name: str, _day: date) -> dict[str, Any]:
    document = read_yaml(reviewed((Path(__file__).parent / name).read_text(encoding="utf-8")))
    assert isinstance(document, dict)
    return document


def reviewed(text: str) -> str:
    """The text of a catalogue with REVIEWED being the day a month ago."""
    return text.replace("REVIEWED", (datetime.now(UTC).date() - timedelta(days=30)).isoformat())


@pytest.fixture(scope="session")
async def published(databases: Databases) -> Callable[[str], Awaitable[str]]:
    """Gives the URL of a database, for an engine, in which the shop's catalogue is published and nothing else is."""
    made: dict[str, str] = {}

    async def publish(engine: str) -> str:
        if engine not in made:
            made[engine] = databases.make(engine)
            async with in_process(made[engine]) as running:
                await running.publish(catalogue("scenarios/catalogue.yaml"))
                while await sweep(running.store, datetime.now(UTC)):
                    pass  # nothing is left to be reckoned by it
            await anyio.to_thread.run_sync(databases.await_left, made[engine])
        return made[engine]

    return publish


@pytest.fixture
async def maywe(databases: Databases, engine: str, published: Callable[[str], Awaitable[str]]) -> AsyncGenerator[Maywe]:
    """The application on a fresh database, the shop's catalogue published."""
    url = databases.copy(await published(engine))
    async with in_process(url) as running:
        yield running
    databases.drop(url)


@pytest.fixture(scope="session")
async def stages(databases: Databases) -> AsyncGenerator[Stages]:
    """Where scenarios are played."""
    async with AsyncExitStack() as opened:
        yield Stages(databases, opened)
