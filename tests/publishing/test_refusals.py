"""Everything lint refuses or warns of, as a publisher sees it: over HTTP, and from the command line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli import main
from tests.decision.documents import (
    BASE,
    CONSENT,
    CONTRACT,
    GROUND,
    INTEREST,
    NEWS,
    REMOVED,
    STATUTE,
    TASK,
    VITAL,
    Changes,
    listing,
    patched,
    resting,
    within,
)
from tests.harness.stages import Stage, Stages

ASSESSED = {**INTEREST, "standing_assessment": {"reference": "LIA-2", "until": "2030-01-01"}}
SPECIAL = f"{NEWS}/data_categories"

# What domain 2.2 refuses, in its order: the changes to a catalogue that passes, the place, the code.
REFUSED: list[tuple[str, Changes, str, str]] = [
    ("no purpose", {"/purposes": {}}, "/purposes", "purpose-missing"),
    ("no ground", {f"{NEWS}/grounds": []}, f"{NEWS}/grounds", "ground-missing"),
    ("no retention", {f"{NEWS}/retention": REMOVED}, f"{NEWS}/retention", "retention-missing"),
    ("no data category", {f"{NEWS}/data_categories": []}, f"{NEWS}/data_categories", "data-category-missing"),
    ("undeclared category", {SPECIAL: ["email", "x"]}, f"{SPECIAL}/1", "undeclared-data-category"),
    ("undeclared recipient", {f"{NEWS}/recipients": ["x"]}, f"{NEWS}/recipients/0", "undeclared-recipient"),
    ("undeclared channel", {f"{NEWS}/channels": ["fax"]}, f"{NEWS}/channels/0", "undeclared-channel"),
    ("no source", {"/data_categories/email/sources": []}, "/data_categories/email/sources", "source-missing"),
    *(
        (f"{ground['basis']} for {kind}", resting(kind, ground), f"{GROUND}/basis", "basis-not-for-kind")
        for kind, grounds in {
            "direct_marketing": (CONTRACT, STATUTE, VITAL, TASK),
            "marketing_profiling": (CONTRACT, STATUTE, VITAL, TASK),
            "analytics": (CONTRACT, STATUTE, VITAL),
            "fraud_prevention": (CONTRACT,),
        }.items()
        for ground in grounds
    ),
    *(
        (
            f"automated decision on an interest in {place}",
            resting("automated_decision", ground),
            f"{GROUND}/basis",
            "automated-decision-on-legitimate-interest",
        )
        for place, ground in {"all places": INTEREST, "Germany too": within(INTEREST, "GB", "DE")}.items()
    ),
    *(
        (
            f"{channel} in {place} without a sale",
            resting("direct_marketing", ground, channels=[channel]),
            f"{GROUND}/evidence",
            "electronic-marketing-without-sale",
        )
        for channel in ("email", "sms")
        for place, ground in {
            "all places": INTEREST,
            "the EEA": within(INTEREST, "EEA"),
            "GB": within(INTEREST, "GB"),
        }.items()
    ),
    *(
        (
            f"{ground['basis']} without reference",
            resting("service", {**ground, "reference": ""}),
            f"{GROUND}/reference",
            "reference-missing",
        )
        for ground in (STATUTE, TASK, INTEREST)
    ),
    ("consent not explicit", resting("automated_decision", CONSENT), f"{GROUND}/explicit", "explicit-missing"),
    ("special category", {SPECIAL: ["health"]}, f"{SPECIAL}/0", "special-category-without-explicit-consent"),
    (
        "processor for itself",
        listing("mailer", own_purposes=True),
        "/recipients/mailer/own_purposes",
        "processor-own-purposes",
    ),
    (
        "processor unbound",
        listing("mailer", contract=None),
        "/recipients/mailer/contract",
        "processor-without-contract",
    ),
    (
        "processor abroad",
        listing("mailer", country="US"),
        "/recipients/mailer/transfer_safeguard",
        "transfer-safeguard-missing",
    ),
    *(
        (f"{key} without basis", changes, f"/recipients/{key}/disclosure_basis", "disclosure-basis-missing")
        for key, changes in {"court": listing("court", disclosure_basis=None), "partner": listing("partner")}.items()
    ),
    (
        "assessment for no fraud",
        resting("service", ASSESSED),
        f"{GROUND}/standing_assessment",
        "standing-assessment-not-fraud",
    ),
    ("retention of no time", {f"{NEWS}/retention": "P0D"}, f"{NEWS}/retention", "bad-duration"),
    ("UK", {"/default_jurisdiction": "UK"}, "/default_jurisdiction", "bad-jurisdiction"),
    ("a key with a blank", {"/version": "a b"}, "/version", "bad-key"),
]
WARNED: list[tuple[str, Changes, str, str]] = [
    (
        "consent for ever",
        resting("direct_marketing", {"basis": "consent"}),
        f"{GROUND}/expires_after",
        "consent-without-expiry",
    ),
    (
        "consent beside a wider ground",
        resting("service", within(CONSENT, "EEA"), INTEREST),
        f"{GROUND}/jurisdictions",
        "consent-jurisdiction-beside-wider-ground",
    ),
    (
        "translation of nothing",
        {"/translations": {"de": {"purposes": {"news": {"title": "Neues"}, "newz": {"title": "Neues"}}}}},
        "/translations/de/purposes/newz",
        "undeclared-translation",
    ),
    (
        "material change of nothing",
        {"/material_changes": ["news", "newz"]},
        "/material_changes/1",
        "undeclared-purpose",
    ),
]
SHAPES: list[tuple[str, Changes, str]] = [
    ("unknown key", {"/purposess": {}}, "/purposess"),
    ("unknown key of a purpose", {f"{NEWS}/retain": "P2Y"}, f"{NEWS}/retain"),
    ("unknown key of a ground", {GROUND: {"basis": "consent", "expiry": "P1Y"}}, f"{GROUND}/expiry"),
    ("unknown basis", {GROUND: {"basis": "legitimate_interests"}}, f"{GROUND}/basis"),
    ("unknown kind", {f"{NEWS}/kind": "marketing"}, f"{NEWS}/kind"),
    ("unknown source", {"/data_categories/email/sources": ["hearsay"]}, "/data_categories/email/sources/0"),
    ("unknown policy", {"/children": "maybe"}, "/children"),
    ("no version", {"/version": REMOVED}, "/version"),
    ("version no text", {"/version": 7}, "/version"),
    ("flag no boolean", {f"{NEWS}/enabled": "yes"}, f"{NEWS}/enabled"),
    ("list no list", {f"{NEWS}/data_categories": "email"}, f"{NEWS}/data_categories"),
    ("date no date", {"/recipients/mailer/reviewed_on": "last May"}, "/recipients/mailer/reviewed_on"),
    ("day out of range", {"/recipients/mailer/reviewed_on": "2026-02-30"}, "/recipients/mailer/reviewed_on"),
    ("start no time", {"/effective_from": "soon"}, "/effective_from"),
    ("start without zone", {"/effective_from": "2026-11-01T00:00:00"}, "/effective_from"),
    ("line no number", {f"{NEWS}/notice_lines": ["9"]}, f"{NEWS}/notice_lines/0"),
    ("title no text", {f"{NEWS}/title": False}, f"{NEWS}/title"),
    ("purposes no mapping", {"/purposes": []}, "/purposes"),
    ("a key with a slash", {f"{NEWS}/a~1b": 1}, f"{NEWS}/a~1b"),
]


def _cases(cases: list[Any]) -> list[Any]:
    return [pytest.param(*case[1:], id=case[0].replace(" ", "_")) for case in cases]


@pytest.fixture
async def stage(stages: Stages, engine: str) -> Any:
    async with stages.stage(
        engine, {**BASE, "version": "lint", "effective_from": "2015-01-01T00:00:00Z"}, alone=False
    ) as stage:
        yield stage


def lint(document: dict[str, Any], folder: Path) -> tuple[int, str]:
    """`maywe catalogue lint` on a file: its exit status, and what it said."""
    file = folder / "catalogue.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    result = CliRunner().invoke(main, ["catalogue", "lint", str(file)])
    return result.exit_code, result.output


def is_a_sentence(text: str) -> bool:
    return re.fullmatch(r"[A-Z][^\n]+\.", text) is not None


@pytest.mark.parametrize(("changes", "pointer", "code"), _cases(REFUSED))
async def test_refused(stage: Stage, tmp_path: Path, changes: Changes, pointer: str, code: str) -> None:
    document = patched(changes)
    answer = await stage.send("PUT", "/v1/catalogue", json=document)
    assert answer.status_code == 422, answer.text
    errors = answer.json()["errors"]
    assert [(error["pointer"], error["code"]) for error in errors] == [(pointer, code)]
    assert is_a_sentence(errors[0]["detail"])
    status, said = lint(document, tmp_path)
    assert status == 1
    assert said == f"error    {pointer}  {code}: {errors[0]['detail']}\n"


@pytest.mark.parametrize(("changes", "pointer", "code"), _cases(WARNED))
async def test_warned_of(stage: Stage, tmp_path: Path, changes: Changes, pointer: str, code: str) -> None:
    document = patched({**changes, "/version": code})
    answer = await stage.send("PUT", "/v1/catalogue?dry_run=true", json=document)
    assert answer.status_code == 200, answer.text
    (warning,) = answer.json()["warnings"]
    assert (warning["pointer"], warning["code"]) == (pointer, code)
    assert is_a_sentence(warning["detail"])
    status, said = lint(document, tmp_path)
    assert status == 0
    assert f"warning  {pointer}  {code}: {warning['detail']}\n" in said


@pytest.mark.parametrize(("changes", "pointer"), _cases(SHAPES))
async def test_of_a_wrong_shape(stage: Stage, tmp_path: Path, changes: Changes, pointer: str) -> None:
    document = patched(changes)
    answer = await stage.send("PUT", "/v1/catalogue", json=document)
    assert answer.status_code == 422, answer.text
    errors = answer.json()["errors"]
    assert [(error["pointer"], error["code"]) for error in errors] == [(pointer, "shape")]
    assert is_a_sentence(errors[0]["detail"])
    status, said = lint(document, tmp_path)
    assert (status, said) == (1, f"error    {pointer}  shape: {errors[0]['detail']}\n")


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"/purposess": {}}, "There is no such field here."),
        ({"/version": REMOVED}, "This is required."),
        ({"/children": "maybe"}, "This is 'excluded' or 'guardian'."),
        ({"/recipients/mailer/reviewed_on": "last May"}, "This is a date, such as 2026-11-01."),
    ],
)
async def test_of_a_wrong_shape_in_words_of_its_own(stage: Stage, changes: Changes, detail: str) -> None:
    answer = await stage.send("PUT", "/v1/catalogue", json=patched(changes))
    assert [error["detail"] for error in answer.json()["errors"]] == [detail]


async def test_every_finding_at_once(stage: Stage) -> None:
    document = patched({f"{NEWS}/retention": REMOVED, f"{NEWS}/recipients": ["x"], "/home": "UK"})
    answer = await stage.send("PUT", "/v1/catalogue", json=document)
    assert {error["code"] for error in answer.json()["errors"]} == {
        "retention-missing",
        "undeclared-recipient",
        "bad-jurisdiction",
    }


async def test_nothing_that_was_refused_is_published(stage: Stage) -> None:
    await stage.send("PUT", "/v1/catalogue", json=patched({"/purposes": {}}))
    versions = (await stage.send("GET", "/v1/catalogue/versions")).json()
    assert [version["version"] for version in versions["versions"]] == ["lint"]
    assert versions["in_force"] == "lint"


def test_a_catalogue_that_passes(tmp_path: Path) -> None:
    assert lint(BASE, tmp_path) == (0, "no refusals\n")


def test_the_bundled_catalogue_passes_without_a_finding() -> None:
    bundled = Path(__file__).parents[2] / "app" / "catalogues" / "belkcase.yaml"
    result = CliRunner().invoke(main, ["catalogue", "lint", str(bundled)])
    assert result.exit_code == 0
    assert [line for line in result.output.splitlines() if line.startswith("error")] == []
