"""Every refusal and warning of lint about grounds, and beside each what lint lets pass."""

import pytest

from app.decision.jurisdictions import EEA
from tests.decision.documents import (
    CONSENT,
    CONTRACT,
    GROUND,
    INTEREST,
    NEWS,
    SALE,
    STATUTE,
    TASK,
    VITAL,
    Changes,
    found,
    resting,
    within,
)

ASSESSED = {**INTEREST, "standing_assessment": {"reference": "LIA-2", "until": "2030-01-01"}}
ENQUIRY = {**INTEREST, "evidence": "enquiry"}
EXPLICIT = {**CONSENT, "explicit": True}
NEVER_EXPIRING = {"basis": "consent"}


@pytest.mark.parametrize(
    ("kind", "ground"),
    [
        *(("direct_marketing", ground) for ground in (CONTRACT, STATUTE, VITAL, TASK)),
        *(("marketing_profiling", ground) for ground in (CONTRACT, STATUTE, VITAL, TASK)),
        *(("analytics", ground) for ground in (CONTRACT, STATUTE, VITAL)),
        ("fraud_prevention", CONTRACT),
    ],
)
def test_a_basis_not_for_the_kind(kind: str, ground: Changes) -> None:
    assert found(resting(kind, CONSENT, ground)) == [(f"{NEWS}/grounds/1/basis", "basis-not-for-kind", "error")]


@pytest.mark.parametrize(
    ("kind", "grounds"),
    [
        ("analytics", (TASK, INTEREST, CONSENT)),
        ("service", (CONTRACT, STATUTE, VITAL, TASK, INTEREST, CONSENT)),
        ("legal", (CONTRACT, STATUTE, VITAL, TASK, INTEREST, CONSENT)),
        ("fraud_prevention", (STATUTE, VITAL, TASK, INTEREST, CONSENT)),
        ("direct_marketing", (INTEREST, CONSENT)),
        ("marketing_profiling", (INTEREST, CONSENT)),
        ("automated_decision", (EXPLICIT, CONTRACT, STATUTE)),
    ],
)
def test_bases_for_the_kind(kind: str, grounds: tuple[Changes, ...]) -> None:
    assert found(resting(kind, *grounds)) == []


@pytest.mark.parametrize("ground", [INTEREST, within(INTEREST, "EEA"), within(INTEREST, "GB", "US")])
def test_an_automated_decision_on_legitimate_interest_outside_gb(ground: Changes) -> None:
    code = "automated-decision-on-legitimate-interest"
    assert found(resting("automated_decision", ground)) == [(f"{GROUND}/basis", code, "error")]


@pytest.mark.parametrize("areas", [["GB"], ["GB-SCT"], ["GB", "GB-SCT"]])
def test_an_automated_decision_on_legitimate_interest_in_gb(areas: list[str]) -> None:
    assert found(resting("automated_decision", within(INTEREST, *areas))) == []


def test_an_automated_decision_needs_explicit_consent() -> None:
    assert found(resting("automated_decision", CONSENT)) == [(f"{GROUND}/explicit", "explicit-missing", "error")]


@pytest.mark.parametrize("ground", [STATUTE, TASK, INTEREST])
@pytest.mark.parametrize("reference", [None, "", " "])
def test_a_reference_missing(ground: Changes, reference: str | None) -> None:
    blank = {**ground, "reference": reference}
    assert found(resting("service", blank)) == [(f"{GROUND}/reference", "reference-missing", "error")]


@pytest.mark.parametrize("kind", ["service", "legal", "analytics", "marketing_profiling"])
def test_a_standing_assessment_is_for_fraud_prevention(kind: str) -> None:
    code = "standing-assessment-not-fraud"
    assert found(resting(kind, ASSESSED)) == [(f"{GROUND}/standing_assessment", code, "error")]
    assert found(resting("fraud_prevention", ASSESSED)) == []


@pytest.mark.parametrize(
    "grounds",
    [
        [INTEREST],
        [ENQUIRY],
        [within(INTEREST, "EEA")],
        [within(INTEREST, "GB")],
        [within(INTEREST, "GB-ENG")],
        [within(INTEREST, "US", "DE")],
        [within(INTEREST, "DE-BY")],
        [INTEREST, within(SALE, "EEA")],
        [INTEREST, within(SALE, "GB")],
        [INTEREST, within(SALE, "GB", "DE", "FR")],
        [INTEREST, within(SALE, "GB", *sorted(EEA))],
        [INTEREST, SALE],
        [within(INTEREST, "GB"), within(SALE, "GB")],
        [within(INTEREST, "GB-NIR"), within(SALE, "EEA", "GB")],
        [within(INTEREST, "DE"), within(SALE, "EEA", "GB")],
    ],
)
@pytest.mark.parametrize("channels", [["email"], ["post", "sms"]])
def test_electronic_marketing_without_sale(grounds: list[Changes], channels: list[str]) -> None:
    changes = resting("direct_marketing", *grounds, channels=channels)
    assert found(changes) == [(f"{GROUND}/evidence", "electronic-marketing-without-sale", "error")]


