"""The pages in a real browser: with the mouse, with the keyboard alone, without script, for everybody (WCAG 2.2 AA)."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, expect, sync_playwright

from tests.unsubscribe import browser
from tests.unsubscribe.scenes import SCENES, Scene
from tests.unsubscribe.website import Website, token_of

pytestmark = [
    pytest.mark.skipif(browser.executable() is None, reason=browser.MISSING),
    pytest.mark.parametrize("site", ["sqlite"], indirect=True, scope="session"),  # the pages are the same on both
]


@pytest.fixture(scope="module")
def playwright(site: Website) -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def context(playwright: Playwright) -> Iterator[BrowserContext]:
    with browser.opened(playwright, viewport={"width": 1280, "height": 900}) as opened:
        yield opened


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    yield page
    page.close()


def test_click_the_link_press_the_one_button(page: Page, site: Website) -> None:
    who = site.person()
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))
    page.goto(site.address + site.path(who))
    expect(page).to_have_title("Unsubscribe \u2013 Little Shop")
    page.get_by_role("button", name="Unsubscribe", exact=True).click()
    expect(page).to_have_title("You are unsubscribed \u2013 Little Shop")
    status = page.get_by_role("status").inner_text()
    assert "You are unsubscribed" in status
    assert "Offers and news" in status
    assert page.url.startswith(f"{site.address}/u/"), "no redirect"
    assert page.context.cookies() == []
    assert {url.split("/")[2] for url in asked_for} == {site.address.split("/")[2]}, "nothing from elsewhere"
    assert site.ask(who) == (False, "consent_withdrawn")
    assert site.ask(who, "order_updates") == (True, "contract")


def test_with_the_keyboard_alone(page: Page, site: Website) -> None:
    who = site.person()
    page.goto(site.address + site.path(who))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Unsubscribe", "the button comes first"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is seen"
    page.keyboard.press("Enter")
    page.get_by_role("status").wait_for()
    assert site.ask(who) == (False, "consent_withdrawn")
    page.get_by_role("link", name="Choose in detail").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/preferences/**")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "purpose:catalogue_by_post:post":
            break
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.get_by_role("status").wait_for()
    assert site.ask(who, "catalogue_by_post", "post") == (False, "objected_to_marketing")


def test_without_script(playwright: Playwright, site: Website) -> None:
    who = site.person()
    with browser.opened(playwright, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(site.address + site.path(who))
        page.get_by_role("button", name="Stop all marketing").click()
        expect(page).to_have_title(re.compile("^You are unsubscribed"))
        page.goto(f"{site.address}/preferences/{token_of(site.link(who))}")
        page.get_by_label("Better products").check()
        page.get_by_role("button", name="Stop what is ticked").click()
        assert "Off: Better products" in page.get_by_role("status").inner_text()
    assert site.ask(who) == (False, "objected_to_marketing")
    assert site.ask(who, "improvement", None) == (False, "objected")


def test_a_click_by_mistake_is_undone(page: Page, site: Website) -> None:
    who = site.person()
    page.goto(site.address + site.path(who, "catalogue_by_post", "post"))
    page.get_by_role("button", name="Unsubscribe").click()
    assert site.ask(who, "catalogue_by_post", "post")[0] is False
    page.get_by_role("button", name="Undo").click()
    expect(page).to_have_title(re.compile("^Undone"))
    assert site.ask(who, "catalogue_by_post", "post")[0] is True


def test_back_and_again_is_harmless(page: Page, site: Website) -> None:
    who = site.person()
    page.goto(site.address + site.path(who))
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page).to_have_title(re.compile("^You are unsubscribed"))
    page.go_back()
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page).to_have_title(re.compile("^You are unsubscribed"))
    assert site.ask(who) == (False, "consent_withdrawn")


def test_the_language_can_be_chosen_on_the_page(page: Page, site: Website) -> None:
    page.goto(site.address + site.path(site.person()))
    page.get_by_role("link", name="Deutsch").click()
    assert page.locator("html").get_attribute("lang") == "de"
    assert "Angebote und Neues" in page.get_by_role("main").inner_text()
    page.get_by_role("button", name="Abbestellen").click()
    expect(page).to_have_title(re.compile("^Sie sind abgemeldet"))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_everybody_can_use_it(page: Page, site: Website, scene: Scene) -> None:
    scene.go(page, site)
    browser.assert_everybody_can_use(page)
