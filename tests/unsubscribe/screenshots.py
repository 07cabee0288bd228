"""Pictures of every page, narrow and wide, light and dark: python -m tests.unsubscribe.screenshots FOLDER."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

import httpx
from playwright.sync_api import Page, Playwright, sync_playwright

from tests.conftest import catalogue
from tests.harness.databases import Databases
from tests.harness.service import served
from tests.unsubscribe import browser
from tests.unsubscribe.conftest import prepare
from tests.unsubscribe.failures import failures, good_token, served_without, too_many
from tests.unsubscribe.scenes import SCENES
from tests.unsubscribe.website import Website

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (320, 1280)


class Photographer:
    """Takes pictures of a page at each width, in both colour schemes."""

    def __init__(self, folder: Path, playwright: Playwright) -> None:
        self._folder = folder
        self._playwright = playwright

    def take(self, name: str, go: Callable[[Page], None]) -> None:
        """The pictures of one page; `go` gets there."""
        for scheme in SCHEMES:
            with browser.opened(self._playwright, color_scheme=scheme) as context:
                page = context.new_page()
                go(page)
                for width in WIDTHS:
                    page.set_viewport_size({"width": width, "height": 640})
                    page.screenshot(path=self._folder / f"{name}-{width}-{scheme}.png", full_page=True)


def main(folder: Path) -> None:
    """Start servers of its own and take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    document = catalogue("unsubscribe/catalogue.yaml")
    with closing(Databases()) as databases:
        url = databases.make("sqlite")
        key = asyncio.run(prepare(url, document))
        with sync_playwright() as playwright:
            photographer = Photographer(folder, playwright)
            with served(url) as (address, _), Website(address, key, url) as site:
                for scene in SCENES:
                    photographer.take(scene.name, partial(scene.go, site=site))
            with served_without(url) as address, httpx.Client(base_url=address) as client:
                told = [failure for failure in failures(good_token(document)) if failure.status != 404]  # a scene too
                for failure in [*told, too_many(client)]:
                    photographer.take(failure.name, partial(_go, url=address + failure.path))


def _go(page: Page, url: str) -> None:
    page.goto(url)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
