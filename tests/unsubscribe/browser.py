"""A real Chromium, as Debian packages it, driven by Playwright."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import BrowserContext, Playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = (  # nothing of its own goes out
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MISSING = (
    "no Chromium here: install it (Debian, Ubuntu: apt-get install chromium; or set MAYWE_TEST_BROWSER to its path)"
)


def executable() -> str | None:
    """The browser of this machine. In CI there has to be one: nothing is left out silently there."""
    named = os.environ.get("MAYWE_TEST_BROWSER")
    found = named or next((path for name in _NAMES if (path := shutil.which(name))), None)
    assert found is not None or os.environ.get("CI") != "true", MISSING
    return found


@contextmanager
def opened(playwright: Playwright, **options: Any) -> Iterator[BrowserContext]:
    """A browser with a new, empty profile."""
    path = executable()
    assert path is not None
    with tempfile.TemporaryDirectory(prefix="maywe-browser-") as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=path, headless=True, args=list(_QUIET), **options
        )
        try:
            yield context
        finally:
            context.close()
