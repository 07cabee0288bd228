"""What a value may be, door by door: the pointer says where, the code what, and nothing of it comes back."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.doors.expecting import expect_problem, someone
from tests.harness.service import Maywe

MARK = "zq7marked"
GIVE = {"purpose": "offers", "channel": "email", "choice": "give"}
NO = {"purpose": "offers", "channel": "email", "choice": "withdraw"}
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()


def check(**more: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/check", {"subject": someone(), "purpose": "offers", "channel": "email", **more}


def choices(*chosen: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    how = {"notice": "conformance-1", "method": "web_form"}
    return "/v1/choices", {"subject": someone(), "choices": list(chosen or [NO]), **how, **more}


def facts(*told: dict[str, Any], **more: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/facts", {"subject": someone(), "facts": list(told), **more}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


SUBJECTS: list[tuple[Any, str, str]] = [
    (None, "", "object-type"),
    ([], "", "object-type"),
    ("c-42", "", "object-type"),
    ({}, "/type", "missing"),
    ({"type": "customer"}, "/id", "missing"),
    ({"type": "customer", "id": 7}, "/id", "string-type"),
    ({"type": "customer", "id": False}, "/id", "string-type"),
    ({"type": "customer", "id": None}, "/id", "string-type"),
    ({"type": "customer", "id": ""}, "/id", "string-too-short"),
    ({"type": "customer", "id": "   "}, "/id", "invalid-identifier"),
    ({"type": "customer", "id": "x" * 513}, "/id", "string-too-long"),
    ({"type": "customer", "id": f"{MARK}\x00"}, "/id", "invalid-identifier"),
    ({"type": "customer", "id": f"{MARK}\ud800"}, "/id", "string-unicode"),
    ({"type": "email", "id": MARK}, "/id", "invalid-identifier"),
    ({"type": "email", "id": f"{MARK}@example.com@example.com"}, "/id", "invalid-identifier"),
    ({"type": "phone", "id": f"0151{MARK}"}, "/id", "invalid-identifier"),
    ({"type": "phone", "id": "0151 2345678"}, "/id", "invalid-identifier"),
    ({"type": MARK, "id": "x"}, "/type", "unknown-identifier-type"),
    ({"type": "cust\x00", "id": "x"}, "/type", "invalid-text"),
    ({"type": "customer", "id": "x", "name": MARK}, "/name", "extra-forbidden"),
    ({"type": "customer", "id": "x", f"{MARK}@example.com": 1}, "", "extra-forbidden"),
    ({"subject_id": 7}, "/subject_id", "string-type"),
    ({"subject_id": ""}, "/subject_id", "string-too-short"),
    ({"subject_id": f"{MARK}\x00"}, "/subject_id", "invalid-text"),
    ({"subject_id": "x" * 129}, "/subject_id", "string-too-long"),
]


@pytest.mark.parametrize(("subject", "pointer", "code"), SUBJECTS)
async def test_a_subject_that_is_none_is_refused(service: Maywe, subject: Any, pointer: str, code: str) -> None:
    for path, body in (check(), ("/v1/check/all", {}), choices(), facts({"fact": "informed"})):
        answer = await send(service, path, {**body, "subject": subject})
        assert found(answer)[0] == (f"/subject{pointer}", code)
    answer = await send(service, "/v1/check/batch", {"checks": [{"subject": subject, "purpose": "offers"}]})
    assert answer.status_code == 200
    assert_no_echo(answer)
    [decision] = answer.json()["decisions"]
    assert (decision["decision"], decision["reason"]) == (False, "invalid_question")
    assert (decision["errors"][0]["pointer"], decision["errors"][0]["code"]) == (f"/subject{pointer}", code)
    if isinstance(subject, dict) and "subject_id" not in subject:
        assert found(await send(service, "/v1/subjects/find", subject))[0] == (pointer, code)


QUESTIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"purpose": False}, "/purpose", "string-type"),
    ({"purpose": None}, "/purpose", "string-type"),
    ({"purpose": ""}, "/purpose", "string-too-short"),
    ({"purpose": "x" * 129}, "/purpose", "string-too-long"),
    ({"purpose": f"{MARK}\x00"}, "/purpose", "invalid-text"),
    ({"purpose": f"{MARK}\udfff"}, "/purpose", "string-unicode"),
    ({"channel": 7}, "/channel", "string-type"),
    ({"recipient": []}, "/recipient", "string-type"),
    ({"data_categories": "email"}, "/data_categories", "list-type"),
    ({"data_categories": []}, "/data_categories", "too-short"),
    ({"data_categories": ["email", 7]}, "/data_categories/1", "string-type"),
    ({"jurisdiction": "UK"}, "/jurisdiction", "invalid-jurisdiction"),
    ({"jurisdiction": "XX"}, "/jurisdiction", "invalid-jurisdiction"),
    ({"jurisdiction": "de"}, "/jurisdiction", "invalid-jurisdiction"),
    ({"jurisdiction": MARK}, "/jurisdiction", "invalid-jurisdiction"),
    ({"operation": MARK}, "/operation", "literal-error"),
    ({"automated": 0}, "/automated", "bool-type"),
    ({"automated": "true"}, "/automated", "bool-type"),
    ({"gpc": 1}, "/gpc", "bool-type"),
    ({"explain": "yes"}, "/explain", "bool-type"),
    ({"as_of": "2026-01-01T00:00:00"}, "/as_of", "invalid-time"),
    ({"as_of": "2026-01-01"}, "/as_of", "invalid-time"),
    ({"as_of": 1767225600}, "/as_of", "invalid-time"),
    ({"as_of": False}, "/as_of", "invalid-time"),
    ({"as_of": "2026-02-30T00:00:00Z"}, "/as_of", "invalid-time"),
    ({"as_of": "0001-01-01T00:00:00+14:00"}, "/as_of", "invalid-time"),
    ({"as_of": "٢٠٢٦-01-01T00:00:00Z"}, "/as_of", "invalid-time"),
    ({"as_of": MARK}, "/as_of", "invalid-time"),
    ({"as_of": TOMORROW}, "/as_of", "as-of-in-future"),
    ({"data_collected_at": "2026-01-01T00:00:00"}, "/data_collected_at", "invalid-time"),
    ({"at_least": MARK}, "/at_least", "invalid-revision"),
    ({"at_least": 7}, "/at_least", "string-type"),
    ({"at_least": ""}, "/at_least", "string-too-short"),
    ({"chanel": MARK}, "/chanel", "extra-forbidden"),
    ({f"{MARK}@example.com": 1}, "", "extra-forbidden"),
    ({f"{MARK}1": 1}, "", "extra-forbidden"),
    ({f"{MARK}\x00": 1}, "", "extra-forbidden"),
]


@pytest.mark.parametrize(("more", "pointer", "code"), QUESTIONS)
async def test_a_question_that_is_none_is_refused(
    service: Maywe, more: dict[str, Any], pointer: str, code: str
) -> None:
    path, body = check(**more)
    assert found(await send(service, path, body)) == [(pointer, code)]
    good = {"id": "good", "subject": someone(), "purpose": "offers", "channel": "email"}
    answer = await send(service, "/v1/check/batch", {"checks": [good, {**body, "id": "bad"}, good]})
    assert answer.status_code == 200, answer.text
    assert_no_echo(answer)
    reasons = [(one["id"], one["decision"], one["reason"]) for one in answer.json()["decisions"]]
    assert reasons == [("good", False, "no_consent"), ("bad", False, "invalid_question"), ("good", False, "no_consent")]
    [error] = answer.json()["decisions"][1]["errors"]
    assert (error["pointer"], error["code"]) == (pointer, code)


async def test_the_code_of_the_united_kingdom_is_told(service: Maywe) -> None:
    path, body = check(jurisdiction="UK")
    assert "GB" in (await send(service, path, body)).json()["errors"][0]["detail"]


CHOICES: list[tuple[tuple[str, dict[str, Any]], list[tuple[str, str]]]] = [
    (choices({**NO, "purpose": MARK}), [("/choices/0/purpose", "unknown-purpose")]),
    (choices(NO, {**NO, "channel": "post"}), [("/choices/1/channel", "channel-not-declared")]),
    (choices({**NO, "channel": MARK}), [("/choices/0/channel", "channel-not-declared")]),
    (choices({**GIVE, "channel": None}), [("/choices/0/channel", "channel-required")]),
    (
        choices({"purpose": "ads", "channel": "email", "choice": "give"}),
        [("/choices/0/channel", "channel-not-declared")],
    ),
    (choices({"purpose": "improvement", "choice": "give"}), [("/choices/0/purpose", "no-consent-ground")]),
    (choices({"purpose": "health_advice", "choice": "give"}), [("/choices/0/explicit", "explicit-consent-required")]),
    (
        choices({"purpose": "sleeping", "choice": "request"}),
        [("/choices/0/purpose", "purpose-disabled"), ("/choices/0/purpose", "no-consent-ground")],
    ),
    (choices({**NO, "choice": MARK}), [("/choices/0/choice", "literal-error")]),
    (choices({**NO, "choice": False}), [("/choices/0/choice", "literal-error")]),
    (choices({**NO, "explicit": 1}), [("/choices/0/explicit", "bool-type")]),
    (choices({**NO, "note": MARK}), [("/choices/0/note", "extra-forbidden")]),
    (choices({"choice": "withdraw"}), [("/choices/0/purpose", "missing")]),
    (choices({"scope": MARK, "choice": "object"}), [("/choices/0/scope", "literal-error")]),
    (
        choices({"scope": "automation", "purpose": "ads", "choice": "object"}),
        [("/choices/0/purpose", "extra-forbidden")],
    ),
    (choices({"scope": "automation", "choice": "give"}), [("/choices/0/choice", "scope-choice")]),
    (
        choices({"scope": "automation", "channel": "email", "choice": "object"}),
        [("/choices/0/channel", "channel-not-declared")],
    ),
    (choices("withdraw"), [("/choices/0", "object-type")]),
    (choices(GIVE, NO), [("/choices/1", "contradictory-choices")]),
    (choices({**NO, "channel": None}, GIVE), [("/choices/0", "contradictory-choices")]),
    (choices(GIVE, notice=MARK), [("/notice", "unknown-notice")]),
    (choices(GIVE, notice=None), [("/notice", "notice-required")]),
    (choices(GIVE, method=None), [("/method", "method-required")]),
    (choices(GIVE, occurred_at="2010-01-01T00:00:00Z"), [("/notice", "notice-not-in-force")]),
    (choices(NO, notice=MARK), [("/notice", "unknown-notice")]),
    (choices(NO, method=MARK), [("/method", "literal-error")]),
    (choices(NO, language=f"{MARK}!"), [("/language", "string-pattern-mismatch")]),
    (choices(NO, actor={"kind": MARK}), [("/actor/kind", "literal-error")]),
    (choices(NO, actor={"kind": "agent", "reference": 7}), [("/actor/reference", "string-type")]),
    (choices(NO, actor={"kind": "agent", "reference": f"{MARK}\x00"}), [("/actor/reference", "invalid-text")]),
    (choices(NO, occurred_at=TOMORROW), [("/occurred_at", "event-in-future")]),
    (choices(NO, occurred_at="2026-01-01T00:00:00"), [("/occurred_at", "invalid-time")]),
    (choices(NO, evidence=[]), [("/evidence", "object-type")]),
    (choices(NO, evidence={"a": f"{MARK}\x00"}), [("/evidence", "invalid-text")]),
    (choices(NO, evidence={f"{MARK}\x00": 1}), [("/evidence", "invalid-text")]),
    (choices(NO, evidence={"a": {"b": [f"{MARK}\ud800"]}}), [("/evidence", "invalid-evidence")]),
    (choices(NO, evidence={f"{MARK}\ud800": 1}), [("/evidence", "invalid-evidence")]),
    (choices(NO, evidence={"a": 2**53}), [("/evidence", "invalid-evidence")]),
    (choices(NO, evidence={"a": 1e308 * 10}), [("/evidence", "invalid-evidence")]),
    (choices(NO, evidence={"a": nested(32)}), [("/evidence", "invalid-evidence")]),
]


@pytest.mark.parametrize(("request_", "faults"), CHOICES)
async def test_choices_that_cannot_be_recorded_are_refused_whole(
    service: Maywe, request_: tuple[str, dict[str, Any]], faults: list[tuple[str, str]]
) -> None:
    await expect_refused_whole(service, request_, faults)


FACTS: list[tuple[tuple[str, dict[str, Any]], list[tuple[str, str]]]] = [
    (facts({"fact": MARK}), [("/facts/0", "union-tag-invalid")]),
    (facts({"fact": False}), [("/facts/0", "union-tag-invalid")]),
    (facts({}), [("/facts/0", "union-tag-not-found")]),
    (facts(MARK), [("/facts/0", "object-type")]),
    (facts({"fact": "contract_started"}), [("/facts/0/reference", "missing")]),
    (facts({"fact": "informed"}, {"fact": "sale", "reference": 7}), [("/facts/1/reference", "string-type")]),
    (facts({"fact": "sale", "reference": "x" * 513}), [("/facts/0/reference", "string-too-long")]),
    (facts({"fact": "sale", "reference": f"{MARK}\x00"}), [("/facts/0/reference", "invalid-text")]),
    (facts({"fact": "sale", "reference": "r", "opt_out_offered": 1}), [("/facts/0/opt_out_offered", "bool-type")]),
    (facts({"fact": "informed", "notice": MARK}), [("/facts/0/notice", "unknown-notice")]),
    (facts({"fact": "informed", "reference": MARK}), [("/facts/0/reference", "extra-forbidden")]),
    (facts({"fact": "informed", "occurred_at": TOMORROW}), [("/facts/0/occurred_at", "event-in-future")]),
    (
        facts({"fact": "restriction_started", "data_categories": [MARK]}),
        [("/facts/0/data_categories/0", "unknown-data-category")],
    ),
    (facts({"fact": "child", "until": "2026-02-30"}), [("/facts/0/until", "invalid-date")]),
    (facts({"fact": "child", "until": 7}), [("/facts/0/until", "invalid-date")]),
    (facts({"fact": "child", "until": "2031-05-01T00:00:00Z"}), [("/facts/0/until", "invalid-date")]),
    (
        facts({"fact": "objection_overridden", "purpose": "improvement"}),
        [("/facts/0/grounds", "missing"), ("/facts/0/decided_by", "missing")],
    ),
    (
        facts({"fact": "objection_overridden", "purpose": "improvement", "grounds": " ", "decided_by": "\t\u2003"}),
        [("/facts/0/grounds", "blank"), ("/facts/0/decided_by", "blank")],
    ),
    (
        facts({"fact": "objection_overridden", "purpose": "improvement", "grounds": "g", "decided_by": "d"}),
        [("/facts/0/purpose", "no-objection")],
    ),
    (
        facts({"fact": "objection_overridden", "purpose": "offers", "grounds": "g", "decided_by": "d"}),
        [("/facts/0/purpose", "no-override-for-marketing")],
    ),
    (facts({"fact": "consent_invalidated", "purpose": MARK, "reason": "r"}), [("/facts/0/purpose", "unknown-purpose")]),
    (
        facts({"fact": "consent_invalidated", "purpose": "offers", "channel": "post", "reason": "r"}),
        [("/facts/0/channel", "channel-not-declared")],
    ),
]


@pytest.mark.parametrize(("request_", "faults"), FACTS)
async def test_facts_that_cannot_be_recorded_are_refused_whole(
    service: Maywe, request_: tuple[str, dict[str, Any]], faults: list[tuple[str, str]]
) -> None:
    await expect_refused_whole(service, request_, faults)


async def expect_refused_whole(
    service: Maywe, request: tuple[str, dict[str, Any]], faults: list[tuple[str, str]]
) -> None:
    """Refused with these faults, and nothing of it recorded: the person stays unknown."""
    path, body = request
    assert found(await send(service, path, body)) == faults
    expect_problem(await service.http.post("/v1/subjects/find", json=body["subject"]), 404, "unknown-subject")


@pytest.mark.parametrize("key", ["", '""', "x" * 256, f'"{"x" * 256}"', "ä", "a\tb"])
async def test_an_idempotency_key_that_is_none_is_refused(service: Maywe, key: str) -> None:
    path, body = choices()
    answer = await service.http.post(path, json=body, headers={"Idempotency-Key": key.encode()})
    expect_problem(answer, 422, "invalid-idempotency-key", "header:Idempotency-Key")


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/v1/subjects/a%00b", "path:subject_id"),
        (f"/v1/subjects/{MARK}@example.com", "path:subject_id"),
        (f"/v1/subjects/{'x' * 129}/events", "path:subject_id"),
        ("/v1/subjects/sub_nobody/events?limit=0", "query:limit"),
        ("/v1/subjects/sub_nobody/events?limit=1001", "query:limit"),
        (f"/v1/subjects/sub_nobody/events?limit={MARK}", "query:limit"),
        (f"/v1/subjects/sub_nobody/events?after={MARK}", "query:after"),
        ("/v1/subjects/sub_nobody/events?after=", "query:after"),
        (f"/v1/catalogue?{MARK}7=1", "query"),
    ],
)
async def test_parameters_that_are_none_are_refused(service: Maywe, path: str, pointer: str) -> None:
    answer = await service.http.get(path)
    assert_no_echo(answer)
    assert [pointer for pointer, _ in found(answer)] == [pointer]


async def test_the_edges_of_time_are_answered(service: Maywe) -> None:
    """Sums of instants and periods may leave the calendar; that is no reason to fail."""
    edges = ["0001-01-01T00:00:00Z", "1900-01-01T00:00:00.123456789Z", "2026-01-01T23:59:59.999999-12:00"]
    for occurred_at in edges:
        person = someone()
        await service.choose(person, GIVE, status=422, notice="conformance-1", occurred_at="0001-01-01T00:00:00Z")
        await service.choose(person, NO, occurred_at=occurred_at)
        sale = {"fact": "sale", "reference": "r", "opt_out_offered": True, "own_similar_products": True}
        await service.establish(person, {**sale, "occurred_at": occurred_at})
        for until in ("0001-01-01", "9999-12-31"):
            await service.establish(person, {"fact": "child", "until": until})
            for more in (
                {"data_collected_at": "9999-12-31T23:59:59.999999Z"},
                {"data_collected_at": "0001-01-01T00:00:00Z"},
                {"as_of": "0001-01-01T00:00:00Z"},
                {"as_of": occurred_at},
                {"jurisdiction": "GB", "recipient": "mail_provider"},
            ):
                await service.ask(person, "offers", channel="email", explain=True, **more)


async def test_numbers_and_texts_of_evidence_come_back_as_they_were(service: Maywe) -> None:
    evidence = {
        "n": 2**53 - 1,
        "m": -(2**53) + 1,
        "f": 0.1,
        "t": "\U0001f642 \u2028 é e\u0301",
        "deep": nested(30),
        "": None,
    }
    await service.choose(person := someone(), NO, evidence=evidence)
    answer = await service.http.get(f"/v1/subjects/{await service.find(person)}/events")
    assert answer.json()["events"][0]["details"]["evidence"] == evidence


async def send(service: Maywe, path: str, body: Any) -> httpx.Response:
    """Python's JSON can say what no other writer of JSON would: lone surrogates, infinities as 1e999."""
    text = json.dumps(body).replace("Infinity", "1e999")
    answer = await service.http.post(path, content=text.encode(), headers={"Content-Type": "application/json"})
    assert_no_echo(answer)
    return answer


def found(answer: httpx.Response) -> list[tuple[str, str]]:
    """Where something was wrong, and what."""
    document = answer.json()
    assert answer.status_code == 422, answer.text
    expect_problem(
        answer, 422, document["type"].rpartition(":")[2], *(error["pointer"] for error in document["errors"])
    )
    return [(error["pointer"], error["code"]) for error in document["errors"]]


def assert_no_echo(answer: httpx.Response) -> None:
    assert MARK not in answer.text
    assert not any(MARK in value for value in answer.headers.values())
