"""The notice for people: drawn from the catalogue in force, in their language, without a key."""

import json
from importlib.resources import files
from typing import Any

import httpx
import pytest

from tests.harness.documents import read_yaml
from tests.harness.service import Maywe


@pytest.fixture
async def anybody(maywe: Maywe) -> httpx.AsyncClient:
    """Somebody without a key, before whom the Belkcase catalogue is in force."""
    document: dict[str, Any] = read_yaml(files("app").joinpath("catalogues", "belkcase.yaml").read_bytes())
    document["effective_from"] = "2016-01-01T00:00:00Z"
    await maywe.publish(json.loads(json.dumps(document, default=str)))
    del maywe.http.headers["Authorization"]
    return maywe.http


async def test_every_enabled_purpose_is_there_with_its_reason_and_retention(anybody: httpx.AsyncClient) -> None:
    page = await anybody.get("/notice")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    document = read_yaml(files("app").joinpath("catalogues", "belkcase.yaml").read_bytes())
    for key, purpose in document["purposes"].items():
        assert (f'<section id="{key}">' in page.text) == purpose.get("enabled", True)
    for words in ("Belkcase", "Offers by e-mail", "You agreed; you can withdraw", "The law obliges us", "years"):
        assert words in page.text
    for right in ("Access", "Erasure", "restrict", "portab", "object", "complain"):
        assert right in page.text


async def test_it_is_in_the_language_of_the_reader(anybody: httpx.AsyncClient) -> None:
    page = await anybody.get("/notice", headers={"Accept-Language": "de-AT, en;q=0.5"})
    assert page.headers["content-language"] == "de"
    assert '<html lang="de">' in page.text
    assert "Ihre Rechte" in page.text
    assert "Offers by e-mail" not in page.text


async def test_it_loads_nothing_and_runs_nothing(anybody: httpx.AsyncClient) -> None:
    page = await anybody.get("/notice")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for mark in ("<script", "src=", "@import", "<iframe", "onclick"):
        assert mark not in page.text


async def test_what_a_catalogue_says_is_never_markup(maywe: Maywe, shop: dict[str, Any]) -> None:
    shop["purposes"]["offers"]["title"] = "<script>alert(1)</script>"
    await maywe.publish(shop | {"version": "markup", "effective_from": "2016-01-01T00:00:00Z"})
    page = await maywe.http.get("/notice")
    assert "<script" not in page.text
    assert "&lt;script&gt;" in page.text
