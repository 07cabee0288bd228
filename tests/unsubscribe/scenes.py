"""Every page there is, each as a way to get to it."""

from collections.abc import Callable
from typing import NamedTuple

from playwright.sync_api import Page

from tests.unsubscribe.website import Website, token_of


class Scene(NamedTuple):
    """A page and how somebody gets there."""

    name: str
    go: Callable[[Page, Website], None]


def _unsubscribe(page: Page, site: Website) -> None:
    page.goto(site.address + site.path(site.person()))


def _done(page: Page, site: Website) -> None:
    _unsubscribe(page, site)
    page.get_by_role("button").first.click()


def _done_with_undo(page: Page, site: Website) -> None:
    page.goto(site.address + site.path(site.person(), "catalogue_by_post", "post"))
    page.get_by_role("button").first.click()


def _undone(page: Page, site: Website) -> None:
    _done_with_undo(page, site)
    page.locator("button[name=undo]").click()


def _preferences(page: Page, site: Website) -> None:
    page.goto(f"{site.address}/preferences/{token_of(site.link(site.person()))}")


def _stopped(page: Page, site: Website) -> None:
    _preferences(page, site)
    page.get_by_role("checkbox").first.check()
    page.locator("button.main").click()


def _signed_in(page: Page, site: Website) -> None:
    made = site.post("/v1/preference-links", {"subject": site.person()}, 200)
    page.goto(f"{site.address}/preferences/{made['url'].rpartition('/')[2]}")


def _saved(page: Page, site: Website) -> None:
    _signed_in(page, site)
    page.get_by_role("checkbox").first.uncheck()
    page.locator("button.main").click()


def _german(page: Page, site: Website) -> None:
    page.goto(f"{site.address}{site.path(site.person(), language='de')}")


def _not_found(page: Page, site: Website) -> None:
    page.goto(f"{site.address}/u/made-up")


SCENES = (
    Scene("unsubscribe", _unsubscribe),
    Scene("unsubscribe-de", _german),
    Scene("done", _done),
    Scene("done-with-undo", _done_with_undo),
    Scene("undone", _undone),
    Scene("preferences", _preferences),
    Scene("preferences-stopped", _stopped),
    Scene("signed-in", _signed_in),
    Scene("signed-in-saved", _saved),
    Scene("not-found", _not_found),
)
