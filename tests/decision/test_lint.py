"""Every refusal of lint outside grounds, at its place in the document, and beside each what lint lets pass."""

import re

import pytest

from app.decision.lint import lint, lint_change
from tests.decision.documents import (
    BASE,
    CONTRACT,
    GROUND,
    NEWS,
    REMOVED,
    SECRET,
    Changes,
    found,
    listing,
    read,
    resting,
    within,
)

REFUSED: list[tuple[Changes, str, str]] = [
    ({"/purposes": {}}, "/purposes", "purpose-missing"),
    ({f"{NEWS}/grounds": REMOVED}, f"{NEWS}/grounds", "ground-missing"),
    ({f"{NEWS}/grounds": [], f"{NEWS}/personal": False}, f"{NEWS}/grounds", "ground-missing"),
    ({f"{NEWS}/retention": REMOVED}, f"{NEWS}/retention", "retention-missing"),
    ({f"{NEWS}/data_categories": REMOVED}, f"{NEWS}/data_categories", "data-category-missing"),
    ({"/data_categories/email/sources": REMOVED}, "/data_categories/email/sources", "source-missing"),
    ({"/data_categories/health/sources": []}, "/data_categories/health/sources", "source-missing"),
    # undeclared names
    ({f"{NEWS}/data_categories": ["email", "x"]}, f"{NEWS}/data_categories/1", "undeclared-data-category"),
    (
        {"/recipients/unlisted/data_categories": ["email", "x"]},
        "/recipients/unlisted/data_categories/1",
        "undeclared-data-category",
    ),
    ({f"{NEWS}/recipients": ["mailer", "x"]}, f"{NEWS}/recipients/1", "undeclared-recipient"),
    ({f"{NEWS}/channels": ["email", "fax"]}, f"{NEWS}/channels/1", "undeclared-channel"),
    ({"/identifier_types/email/channel": "fax"}, "/identifier_types/email/channel", "undeclared-channel"),
    # recipients of an enabled purpose
    (listing("mailer", own_purposes=True), "/recipients/mailer/own_purposes", "processor-own-purposes"),
    (listing("mailer", contract=None), "/recipients/mailer/contract", "processor-without-contract"),
    (listing("mailer", contract=" "), "/recipients/mailer/contract", "processor-without-contract"),
    (listing("mailer", country="US"), "/recipients/mailer/transfer_safeguard", "transfer-safeguard-missing"),
    (
        listing("mailer", country="GB", transfer_safeguard=" "),
        "/recipients/mailer/transfer_safeguard",
        "transfer-safeguard-missing",
    ),
    ({**listing("mailer"), "/home": "GB"}, "/recipients/mailer/transfer_safeguard", "transfer-safeguard-missing"),
    (listing("court", disclosure_basis=None), "/recipients/court/disclosure_basis", "disclosure-basis-missing"),
    (listing("court", disclosure_basis=""), "/recipients/court/disclosure_basis", "disclosure-basis-missing"),
    (listing("partner"), "/recipients/partner/disclosure_basis", "disclosure-basis-missing"),
    # values that cannot be read
    *[
        ({f"{NEWS}/retention": text}, f"{NEWS}/retention", "bad-duration")
        for text in ("", "2Y", "P0D", "PT0S", "-P1D", "P1.5Y", "P2Y\n")
    ],
    ({"/home": "UK"}, "/home", "bad-jurisdiction"),
    ({"/default_jurisdiction": "eea"}, "/default_jurisdiction", "bad-jurisdiction"),
    (listing("mailer", country="XX"), "/recipients/mailer/country", "bad-jurisdiction"),
    ({"/recipients/unlisted/country": "Ireland"}, "/recipients/unlisted/country", "bad-jurisdiction"),
    ({"/version": ""}, "/version", "bad-key"),
    ({"/version": "v" * 129}, "/version", "bad-key"),
    ({"/version": "v1\n"}, "/version", "bad-key"),
    ({"/purposes/a b": BASE["purposes"]["news"]}, "/purposes/a b", "bad-key"),
    ({"/data_categories/a~1b": {"sources": ["subject"]}}, "/data_categories/a~1b", "bad-key"),
    ({"/recipients/~0x": BASE["recipients"]["court"]}, "/recipients/~0x", "bad-key"),
    ({"/identifier_types/é": {"normalise": "exact"}}, "/identifier_types/é", "bad-key"),
    ({"/measures/_x": {}}, "/measures/_x", "bad-key"),
]

PASSED: list[Changes] = [
    {},
    {"/material_changes": ["retired_long_ago"]},
    {f"{NEWS}/channels": []},
    {f"{NEWS}/channels": ["email", "sms", "post", "phone", "push", "on_site"]},
    {f"{NEWS}/retention": "PT1S"},
    {"/version": "2026-11.0_a+b:c"},
    {"/version": "v" * 128},
    {"/purposes/old": {"kind": "legal", "enabled": False}},
    {"/purposes/old": {"kind": "legal", "enabled": False, "recipients": ["unlisted", "partner"]}},
    listing("mailer", country="US", transfer_safeguard="standard clauses"),
    listing("mailer", country="NO"),
    {**listing("mailer", country="GB-SCT"), "/home": "GB"},
    listing("partner", disclosure_basis="Art. 6(1)(f)"),
    listing("court", own_purposes=True, country="US"),
]


@pytest.mark.parametrize(("changes", "pointer", "code"), REFUSED)
def test_refused(changes: Changes, pointer: str, code: str) -> None:
    assert found(changes) == [(pointer, code, "error")]


