"""The pages that say what went wrong: how to get to each."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from app import preferring
from app.addressing import Subject
from app.crypto import Secrets
from app.links import Minter, Wanted
from app.publishing import parse
from tests.harness.service import served, settings_for

SECRETS = Secrets(*settings_for("sqlite:///unused.db").key_bytes())


class Failure(NamedTuple):
    """A page of a server whose database is gone."""

    name: str
    path: str
    status: int


@contextmanager
def served_without(database_url: str) -> Iterator[str]:
    """The address of a server that is up and whose database, a copy of this embedded one, is not there any more."""
    file = Path(database_url.removeprefix("sqlite:///"))
    folder = file.parent / f"only-{file.stem}"
    folder.mkdir()
    shutil.copy(file, folder)
    with served(f"sqlite:///{folder / file.name}") as (address, _):
        shutil.rmtree(folder)
        yield address


def good_token(document: dict[str, Any]) -> str:
    """A good token, made without a server."""
    minter = Minter(parse(document), SECRETS, public_url="https://shop.example", mailbox=None)
    return minter.mint(Wanted(Subject("email", "ada@example.com"), "offers", "email")).url.rpartition("/")[2]


def failures(token: str) -> list[Failure]:
    """Try again, a link that is no link, a page that has ended."""
    ended = preferring.Session("sub_of_nobody", datetime.now(UTC) - timedelta(hours=1), None)
    return [
        Failure("try-again", f"/u/{token}", 503),
        Failure("no-link", "/u/made-up", 404),
        Failure("ended", f"/preferences/{preferring.write_session(SECRETS, ended)}", 410),
    ]


def too_many(client: httpx.Client) -> Failure:
    """The page for an address from which too many came of the last; from then on it gets no other."""
    while client.get("/u/made-up").status_code != 429:
        """Fewer than too many."""
    return Failure("too-many", "/u/made-up", 429)
