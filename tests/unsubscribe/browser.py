"""A real Chromium, as Debian packages it, driven by Playwright."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, Playwright

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


def assert_everybody_can_use(page: Page) -> None:
    """No violation that axe-core finds, light or dark; nothing to scroll sideways at 320 px, nor with large type."""
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ["cat.color"]})):  # nothing else differs in the dark
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options=rules)
        assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    for target in page.locator("button, a, input[type=checkbox]").all():
        box = target.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24, "too small to hit (WCAG 2.2, 2.5.8)"
    page.set_viewport_size({"width": 640, "height": 640})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert page.evaluate("document.documentElement.scrollWidth") == 640


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