@pytest.mark.parametrize("changes", PASSED)
def test_passed(changes: Changes) -> None:
    assert found(changes) == []


def test_of_a_disabled_purpose_only_unreadable_values_are_found() -> None:
    broken = {
        "kind": "direct_marketing",
        "enabled": False,
        "grounds": [CONTRACT, {"basis": "consent", "expires_after": "soon"}, within({"basis": "consent"}, "UK")],
        "data_categories": ["x"],
        "channels": ["email", "fax"],
        "recipients": ["x", "unlisted"],
        "retention": "P0D",
    }
    assert found({"/purposes/old one": broken}) == [
        ("/purposes/old one", "bad-key", "error"),
        ("/purposes/old one/grounds/1/expires_after", "bad-duration", "error"),
        ("/purposes/old one/grounds/2/jurisdictions/0", "bad-jurisdiction", "error"),
        ("/purposes/old one/retention", "bad-duration", "error"),
    ]


def test_a_recipient_of_several_purposes_is_found_once_for_each_fault() -> None:
    news = {**BASE["purposes"]["news"], "recipients": ["unlisted"]}
    assert found({NEWS: news, "/purposes/more": news}) == [
        ("/recipients/unlisted/contract", "processor-without-contract", "error"),
        ("/recipients/unlisted/own_purposes", "processor-own-purposes", "error"),
        ("/recipients/unlisted/transfer_safeguard", "transfer-safeguard-missing", "error"),
    ]


def test_findings_come_in_document_order() -> None:
    changes = {
        "/version": "",
        "/home": "UK",
        "/default_jurisdiction": "UK",
        "/identifier_types/email/channel": "fax",
        "/data_categories/email/sources": [],
        "/recipients/court/country": "UK",
        f"{NEWS}/kind": "analytics",
        f"{NEWS}/grounds": [{"basis": "legal_obligation", "jurisdictions": ["UK"], "expires_after": "P"}, CONTRACT],
        f"{NEWS}/data_categories": ["x"],
        f"{NEWS}/channels": ["fax"],
        f"{NEWS}/recipients": ["x"],
        f"{NEWS}/retention": REMOVED,
        "/measures/_": {},
    }
    assert [pointer for pointer, _, _ in found(changes)] == [
        "/version",
        "/home",
        "/default_jurisdiction",
        "/identifier_types/email/channel",
        "/data_categories/email/sources",
        "/recipients/court/country",
        f"{GROUND}/basis",
        f"{GROUND}/reference",
        f"{GROUND}/jurisdictions/0",
        f"{GROUND}/expires_after",
        f"{NEWS}/grounds/1/basis",
        f"{NEWS}/data_categories/0",
        f"{NEWS}/channels/0",
        f"{NEWS}/recipients/0",
        f"{NEWS}/retention",
        "/measures/_",
    ]


@pytest.mark.parametrize("code", ["UK", "UK-ENG"])
def test_uk_is_told_to_be_gb(code: str) -> None:
    assert "Write GB for UK" in lint(read({"/default_jurisdiction": code}))[0].detail


def test_a_detail_is_one_sentence_and_repeats_no_free_text() -> None:
    grounds = [within({"basis": "consent", "expires_after": SECRET}, SECRET), {**CONTRACT, "reference": SECRET}]
    changes = {
        **listing("mailer", country=SECRET, own_purposes=True, contract=None, data_categories=[SECRET]),
        **resting("direct_marketing", *grounds, channels=[SECRET]),
        "/version": SECRET,
        "/home": SECRET,
        "/identifier_types/email/channel": SECRET,
        f"{NEWS}/data_categories": [SECRET],
        f"{NEWS}/recipients": ["mailer", SECRET],
        f"{NEWS}/retention": SECRET,
    }
    findings = lint(read(changes))
    assert len(findings) == 15
    for finding in findings:
        assert re.fullmatch(r"[A-Z][^\n]+\.", finding.detail)
        assert SECRET not in finding.detail


KEPT = {"customer": {"normalise": "exact"}, "email": {"normalise": "email"}, "club": {"normalise": "exact"}}


def changed(identifier_types: Changes, in_use: set[str]) -> list[tuple[str, str, str]]:
    before, after = read({"/identifier_types": KEPT}), read({"/identifier_types": identifier_types})
    return [(finding.pointer, finding.code, finding.level) for finding in lint_change(after, before, in_use)]


def test_an_identifier_type_in_use_stays() -> None:
    without = {key: value for key, value in KEPT.items() if key != "club"}
    assert changed(without, {"club", "email"}) == [("/identifier_types/club", "identifier-type-removed", "error")]
    assert changed(without, {"email"}) == []


def test_an_identifier_type_in_use_is_normalised_as_before() -> None:
    otherwise = KEPT | {"email": {"normalise": "exact"}}
    pointer = "/identifier_types/email/normalise"
    assert changed(otherwise, {"email", "club"}) == [(pointer, "identifier-type-changed", "error")]
    assert changed(otherwise, {"club"}) == []


def test_an_identifier_type_may_be_added_and_its_other_fields_changed() -> None:
    more = KEPT | {"phone": {"normalise": "phone"}, "email": {"normalise": "email", "channel": "email"}}
    assert changed(more, {"customer", "email", "club"}) == []


def test_the_first_version_changes_nothing() -> None:
    assert lint_change(read({}), None, {"customer", "email", "club"}) == []
