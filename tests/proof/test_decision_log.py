"""The decision log: which services asked about a person, what they were told and why. On where the operator says so."""

import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest

from app import decision_log, metrics
from app.storage.database import Unavailable
from tests.harness import sql
from tests.harness.service import Maywe, command_here, in_process
from tests.proof.vocabulary import TERMS, terms

ADA = {"type": "email", "id": "ada.unmistakable@example.com"}
BEN = {"type": "email", "id": "ben.unmistakable@example.com"}
OFFERS = {"purpose": "offers", "channel": "email"}
ORDERS = {"purpose": "order_updates", "channel": "email"}
ON = {**OFFERS, "choice": "give"}
ROWS = "SELECT reason, decision, operation, subject_id, decision_id FROM decisions ORDER BY id"


@pytest.fixture
async def logging(database_url: str, shop: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Maywe]:
    """A service that keeps its answers for a day, of the yeses only those it must; written when a test says so."""
    monkeypatch.setattr(decision_log, "_PAUSE", 3600)
    async with in_process(database_url, decision_log_days=1, decision_log_yeses=0) as maywe:
        await maywe.publish(shop)
        yield maywe


async def logged(maywe: Maywe) -> list[Any]:
    await maywe.app.state.decision_log.write()
    return sql.rows(maywe.url, ROWS)


async def exported(maywe: Maywe, who: dict[str, str]) -> list[dict[str, Any]]:
    answer = await maywe.http.get(f"/v1/subjects/{await maywe.find(who)}/export")
    assert answer.status_code == 200
    return list(answer.json()["decisions"])


async def test_nothing_is_kept_unless_the_operator_says_so(maywe: Maywe) -> None:
    assert maywe.app.state.decision_log is None
    await maywe.choose(ADA, {**OFFERS, "choice": "refuse"})
    await maywe.ask(ADA, **OFFERS)
    assert await exported(maywe, ADA) == []


async def test_every_no_is_kept_with_who_asked(logging: Maywe, shop: dict[str, Any]) -> None:
    await logging.choose(ADA, ON, notice=shop["version"])
    assert (await logging.ask(ADA, **OFFERS))["decision"] is True
    assert await logged(logging) == [], "a yes that need not be kept"
    await logging.choose(ADA, {**OFFERS, "choice": "withdraw"})
    no = await logging.ask(ADA, **OFFERS)
    (kept,) = await exported(logging, ADA)
    answered_at = datetime.fromisoformat(kept.pop("answered_at"))
    assert abs((datetime.now(UTC) - answered_at).total_seconds()) < 60
    assert kept.pop("key_id")
    assert kept == {
        **OFFERS,
        **{name: no[name] for name in ("decision_id", "decision", "reason", "basis", "catalogue_version")},
        "caller": "test",
        "subject_id": await logging.find(ADA),
        "recipient": None,
        "operation": "use",
    }


async def test_the_linked_data_of_a_person_say_it_too(logging: Maywe, shop: dict[str, Any]) -> None:
    await logging.choose(ADA, ON, notice=shop["version"])
    recipient = next(key for key in shop["purposes"]["offers"]["recipients"])
    yes = await logging.ask(ADA, **OFFERS, operation="disclose", recipient=recipient)
    no = await logging.ask(ADA, "ads")
    kept = {answer["decision_id"]: answer for answer in await exported(logging, ADA)}
    told = await logging.http.get(
        f"/v1/subjects/{await logging.find(ADA)}/export", headers={"Accept": "application/ld+json"}
    )
    nodes = {node["dct:identifier"]: node for node in told.json()["@graph"]}
    assert kept.keys() == {yes["decision_id"], no["decision_id"]} <= nodes.keys()
    for decision_id, answer in kept.items():
        node = nodes[decision_id]
        assert node["dct:type"] == ("yes" if answer["decision"] else "no")
        assert node["dct:description"] == answer["reason"]
        assert node["dct:date"] == answer["answered_at"]
        assert node["dct:audience"] == {"dct:identifier": answer["key_id"], "dct:title": "test"}
        assert node["dpv:hasPurpose"]["dct:identifier"] == answer["purpose"]
        assert node["dpv:hasDataSubject"]["dct:identifier"] == answer["subject_id"]
    assert nodes[yes["decision_id"]]["dpv:hasRecipient"][0]["dct:identifier"] == recipient
    assert nodes[yes["decision_id"]]["dpv:hasLegalBasis"] == ["dpv:ExpressedConsent", "eu-gdpr:A6-1-a"]
    assert nodes[no["decision_id"]]["dpv:hasLegalBasis"] == []
    used = set(terms(told.json()))
    assert "dpv:hasProcessing" in used
    assert used <= TERMS


@pytest.mark.parametrize(("share", "kept"), [(0, 0), (1, 3)])
async def test_of_yeses_a_share_is_kept(database_url: str, shop: dict[str, Any], share: int, kept: int) -> None:
    async with in_process(database_url, decision_log_days=1, decision_log_yeses=share) as maywe:
        await maywe.publish(shop)
        await maywe.choose(ADA, ON, notice=shop["version"])
        for more in ({}, {"explain": True}, {"as_of": None}):  # each way to the checks
            assert (await maywe.ask(ADA, **OFFERS, **more))["decision"] is True
        assert len(await logged(maywe)) == kept


