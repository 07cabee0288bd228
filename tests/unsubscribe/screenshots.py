"""Pictures of every page, narrow and wide, light and dark: python -m tests.unsubscribe.screenshots FOLDER."""

import asyncio
import sys
from contextlib import closing
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

from tests.conftest import catalogue
from tests.harness.databases import Databases
from tests.harness.service import served
from tests.unsubscribe import browser
from tests.unsubscribe.conftest import prepare
from tests.unsubscribe.scenes import SCENES
from tests.unsubscribe.website import Website

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (320, 1280)


def take(folder: Path, site: Website) -> None:
    """One picture per page, width and colour scheme."""
    with sync_playwright() as playwright:
        for scheme in SCHEMES:
            with browser.opened(playwright, color_scheme=scheme) as context:
                page = context.new_page()
                for scene in SCENES:
                    scene.go(page, site)
                    for width in WIDTHS:
                        page.set_viewport_size({"width": width, "height": 640})
                        page.screenshot(path=folder / f"{scene.name}-{width}-{scheme}.png", full_page=True)


def main(folder: Path) -> None:
    """Start a server of its own and take the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(Databases()) as databases:
        url = databases.make("sqlite")
        key = asyncio.run(prepare(url, catalogue("unsubscribe/catalogue.yaml")))
        with served(url) as (address, _), Website(address, key, url) as site:
            take(folder, site)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
