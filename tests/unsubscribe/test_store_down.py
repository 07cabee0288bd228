"""When the database is gone: what needs it says try again, what does not need it does not ask it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.addressing import Subject
from app.crypto import Secrets
from app.links import Minter, Wanted
from app.publishing import parse
from tests.harness.databases import Databases
from tests.harness.service import served, settings_for
from tests.unsubscribe.test_one_click import ONE_CLICK, damaged


@pytest.fixture(scope="module", params=("sqlite", "postgresql"))
def down(request: pytest.FixtureRequest, databases: Databases) -> Iterator[httpx.Client]:
    """A server that is up and whose database is not there any more."""
    url = databases.make(str(request.param))
    if request.param == "sqlite":
        file = Path(url.removeprefix("sqlite:///"))
        url = f"sqlite:///{file.parent / f'only-{file.stem}' / file.name}"
        Path(url.removeprefix("sqlite:///")).parent.mkdir()
        shutil.copy(file, url.removeprefix("sqlite:///"))
    with served(url) as (address, _):
        if request.param == "sqlite":
            shutil.rmtree(Path(url.removeprefix("sqlite:///")).parent)
        else:
            databases.drop(url)
        with httpx.Client(base_url=address, timeout=60) as client:
            yield client


@pytest.fixture(scope="module")
def token(newsletter: dict[str, Any]) -> str:
    """A good token, made without a server."""
    current, previous = settings_for("sqlite:///unused.db").key_bytes()
    minter = Minter(parse(newsletter), Secrets(current, previous), public_url="https://shop.example", mailbox=None)
    made = minter.mint(Wanted(Subject("email", "ada@example.com"), "offers", "email"))
    return made.url.rpartition("/")[2]


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


def test_only_failed_signatures_are_limited(down: httpx.Client, token: str) -> None:
    answers = [down.get(f"/u/{'A' * 100}{n}") for n in range(700)]
    assert {answer.status_code for answer in answers} == {404, 429}
    assert int(answers[-1].headers["retry-after"]) > 0
    assert down.post(f"/u/{token}").status_code == 503, "a good one is not"
