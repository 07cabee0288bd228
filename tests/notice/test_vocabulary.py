"""The bundled catalogue has every key of the vocabulary drawn from the notice, with its notice lines and DPV terms."""

import csv
from pathlib import Path
from typing import Any

import pytest

from tests.harness.documents import read_yaml

HERE = Path(__file__).parent
CATALOGUE: dict[str, Any] = read_yaml(
    (HERE.parents[1] / "app" / "catalogues" / "belkcase.yaml").read_text(encoding="utf-8")
)
SECTIONS = {"category": "data_categories", "purpose": "purposes", "recipient": "recipients", "measure": "measures"}
# Statement 17 (l.19): figures that identify nobody need a purpose of their own; the vocabulary names none.
BEYOND_THE_VOCABULARY = {("purpose", "anonymous_statistics")}

with (HERE / "vocabulary.csv").open(encoding="utf-8", newline="") as file:
    VOCABULARY = list(csv.DictReader(file))
IN_THE_CATALOGUE = [row for row in VOCABULARY if row["kind"] in SECTIONS]


def keys(kind: str) -> set[str]:
    return {row["key"] for row in VOCABULARY if row["kind"] == kind}


def test_the_vocabulary_is_complete() -> None:
    counts = {kind: len(keys(kind)) for kind in {row["kind"] for row in VOCABULARY}}
    assert counts == {"category": 30, "purpose": 30, "recipient": 18, "source": 4, "measure": 8, "transfer": 2}


@pytest.mark.parametrize("row", IN_THE_CATALOGUE, ids=lambda row: f"{row['kind']}-{row['key']}")
def test_an_entry_has_its_notice_lines_and_dpv_terms(row: dict[str, str]) -> None:
    entry = CATALOGUE[SECTIONS[row["kind"]]][row["key"]]
    assert entry["notice_lines"] == [int(line) for line in row["notice_lines"].split(",")]
    assert entry["dpv"] == row["curies"].split()
    assert entry["title"]
    assert entry["description"]


def test_nothing_is_declared_beyond_the_vocabulary() -> None:
    declared = {(kind, key) for kind, section in SECTIONS.items() for key in CATALOGUE[section]}
    assert declared - {(row["kind"], row["key"]) for row in VOCABULARY} == BEYOND_THE_VOCABULARY


def test_every_source_of_the_vocabulary_is_used_and_no_other() -> None:
    assert {source for c in CATALOGUE["data_categories"].values() for source in c["sources"]} == keys("source")


def test_every_transfer_safeguard_of_the_vocabulary_is_used_and_no_other() -> None:
    used = {recipient.get("transfer_safeguard") for recipient in CATALOGUE["recipients"].values()}
    assert used - {None} == keys("transfer")


@pytest.mark.parametrize("section", SECTIONS.values())
def test_every_entry_is_worded_in_german(section: str) -> None:
    wordings = CATALOGUE["translations"]["de"][section]
    assert wordings.keys() == CATALOGUE[section].keys()
    assert all(wording["title"] and wording["description"] for wording in wordings.values())


def test_payment_and_credit_data_are_used_for_nothing() -> None:
    """The notice passes both on (l.61, l.77) without saying that it collects them (l.8-18)."""
    used = {c for p in CATALOGUE["purposes"].values() if p.get("enabled", True) for c in p["data_categories"]}
    assert CATALOGUE["data_categories"].keys() - used == {"payment", "credit"}
    assert CATALOGUE["purposes"]["credit_check"]["enabled"] is False
