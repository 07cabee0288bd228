"""A shop with marketing by e-mail, on a real server, and links into it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import catalogue
from tests.harness.databases import Databases
from tests.harness.service import command, served
from tests.unsubscribe.website import Website


@pytest.fixture(scope="session")
def newsletter() -> dict[str, Any]:
    return catalogue("unsubscribe/catalogue.yaml")


@pytest.fixture(scope="module", params=("sqlite", "postgresql"))
def site(request: pytest.FixtureRequest, databases: Databases, newsletter: dict[str, Any]) -> Iterator[Website]:
    """A server on loopback, the catalogue published; one per file of tests and engine."""
    url = databases.make(str(request.param))
    key = command(
        url, "keys", "create", "shop", *(word for scope in Website.SCOPES for word in ("--scope", scope))
    ).strip()
    with served(url) as (address, _), Website(address, key, url) as site:
        site.publish(newsletter)
        yield site
