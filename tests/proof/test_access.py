"""Everything held about a person, for the person; and the catalogue in the forms others read."""

import csv
import io
import json
from importlib.resources import files
from typing import Any

import pytest

from tests.harness.documents import read_yaml
from tests.harness.service import Maywe
from tests.proof.vocabulary import TERMS, terms

ADA = {"type": "email", "id": "ada@example.com"}
GIVE = {"purpose": "offers", "channel": "email", "choice": "give"}
LINKED = {"Accept": "application/ld+json"}


@pytest.fixture
async def ada(maywe: Maywe) -> str:
    """A person to whom much happened; returns the subject_id."""
    evidence = {"wording": "Yes, send me offers."}
    await maywe.choose(ADA, GIVE, notice="conformance-1", language="en", evidence=evidence)
    await maywe.choose(ADA, {**GIVE, "choice": "withdraw"}, method="one_click")
    await maywe.choose(ADA, {"purpose": "recommendations", "choice": "object"})
    await maywe.choose(ADA, {"scope": "automation", "choice": "object"})
    await maywe.establish(ADA, {"fact": "contract_started", "reference": "order-7"})
    customer = {"type": "customer", "id": "c-7"}
    await maywe.choose(
        customer, {"purpose": "health_advice", "choice": "give", "explicit": True}, notice="conformance-1"
    )
    subject_id = await maywe.find(ADA)
    await maywe.http.post(f"/v1/subjects/{subject_id}/identifiers", json=customer)
    return subject_id


async def export(maywe: Maywe, subject_id: str, **headers: str) -> dict[str, Any]:
    answer = await maywe.http.get(f"/v1/subjects/{subject_id}/export", headers=headers)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_the_export_has_everything_that_was_ever_told(maywe: Maywe, ada: str) -> None:
    told = await export(maywe, ada)
    subject = (await maywe.http.get(f"/v1/subjects/{ada}")).json()
    assert told["subject"] == subject
    assert {i["id"] for i in subject["identifiers"]} == {"ada@example.com", "c-7"}
    history = (await maywe.http.get(f"/v1/subjects/{ada}/events", params={"limit": 1000})).json()["events"]
    assert told["events"] == history
    assert [e["type"] for e in told["events"]] == [
        "choice.give",
        "choice.withdraw",
        "choice.object",
        "choice.object",
        "fact.contract_started",
        "choice.give",
        "subject.merged",
        "subject.linked",
    ]
    text = json.dumps(told)
    assert "Yes, send me offers." in text
    assert "order-7" in text


async def test_after_an_erasure_there_is_nothing_to_export(maywe: Maywe, ada: str) -> None:
    await maywe.http.post(f"/v1/subjects/{ada}/erasure", json={"force": True})
    for headers in ({}, LINKED):
        assert (await maywe.http.get(f"/v1/subjects/{ada}/export", headers=headers)).status_code == 410
    assert (await maywe.http.get("/v1/subjects/sub_none/export")).status_code == 404


async def test_an_export_needs_a_key_that_may_read_subjects(maywe: Maywe, ada: str) -> None:
    headers = {"Authorization": f"Bearer {await maywe.key('check', 'changes')}"}
    assert (await maywe.http.get(f"/v1/subjects/{ada}/export", headers=headers)).status_code == 403


async def test_consent_records_say_what_became_of_each_choice(maywe: Maywe, ada: str) -> None:
    answer = await maywe.http.get(f"/v1/subjects/{ada}/export", headers=LINKED)
    assert answer.headers["content-type"] == "application/ld+json"
    records = {r["dpv:hasProcess"]["dct:identifier"]: r for r in answer.json()["@graph"]}
    assert records.keys() == {"offers", "recommendations", "health_advice"}
    offers = records["offers"]
    assert offers["@type"] == "dpv:ConsentRecord"
    assert offers["dct:conformsTo"] == "https://w3id.org/dpv/schema/dpv-27560#record-eu-gdpr"
    assert offers["dpv:hasDataSubject"]["dct:identifier"] == ada
    assert offers["dpv:hasNotice"]["dct:identifier"] == "conformance-1"
    assert [s["@type"] for s in offers["dpv:hasConsentStatus"]] == ["dpv:ConsentGiven", "dpv:ConsentWithdrawn"]
    assert offers["dpv:hasConsentStatus"][1]["dpv:hasIndicationMethod"] == "one_click"
    process = offers["dpv:hasProcess"]
    assert process["dpv:hasStorageCondition"]["dpv:hasDuration"] == "P2Y"
    assert ["pd:EmailAddress"] in [data["@type"] for data in process["dpv:hasPersonalData"]]
    assert {"@type": "dpv:WithdrawConsent"} in process["dpv:hasConsentControl"]
    objected = records["recommendations"]["dpv:hasConsentStatus"]
    assert [s["@type"] for s in objected] == ["dpv:LegitimateInterestObjected"]
    explicit = records["health_advice"]["dpv:hasProcess"]["dpv:hasLegalBasis"]
    assert [ground["@type"] for ground in explicit] == [
        ["dpv:ExplicitlyExpressedConsent", "eu-gdpr:A6-1-a-explicit-consent"]
    ]


async def test_every_term_is_one_of_the_vocabulary(maywe: Maywe, ada: str) -> None:
    belkcase = read_yaml(files("app").joinpath("catalogues", "belkcase.yaml").read_bytes())
    documents = [await export(maywe, ada, **LINKED)]
    for catalogue in (None, belkcase | {"effective_from": "2016-01-01T00:00:00Z"}):
        if catalogue is not None:
            await maywe.http.put("/v1/catalogue", json=json.loads(json.dumps(catalogue, default=str)))
        documents.append((await maywe.http.get("/v1/catalogue", params={"format": "dpv"})).json())
    used = {term for document in documents for term in terms(document)}
    assert len(documents[-1]["dpv:hasProcess"]) > 25
    assert len(used) > 100
    assert used <= TERMS
    prefixes = documents[0]["@context"]
    assert {term.partition(":")[0] for term in used} <= prefixes.keys()


async def test_the_record_of_processing_has_a_row_per_enabled_purpose(maywe: Maywe, shop: dict[str, Any]) -> None:
    answer = await maywe.http.get("/v1/catalogue", params={"format": "ropa"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = {row["purpose"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    expected = {k for k, p in shop["purposes"].items() if p.get("enabled", True) and p.get("personal", True)}
    assert rows.keys() == expected
    assert rows["ads"]["transfers"] == "Ad platform: US, scc"
    assert rows["offers"]["lawful_bases"] == (
        "consent; legitimate_interest (LIA-2) in GB; legitimate_interest (CAN-SPAM) in US"
    )
    assert rows["health_advice"]["special_categories"] == "Health notes"
    assert rows["offers"]["retention"] == "P2Y"


async def test_no_cell_of_the_record_is_a_formula(maywe: Maywe, shop: dict[str, Any]) -> None:
    shop["purposes"]["offers"]["title"] = "=HYPERLINK(1)"
    await maywe.publish(shop | {"version": "formula", "effective_from": "2016-01-01T00:00:00Z"})
    answer = await maywe.http.get("/v1/catalogue", params={"format": "ropa"})
    row = next(row for row in csv.DictReader(io.StringIO(answer.text)) if row["purpose"] == "offers")
    assert row["title"] == "'=HYPERLINK(1)"
