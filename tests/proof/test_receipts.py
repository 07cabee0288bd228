"""Receipts: what they say, and that nothing in them can be altered unnoticed."""

import copy
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app import publishing
from app.storage import ledger
from app.sweeping import sweep
from tests.harness.service import Maywe, command_here

ADA = {"type": "email", "id": "ada@example.com"}
GIVE = {"purpose": "offers", "channel": "email", "choice": "give", "explicit": True}
EVIDENCE = {"form": "checkout", "wording": "Ja, schickt mir Angebote."}


@pytest.fixture
async def german(maywe: Maywe, shop: dict[str, Any]) -> Maywe:
    """The shop with a controller and a German translation."""
    await maywe.publish(
        shop
        | {
            "version": "2026-11",
            "effective_from": "2026-01-01T00:00:00Z",
            "controller": {"name": "Shop", "address": "1 High Street", "contact": "mailto:privacy@shop.example"},
            "notice": {
                "title": "Notice",
                "url": "https://shop.example/privacy",
                "language_versions": {"de": "ab" * 32},
            },
            "translations": {"de": {"purposes": {"offers": {"title": "Angebote"}}}},
        }
    )
    return maywe


async def give(maywe: Maywe) -> str:
    """Ada's consent in German; returns the event_id."""
    more = {"notice": "2026-11", "language": "de", "actor": {"kind": "agent", "reference": "ticket 7"}}
    recorded = await maywe.choose(ADA, GIVE, **more, evidence=EVIDENCE, occurred_at="2026-11-20T10:00:00Z")
    return str(recorded["events"][0]["event_id"])


async def receipt(maywe: Maywe, event_id: str) -> dict[str, Any]:
    answer = await maywe.http.get(f"/v1/events/{event_id}/receipt")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def verify(maywe: Maywe, folder: Path, shown: dict[str, Any] | bytes) -> str:
    """What `maywe verify --receipt` says; empty if the receipt holds."""
    file = folder / "receipt.json"
    file.write_bytes(shown if isinstance(shown, bytes) else json.dumps(shown).encode())
    done = await command_here(maywe.url, "verify", "--receipt", str(file))
    assert (done.exit_code == 0) == ("the receipt holds" in done.stdout)
    return done.stderr


async def test_a_receipt_says_who_agreed_to_what_when_how_and_how_to_withdraw(german: Maywe) -> None:
    told = await receipt(german, await give(german))
    del told["chain"], told["recorded_at"]
    assert told == {
        "format": "maywe receipt v1",
        "event_id": told["event_id"],
        "type": "choice.give",
        "subject_id": await german.find(ADA),
        "controller": {"name": "Shop", "address": "1 High Street", "contact": "mailto:privacy@shop.example"},
        "purpose": {
            "key": "offers",
            "title": "Angebote",
            "description": None,
            "data_categories": ["email", "phone", "name"],
        },
        "channel": "email",
        "scope": None,
        "basis": "consent",
        "explicit": True,
        "notice": {
            "version": "2026-11",
            "title": "Notice",
            "url": "https://shop.example/privacy",
            "sha256": "ab" * 32,
        },
        "wording": "Ja, schickt mir Angebote.",
        "method": "web_form",
        "actor": "agent",
        "language": "de",
        "occurred_at": "2026-11-20T10:00:00.000000Z",
        "withdrawal": {
            "contact": "mailto:privacy@shop.example",
            "notice_url": "https://shop.example/privacy",
            "statement": "You may withdraw or object at any time, without giving a reason and without any cost.",
        },
        "evidence": {"actor_reference": "ticket 7", "evidence": EVIDENCE},
    }


async def test_anyone_can_compute_the_digest_of_the_entry(german: Maywe) -> None:
    event_id = await give(german)
    chain = (await receipt(german, event_id))["chain"]
    octets = b"maywe chain v1\0" + bytes.fromhex(chain["previous_digest"]) + chain["entry"].encode()
    assert hashlib.sha256(octets).hexdigest() == chain["digest"]
    assert json.loads(chain["entry"])["event_id"] == event_id


async def test_a_receipt_holds_after_changes_merges_and_erasure(german: Maywe, tmp_path: Path) -> None:
    event_id = await give(german)
    kept = await receipt(german, event_id)
    await german.choose(ADA, {**GIVE, "choice": "withdraw", "explicit": False})
    customer = {"type": "customer", "id": "c-1"}
    await german.choose(customer, {"purpose": "ads", "choice": "refuse"})
    await german.http.post(f"/v1/subjects/{await german.find(customer)}/identifiers", json=ADA)
    assert await receipt(german, event_id) == kept
    assert await verify(german, tmp_path, kept) == ""
    erased = await german.http.post(f"/v1/subjects/{await german.find(ADA)}/erasure", json={})
    assert erased.status_code == 200
    assert (await german.http.get(f"/v1/events/{event_id}/receipt")).status_code == 410
    assert await verify(german, tmp_path, kept) == ""


async def test_nothing_in_a_receipt_can_be_altered_unnoticed(german: Maywe, tmp_path: Path) -> None:
    told = await receipt(german, await give(german))
    for path in (
        ("purpose", "title"),
        ("notice", "version"),
        ("wording",),
        ("occurred_at",),
        ("subject_id",),
        ("type",),
        ("evidence", "evidence", "wording"),
        ("chain", "digest"),
        ("chain", "entry"),
        ("event_id",),
    ):
        altered = place = copy.deepcopy(told)
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] += "x"
        assert "the receipt does not hold" in await verify(german, tmp_path, altered), path


