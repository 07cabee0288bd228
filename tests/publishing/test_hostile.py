"""Texts that are no catalogue: refused at once, saying where, with nothing published and nothing echoed."""

import copy
import json
from typing import Any

import pytest
import yaml

from tests.decision.documents import BASE
from tests.harness.service import Maywe
from tests.harness.stages import Stage, Stages

YAML = {"Content-Type": "application/yaml"}
JSON = {"Content-Type": "application/json"}
SECRET = "secret-of-the-publisher"

BOMB = b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 120))
UNREADABLE_YAML = {
    "aliases": BOMB,
    "an alias of nothing": b"version: *x",
    "a merge key": b"<<: {version: x}",
    "a list never closed": b"version: [1, 2",
    "deep lists": b"[" * 20_000,
    "deep mappings": b"{a: " * 20_000,
    "an object of Python": b"version: !!python/object/apply:os.system [id]",
    "a name twice": b"version: a\nversion: b",
    "a name twice further in": b"purposes:\n  a: {kind: service, kind: legal}",
    "a name that is a number": b"1: x",
    "a name that is a list": b"? [a]\n: x",
    "a name that is nothing": b"~: x",
    "no number": b"version: .nan",
    "no end": b"version: .inf",
    "bytes": b"version: !!binary aGk=",
    "a set": b"version: !!set {a}",
    "no day": b"version: 2026-13-45",
    "two documents": b"version: a\n---\nversion: b",
    "a list": b"[]",
    "nothing": b"",
    "no text": b"\xff\xfe\xfd",
    "half a character": b'version: "\\ud800"',
    "a long number": b"version: " + b"9" * 5000,
    "tabs": b"version:\n\t- x",
}
UNREADABLE_JSON = {
    "a name twice": b'{"version": "a", "version": "b"}',
    "NaN": b'{"version": NaN}',
    "beyond every number": b'{"version": 1e999}',
    "half a character": b'{"version": "\\ud800"}',
    "deep lists": b"[" * 100_000,
    "a list": b"[]",
    "nothing": b"",
    "YAML": b"version: x",
}


@pytest.fixture
async def stage(stages: Stages, engine: str) -> Any:
    base = {**BASE, "version": "lint", "effective_from": "2015-01-01T00:00:00Z"}
    async with stages.stage(engine, base, alone=False) as stage:
        yield stage


@pytest.mark.parametrize("text", UNREADABLE_YAML.values(), ids=UNREADABLE_YAML)
async def test_yaml_that_is_no_catalogue(stage: Stage, text: bytes) -> None:
    await refused(stage, text, YAML, "unreadable-yaml")


@pytest.mark.parametrize("text", UNREADABLE_JSON.values(), ids=UNREADABLE_JSON)
async def test_json_that_is_no_catalogue(stage: Stage, text: bytes) -> None:
    await refused(stage, text, JSON, "unreadable-json")


async def refused(stage: Stage, text: bytes, headers: dict[str, str], slug: str) -> None:
    answer = await stage.send("PUT", "/v1/catalogue", content=text, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["type"] == f"urn:maywe:problem:{slug}"
    assert len(answer.content) < 1000
    assert [v["version"] for v in (await stage.send("GET", "/v1/catalogue/versions")).json()["versions"]] == ["lint"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("version: a\n" + f"title: {SECRET}\n" * 2, "A name stands for the second time at line 3, column 1."),
        (f"version: {SECRET}\npurposes: {{a: *b}}", "Aliases are not accepted at line 2, column 15."),
        (f"version: {SECRET}\npurposes: [", "The text is no YAML at line 2, column 12."),
    ],
)
async def test_the_place_is_told_and_nothing_echoed(stage: Stage, text: str, place: str) -> None:
    answer = await stage.send("PUT", "/v1/catalogue", content=text.encode(), headers=YAML)
    assert answer.json()["detail"] == place
    assert SECRET not in answer.text


@pytest.mark.parametrize("media", ["text/plain", "application/xml", "multipart/form-data", ""])
async def test_other_media(stage: Stage, media: str) -> None:
    answer = await stage.send("PUT", "/v1/catalogue", content=b"version: x", headers={"Content-Type": media})
    assert answer.status_code == 415


async def test_a_text_too_long(stage: Stage) -> None:
    answer = await stage.send("PUT", "/v1/catalogue", content=b"#" * (2**20 + 1), headers=YAML)
    assert answer.status_code == 413


async def test_values_as_yaml_knows_them(maywe: Maywe) -> None:
    """Days and instants without quotes, and the country NO."""
    document = copy.deepcopy(BASE)
    document["version"] = "2026-11-01"
    document["recipients"]["mailer"] |= {"country": "NO", "reviewed_on": "2026-05-01"}
    text = yaml.safe_dump(document).replace("'", "") + "effective_from: 2026-01-01T01:00:00+01:00\n"
    assert "country: NO\n" in text
    assert "reviewed_on: 2026-05-01\n" in text
    answer = await maywe.http.put("/v1/catalogue", content=text.encode(), headers=YAML)
    assert answer.status_code == 201, answer.text
    told = (await maywe.http.get("/v1/catalogue/versions/2026-11-01")).json()
    assert told["recipients"]["mailer"] == document["recipients"]["mailer"]
    assert told["effective_from"] == "2026-01-01T00:00:00Z"
    document["effective_from"] = "2026-01-01T01:00:00+01:00"
    again = await maywe.http.put("/v1/catalogue", json=document)
    assert again.status_code == 200, again.text


async def test_text_beyond_ascii_comes_back_as_it_was(maywe: Maywe) -> None:
    document = {**BASE, "version": "umlauts", "notice": {"title": "Größe \u0000 🧾 \u2028"}}
    answer = await maywe.http.put("/v1/catalogue", json=document)
    assert answer.status_code == 201, answer.text
    told = (await maywe.http.get("/v1/catalogue/versions/umlauts")).json()
    assert told["notice"] == document["notice"]
    assert json.dumps(told)