@pytest.mark.parametrize(
    "grounds",
    [
        [SALE],
        [CONSENT],
        [within(INTEREST, "US", "CA-QC")],
        [INTEREST, within(SALE, "EEA", "GB")],
        [within(SALE, "GB"), INTEREST, within(SALE, "EEA")],
        [SALE, within(INTEREST, "US")],
    ],
)
def test_electronic_marketing_with_sale_or_elsewhere(grounds: list[Changes]) -> None:
    assert found(resting("direct_marketing", *grounds, channels=["email", "sms"])) == []


@pytest.mark.parametrize(
    ("kind", "channels"),
    [
        ("direct_marketing", None),
        ("direct_marketing", []),
        ("direct_marketing", ["post", "phone"]),
        ("service", ["email"]),
        ("marketing_profiling", ["email"]),
    ],
)
def test_what_is_no_electronic_marketing(kind: str, channels: list[str] | None) -> None:
    assert found({**resting(kind, INTEREST), f"{NEWS}/channels": channels}) == []


def test_consent_elsewhere_does_not_replace_an_interest_in_marketing() -> None:
    assert found(resting("direct_marketing", INTEREST, within(CONSENT, "EEA", "GB"), channels=["email"])) == [
        (f"{GROUND}/evidence", "electronic-marketing-without-sale", "error"),
        (f"{NEWS}/grounds/1/jurisdictions", "consent-jurisdiction-beside-wider-ground", "warning"),
    ]


@pytest.mark.parametrize("grounds", [[CONSENT], [CONTRACT], [{**CONTRACT, "explicit": True}, CONSENT]])
def test_a_special_category_without_explicit_consent(grounds: list[Changes]) -> None:
    changes = {**resting("service", *grounds), f"{NEWS}/data_categories": ["email", "health"]}
    code = "special-category-without-explicit-consent"
    assert found(changes) == [(f"{NEWS}/data_categories/1", code, "error")]


def test_a_special_category_with_explicit_consent() -> None:
    assert found({**resting("service", CONTRACT, EXPLICIT), f"{NEWS}/data_categories": ["health"]}) == []


def test_consent_to_marketing_without_expiry_is_warned_of() -> None:
    expected = [(f"{GROUND}/expires_after", "consent-without-expiry", "warning")]
    assert found(resting("direct_marketing", NEVER_EXPIRING)) == expected
    assert found(resting("direct_marketing", CONSENT)) == []
    assert found(resting("service", NEVER_EXPIRING)) == []
    assert found(resting("direct_marketing", INTEREST)) == []


@pytest.mark.parametrize(
    ("areas", "wider"),
    [
        (["DE"], INTEREST),
        (["DE"], within(INTEREST, "EEA")),
        (["EEA"], STATUTE),
        (["US", "GB-SCT"], within(CONTRACT, "GB", "DE")),
    ],
)
def test_consent_in_places_beside_a_wider_ground_is_warned_of(areas: list[str], wider: Changes) -> None:
    code = "consent-jurisdiction-beside-wider-ground"
    expected = [(f"{GROUND}/jurisdictions", code, "warning")]
    assert found(resting("service", within(CONSENT, *areas), wider)) == expected


@pytest.mark.parametrize(
    "grounds",
    [
        [within(CONSENT, "EEA"), within(INTEREST, "EEA", "GB")],
        [within(CONSENT, "EEA"), within(INTEREST, "DE")],
        [within(CONSENT, "EEA"), CONSENT],
        [within(CONSENT, "DE"), within(CONSENT, "EEA")],
        [CONSENT, within(INTEREST, "GB")],
        [within(INTEREST, "DE"), STATUTE],
    ],
)
def test_no_warning_beside_grounds_that_are_not_wider_or_also_consent(grounds: list[Changes]) -> None:
    assert found(resting("service", *grounds)) == []


@pytest.mark.parametrize(
    ("kind", "grounds", "place"),
    [
        ("service", [within(CONTRACT, "DE", "EU")], "/1"),
        ("service", [within(CONTRACT, "UK")], "/0"),
        ("direct_marketing", [within(INTEREST, "UK")], "/0"),
        ("service", [within(CONTRACT)], ""),
        ("service", [within(CONSENT), CONTRACT], ""),
        ("automated_decision", [within(INTEREST)], ""),
        ("direct_marketing", [within(INTEREST)], ""),
    ],
)
def test_jurisdictions_that_cannot_be_read(kind: str, grounds: list[Changes], place: str) -> None:
    changes = resting(kind, *grounds, channels=["email"])
    assert found(changes) == [(f"{GROUND}/jurisdictions{place}", "bad-jurisdiction", "error")]


@pytest.mark.parametrize("ground", [CONSENT, CONTRACT, SALE])
@pytest.mark.parametrize("text", ["P", "P0M", "24 months", ""])
def test_expiry_that_cannot_be_read(ground: Changes, text: str) -> None:
    changes = resting("service", {**ground, "expires_after": text})
    assert found(changes) == [(f"{GROUND}/expires_after", "bad-duration", "error")]
