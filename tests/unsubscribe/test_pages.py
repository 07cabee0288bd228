"""What the pages say: in every language the same things, in the language that is wanted."""

import re
from typing import Any

import pytest

from app.doors.pages import LANGUAGES, messages
from tests.unsubscribe.website import Website


def flat(said: dict[Any, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in said.items():
        value = dict(enumerate(value)) if isinstance(value, list) else value
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def test_every_language_says_everything_with_the_same_gaps() -> None:
    english = flat(messages("en"))
    assert set(LANGUAGES) == {"en", "de"}
    for language in LANGUAGES:
        said = flat(messages(language))
        assert said.keys() == english.keys()
        for name, text in said.items():
            assert re.findall(r"\{\w+\}", text) == re.findall(r"\{\w+\}", english[name]), name
            assert text.strip()


@pytest.mark.parametrize(
    ("query", "linked", "header", "expected"),
    [
        ("", None, None, "en"),
        ("", None, "de-AT,de;q=0.9,en;q=0.5", "de"),
        ("", None, "fr, en;q=0.2, de;q=0.7", "de"),
        ("", None, "de;q=0, *", "en"),
        ("", None, ";;;q=x,,", "en"),
        ("", "de", "en", "de"),
        ("?lang=en", "de", "de", "en"),
        ("?lang=fr", "de", "en", "de"),
        ("", "fr", "de", "de"),
    ],
)
def test_the_language_of_the_page(
    site: Website, query: str, linked: str | None, header: str | None, expected: str
) -> None:
    path = site.path(site.stranger(), language=linked)
    headers = {} if header is None else {"Accept-Language": header}
    answer = site.open.get(path + query, headers=headers)
    assert f'<html lang="{expected}">' in answer.text
    assert answer.headers["content-language"] == expected
    assert ("Angebote und Neues" if expected == "de" else "Offers and news") in answer.text


def test_words_that_are_not_translated_are_marked(site: Website) -> None:
    page = site.open.get(site.path(site.stranger(), "recommendations", None, language="de")).text
    assert '<strong lang="en">Recommendations</strong>' in page


def test_words_of_the_catalogue_are_text_and_not_markup(site: Website) -> None:
    page = site.open.get(site.path(site.stranger()), params={"lang": '"><script>'}).text
    assert "<script" not in page
