"""No database is worked on without the secret keys it was written under: nobody in it would be found, nor any no."""

import asyncio
import base64
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from app.settings import SettingsError
from tests.harness.processes import Forked
from tests.harness.service import SECRET, Maywe, command_here, environment, free_port, in_process

ADA = {"type": "email", "id": "ada@example.com"}
OBJECT = {"purpose": "recommendations", "choice": "object"}
OTHER = base64.b64encode(b"another secret key for the tests").decode()
THIRD = base64.b64encode(b"a third secret key, of 32 octets").decode()


@pytest.fixture
async def url(database_url: str, shop: dict[str, Any]) -> str:
    """A database in which Ada objected under the first key."""
    async with in_process(database_url) as maywe:
        await maywe.publish(shop)
        await maywe.establish(ADA, {"fact": "informed"})
        await maywe.choose(ADA, OBJECT)
    return database_url


@asynccontextmanager
async def under(url: str, key: str, *previous: str) -> AsyncGenerator[Maywe]:
    async with in_process(url, secret_key=key, previous_secret_keys=previous) as maywe:
        assert (await maywe.ask(ADA, "recommendations"))["reason"] == "objected_to_marketing"
        yield maywe


async def refused(url: str, key: str, *previous: str) -> None:
    with pytest.raises(SettingsError, match="another secret key") as told:
        async with in_process(url, secret_key=key, previous_secret_keys=previous):
            pass
    assert not [one for one in (SECRET, OTHER, THIRD) if one in str(told.value)]


async def test_another_key_is_refused(url: str) -> None:
    await refused(url, OTHER)
    await refused(url, OTHER, THIRD)
    async with under(url, SECRET):
        pass


async def test_a_key_is_needed_as_long_as_the_database_stands(url: str) -> None:
    """Who was known under it may come back at any time."""
    async with under(url, OTHER, SECRET):
        pass
    await refused(url, OTHER)
    await refused(url, SECRET)
    async with under(url, THIRD, OTHER, SECRET):
        pass
    await refused(url, THIRD, SECRET)
    async with under(url, SECRET, THIRD, OTHER):
        pass


async def test_the_command_line_refuses_too(url: str) -> None:
    for arguments in (["keys", "list"], ["verify"], ["catalogue", "show"]):
        done = await command_here(url, *arguments, secret=OTHER)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "another secret key" in done.stderr
    assert (await command_here(url, "keys", "list")).exit_code == 0


async def test_a_server_does_not_start(url: str, tmp_path: Path) -> None:
    said = tmp_path / "stderr"
    process = Forked(
        ("serve", "--port", str(free_port())), environment(url, SECRET_KEY=OTHER), stdout=said, stderr=said
    )
    try:
        assert await asyncio.to_thread(process.wait, 60) == 1
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert "another secret key" in said.read_text()
