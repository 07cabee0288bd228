"""When the database is gone: what needs it says try again, what does not need it does not ask it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import sync_playwright

from tests.harness.databases import Databases
from tests.harness.service import NO_TLS, served
from tests.unsubscribe import browser
from tests.unsubscribe.conftest import prepare
from tests.unsubscribe.failures import Failure, failures, good_token, served_without, too_many
from tests.unsubscribe.test_one_click import ONE_CLICK, damaged

IN_A_BROWSER = pytest.mark.skipif(browser.executable() is None, reason=browser.MISSING)
ON_SQLITE = pytest.mark.parametrize("down", ["sqlite"], indirect=True, scope="module")  # the pages are the same on both


@pytest.fixture(scope="module", params=("sqlite", "postgresql"))
def down(request: pytest.FixtureRequest, databases: Databases, newsletter: dict[str, Any]) -> Iterator[httpx.Client]:
    """A server that is up and whose database is not there any more."""
    url = databases.make(str(request.param))
    asyncio.run(prepare(url, newsletter))
    gone = served_without(url) if request.param == "sqlite" else _served_and_dropped(databases, url)
    with gone as address, httpx.Client(base_url=address, timeout=60, verify=NO_TLS) as client:
        yield client


@contextmanager
def _served_and_dropped(databases: Databases, url: str) -> Iterator[str]:
    with served(url) as (address, _):
        databases.drop(url)
        yield address


@pytest.fixture(scope="module")
def token(newsletter: dict[str, Any]) -> str:
    """A good token, made without a server."""
    return good_token(newsletter)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_good_token_is_told_to_try_again(down: httpx.Client, token: str, method: str, slash: str) -> None:
    answer = down.request(method, f"/u/{token}{slash}", content=ONE_CLICK)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "nothing has been changed yet" in answer.text


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("OPTIONS", 204)])
def test_head_and_options_do_not_ask_it(down: httpx.Client, token: str, method: str, status: int) -> None:
    assert down.request(method, f"/u/{token}").status_code == status


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PUT"])
def test_a_bad_token_is_404_without_looking_anything_up(down: httpx.Client, token: str, method: str) -> None:
    for name, text in damaged(token).items():
        assert down.request(method, f"/u/{text}").status_code == 404, name


@IN_A_BROWSER
@ON_SQLITE
def test_everybody_can_use_the_pages_of_failures(down: httpx.Client, token: str) -> None:
    assert_everybody_can_use(down, *failures(token))


def assert_everybody_can_use(down: httpx.Client, *pages: Failure) -> None:
    with sync_playwright() as playwright, browser.opened(playwright) as context:
        page = context.new_page()
        for failure in pages:
            answer = page.goto(str(down.base_url.join(failure.path)))
            assert answer is not None
            assert answer.status == failure.status
            browser.assert_everybody_can_use(page)


def test_only_failed_signatures_are_limited(down: httpx.Client, token: str) -> None:
    answers = [down.get(f"/u/{'A' * 100}{n}") for n in range(700)]
    assert {answer.status_code for answer in answers} == {404, 429}
    assert int(answers[-1].headers["retry-after"]) > 0
    assert down.post(f"/u/{token}").status_code == 503, "a good one is not"


@IN_A_BROWSER
@ON_SQLITE
def test_everybody_can_use_the_page_that_says_too_many(down: httpx.Client) -> None:
    assert_everybody_can_use(down, too_many(down))