async def test_every_disclosure_is_kept(logging: Maywe, shop: dict[str, Any]) -> None:
    await logging.choose(ADA, ON, notice=shop["version"])
    assert (await logging.ask(ADA, **OFFERS, operation="disclose"))["decision"] is True
    assert [row[:3] for row in await logged(logging)] == [("consent_given", True, "disclose")]


async def test_batches_and_everything_at_once_are_kept_answer_by_answer(logging: Maywe) -> None:
    await logging.choose(ADA, {**OFFERS, "choice": "refuse"})
    checks = [{"subject": who, **OFFERS} for who in (ADA, BEN)] + [{"subject": 1}]
    batch = (await logging.http.post("/v1/check/batch", json={"checks": checks})).json()
    everything = (await logging.http.post("/v1/check/all", json={"subject": ADA})).json()
    noes = [d["reason"] for d in everything["decisions"] if not d["decision"]]
    subject_id = await logging.find(ADA)
    assert [(row[0], row[3], row[4]) for row in await logged(logging)] == [
        ("consent_refused", subject_id, batch["decision_id"]),
        ("no_consent", None, batch["decision_id"]),
        *((reason, subject_id, everything["decision_id"]) for reason in noes),
    ]


async def test_every_answer_about_an_audience_is_kept(logging: Maywe, shop: dict[str, Any]) -> None:
    await logging.choose(ADA, ON, notice=shop["version"])
    await logging.choose(BEN, {**OFFERS, "choice": "refuse"})
    answer = await logging.http.post("/v1/audience/filter", json={**OFFERS, "subjects": [ADA, BEN]})
    assert answer.json()["allowed"] == [ADA]
    assert [row[0] for row in await logged(logging)] == ["consent_given", "consent_refused"]
    answer = await logging.http.post("/v1/audience/export", json={**OFFERS, "identifier_type": "email"})
    assert json.loads(answer.text.splitlines()[-1])["count"] == 1
    assert sorted(row[0] for row in await logged(logging))[:4] == ["consent_given"] * 2 + ["consent_refused"] * 2


async def test_only_what_the_catalogue_declares_is_kept(logging: Maywe) -> None:
    """A purpose that there is not may be anything, an identifier in the wrong field too."""
    await logging.ask(ADA, purpose=BEN["id"], channel=ADA["id"], recipient=BEN["id"])
    await logged(logging)
    (row,) = sql.rows(logging.url, "SELECT * FROM decisions")
    assert "unmistakable" not in str(row)
    assert "unknown_purpose" in str(row)


async def test_an_erasure_forgets_whom_it_was_about(logging: Maywe) -> None:
    await logging.choose(ADA, {**OFFERS, "choice": "refuse"})
    await logging.ask(ADA, **OFFERS)
    subject_id = await logging.find(ADA)
    assert [row[3] for row in await logged(logging)] == [subject_id]
    await logging.ask(ADA, **OFFERS)  # waits to be written when the person is erased
    answer = await logging.http.post(f"/v1/subjects/{subject_id}/erasure", json={})
    assert answer.status_code == 200
    assert [row[3] for row in sql.rows(logging.url, ROWS)][:1] == [None]
    await logging.ask(ADA, **OFFERS)
    assert [row[3] for row in await logged(logging)] == [None, subject_id, None]
    logging.app.state.decision_log._cleaned = None
    assert [row[3] for row in await logged(logging)] == [None] * 3


async def test_it_is_kept_for_the_time_that_is_set(logging: Maywe) -> None:
    for _ in range(2):
        await logging.ask(ADA, **OFFERS)
    await logged(logging)
    sql.execute(logging.url, "UPDATE decisions SET answered_at = '2026-01-01 00:00:00' WHERE id = 1")
    logging.app.state.decision_log._cleaned = None
    assert len(await logged(logging)) == 1


async def test_a_writer_that_stands_in_the_way_loses_nothing_and_holds_up_nobody(
    logging: Maywe, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(_: Any) -> None:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(logging.store.database, "write", unavailable)
        assert (await logging.ask(ADA, **OFFERS))["reason"] == "no_consent"
        assert await logged(logging) == []
    assert [row[0] for row in await logged(logging)] == ["no_consent"]


async def test_what_there_is_no_room_for_is_counted(logging: Maywe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_log, "_ROOM", 1)
    before = metrics._unlogged._value.get()
    for _ in range(3):
        assert (await logging.ask(ADA, **OFFERS))["reason"] == "no_consent"
    assert metrics._unlogged._value.get() == before + 2
    assert len(await logged(logging)) == 1


async def test_a_stop_writes_what_waits(database_url: str, shop: dict[str, Any]) -> None:
    async with in_process(database_url, decision_log_days=1) as maywe:
        await maywe.publish(shop)
        await maywe.ask(ADA, **OFFERS)
    assert len(sql.rows(database_url, ROWS)) == 1


async def test_the_command_writes_it_out(logging: Maywe) -> None:
    await logging.ask(ADA, **OFFERS)
    await logging.ask(ADA, **ORDERS)
    await logged(logging)
    done = await command_here(logging.url, "decisions", "--purpose", "offers")
    assert done.exit_code == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert (json.loads(line)["purpose"], json.loads(line)["caller"]) == ("offers", "test")
    assert len((await command_here(logging.url, "decisions")).stdout.splitlines()) == 2
    assert (await command_here(logging.url, "decisions", "--until", "2026-01-01")).stdout == ""
