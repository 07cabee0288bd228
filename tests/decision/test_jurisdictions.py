"""Places and areas: which codes there are, what lies within what, and which ground is closer."""

import pytest

from app.decision.catalogue import Ground, Purpose
from app.decision.jurisdictions import COUNTRIES, EEA, closeness, is_jurisdiction, lies_within


@pytest.mark.parametrize("code", ["EEA", "GB", "DE", "NO", "US", "US-CA", "DE-BY", "GB-ENG", "FR-75C", "CA-QC"])
def test_a_jurisdiction(code: str) -> None:
    assert is_jurisdiction(code)


@pytest.mark.parametrize(
    "code",
    [
        "", "UK", "EU", "EL", "XX", "gb", "us-CA", "GBR", "G", "UK-ENG", "EEA-DE", "US-", "US-ca", "US-CALI", "-CA",
        "US-CA-1", "DE\n", " DE", "Germany", "EEA ",
    ],
)  # fmt: skip
def test_no_jurisdiction(code: str) -> None:
    assert not is_jurisdiction(code)


def test_the_countries() -> None:
    assert len(COUNTRIES) == 249
    assert len(EEA) == 30
    assert EEA < COUNTRIES
    assert EEA.isdisjoint({"GB", "CH"})
    assert {"IS", "LI", "NO"} < EEA


@pytest.mark.parametrize(
    ("place", "area"),
    [
        ("DE", "DE"), ("DE", "EEA"), ("IS", "EEA"), ("EEA", "EEA"), ("US-CA", "US"), ("US-CA", "US-CA"),
        ("DE-BY", "DE"), ("DE-BY", "EEA"), ("GB-ENG", "GB"),
    ],
)  # fmt: skip
def test_within(place: str, area: str) -> None:
    assert lies_within(place, area)


@pytest.mark.parametrize(
    ("place", "area"),
    [
        ("EEA", "DE"), ("US", "US-CA"), ("US-NY", "US-CA"), ("GB", "EEA"), ("CH", "EEA"), ("GB-ENG", "EEA"),
        ("EEA", "GB"), ("FR", "DE"), ("DE-BY", "FR"),
    ],
)  # fmt: skip
def test_not_within(place: str, area: str) -> None:
    assert not lies_within(place, area)


def test_closeness_rises_from_everywhere_to_the_place_itself() -> None:
    areas: list[tuple[str, ...] | None] = [("FR", "US"), None, ("EEA",), ("DE",), ("DE-BY",)]
    measured = [closeness(area, "DE-BY") for area in areas]
    assert measured == sorted(set(measured))
    assert measured[0] == -1
    assert measured[1] == 0


def test_the_closest_area_of_a_list_counts() -> None:
    assert closeness(("EEA", "DE"), "DE") == closeness(("DE",), "DE")
    assert closeness(("DE", "EEA"), "FR") == closeness(("EEA",), "FR")
    assert closeness((), "DE") == -1


def test_a_closer_ground_replaces_a_wider_one_of_the_same_basis() -> None:
    everywhere = Ground("legitimate_interest")
    europe = Ground("legitimate_interest", jurisdictions=("EEA",))
    bavaria = Ground("legitimate_interest", jurisdictions=("DE-BY",))
    consent = Ground("consent")
    purpose = Purpose(kind="direct_marketing", grounds=(consent, everywhere, europe, bavaria))
    assert purpose.grounds_in("US") == (consent, everywhere)
    assert purpose.grounds_in("DE") == (consent, europe)
    assert purpose.grounds_in("DE-BY") == (consent, bavaria)
    assert purpose.grounds_in("EEA") == (consent, europe)


def test_grounds_of_one_basis_as_close_as_each_other_all_stay() -> None:
    choice = Ground("consent", jurisdictions=("CA",))
    implied = Ground("consent", jurisdictions=("CA",), evidence="sale")
    purpose = Purpose(kind="direct_marketing", grounds=(choice, implied))
    assert purpose.grounds_in("CA-QC") == (choice, implied)
    assert purpose.grounds_in("US") == ()
