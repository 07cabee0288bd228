"""What goes on beside the requests ends with the block, whatever becomes of its being cancelled."""

import asyncio
import contextlib

import pytest

from app import background


async def test_work_that_loses_its_cancellation_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a driver does that turns it into an error of its own: a server that is told to stop has to stop."""
    monkeypatch.setattr(background, "_AGAIN", 0.01)
    lost = 0

    async def work() -> None:
        nonlocal lost
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            lost += 1
        await asyncio.sleep(3600)

    async def serve() -> None:
        async with background.kept_up(work):
            await asyncio.sleep(0.01)

    ended, _ = await asyncio.wait([asyncio.create_task(serve())], timeout=5)
    assert ended
    assert lost == 3