async def test_what_one_reader_takes_for_this_and_another_for_that_does_not_hold(german: Maywe, tmp_path: Path) -> None:
    text = json.dumps(await receipt(german, await give(german)))
    for place, other in (
        ('"purpose": {', '"purpose": {"key": "ads"}, "purpose": {'),
        ('"explicit": true', '"explicit": 1'),
        ('"explicit": true', '"explicit": false, "explicit": true'),
        ('"position": 3', '"position": 3.0'),
        ('"scope": null, ', ""),
        ('"scope": null', '"scope": NaN'),
        ('"scope": null', '"scope": "\\ud800"'),
        ('"scope": null', '"scope": ' + "[" * 100_000 + "]" * 100_000),
        ('"event_id": "', '"event_id": "\\u0000'),
        ('"event_id": "', '"event_id": 1, "another": "'),
        ("{", ""),
        ("{", "\xff{"),
    ):
        altered = text.replace(place, other, 1)
        assert altered != text
        said = await verify(german, tmp_path, altered.encode("latin-1"))
        assert said.startswith("Error: "), (place, other[:100], said)


@pytest.mark.parametrize("minutes", [1, -1])
async def test_what_was_published_by_then_is_told_by_the_ledger_and_by_no_clock(
    maywe: Maywe, shop: dict[str, Any], tmp_path: Path, minutes: int
) -> None:
    """The clock of an instance that publishes is ahead of one that records, or behind."""

    async def publish(version: str, title: str, start: str) -> None:
        document = copy.deepcopy(shop) | {"version": version, "effective_from": start}
        document["purposes"]["offers"]["title"] = title
        now = datetime.now(UTC) + timedelta(minutes=minutes)
        await maywe.store.database.write(
            lambda connection: publishing.publish(connection, maywe.store, document, now=now, key_id="test")
        )

    await publish("2026-11", "Offers", "2026-01-01T00:00:00Z")
    kept = await receipt(maywe, await give(maywe))
    assert kept["notice"]["version"] == "2026-11"
    assert kept["purpose"]["title"] == "Offers"
    refused = await maywe.choose(ADA, {"purpose": "offers", "choice": "refuse"})
    refusal = await receipt(maywe, refused["events"][0]["event_id"])
    await publish("next", "Renamed", "2026-01-02T00:00:00Z")
    for shown in (kept, refusal):
        assert await verify(maywe, tmp_path, shown) == ""


async def test_a_receipt_of_what_time_ended_holds(maywe: Maywe, tmp_path: Path) -> None:
    sale = {"fact": "sale", "reference": "order-1", "opt_out_offered": True, "own_similar_products": True}
    informed = {"fact": "informed", "notice": "conformance-1"}
    await maywe.establish(ADA, *({**fact, "occurred_at": "2020-05-01T10:00:00Z"} for fact in (sale, informed)))
    await maywe.choose(ADA, GIVE, notice="conformance-1")
    while await sweep(maywe.store, datetime.now(UTC) + timedelta(days=1000)):
        pass
    told = (await maywe.http.get(f"/v1/subjects/{await maywe.find(ADA)}/events")).json()["events"]
    assert {"consent.expired", "evidence.expired"} <= {event["type"] for event in told}
    assert {"evidence": "sale"} in [event["details"] for event in told if event["type"] == "evidence.expired"]
    for event in told:
        assert await verify(maywe, tmp_path, await receipt(maywe, event["event_id"])) == "", event["type"]


async def test_evidence_can_be_neither_left_out_nor_invented(german: Maywe, tmp_path: Path) -> None:
    told = await receipt(german, await give(german))
    assert "is missing" in await verify(german, tmp_path, told | {"evidence": None, "wording": None})
    bare = await german.choose({"type": "customer", "id": "c-2"}, {"purpose": "ads", "choice": "refuse"})
    plain = await receipt(german, bare["events"][0]["event_id"])
    invented = plain | {"evidence": {"evidence": {"wording": "I agree"}}, "wording": "I agree"}
    assert "was not recorded" in await verify(german, tmp_path, invented)


async def test_a_receipt_of_a_later_notice_does_not_change_an_earlier_one(german: Maywe, shop: dict[str, Any]) -> None:
    refusal = await german.choose(ADA, {"purpose": "offers", "choice": "refuse"})
    event_id = refusal["events"][0]["event_id"]
    kept = await receipt(german, event_id)
    assert kept["purpose"]["title"] == "Offers and news"
    renamed = copy.deepcopy(shop) | {"version": "next", "effective_from": "2026-01-02T00:00:00Z"}
    renamed["purposes"]["offers"]["title"] = "Renamed"
    await german.publish(renamed)
    assert await receipt(german, event_id) == kept


async def test_there_are_receipts_only_of_what_happened_to_people(german: Maywe) -> None:
    for event_id in ("evt_none", await _catalogue_event(german)):
        answer = await german.http.get(f"/v1/events/{event_id}/receipt")
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:maywe:problem:unknown-event"


async def _catalogue_event(maywe: Maywe) -> str:
    async with maywe.store.database.read() as connection:
        return next(e.event_id for e in [e async for e in ledger.everything(connection)] if e.subject_id is None)


async def test_a_receipt_needs_a_key_that_may_read_subjects(german: Maywe) -> None:
    headers = {"Authorization": f"Bearer {await german.key('check', 'choices')}"}
    answer = await german.http.get(f"/v1/events/{await give(german)}/receipt", headers=headers)
    assert answer.status_code == 403
