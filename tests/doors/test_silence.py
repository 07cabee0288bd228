"""No identifier, key, token, reference or wording leaves by a side door: two real workers are sent marked values, good
and bad, through every operation, and then their logs, metrics, error bodies and the ledger are searched. What is logged
and counted instead is told here too."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import create_engine, text

from app.scopes import SCOPES
from app.telemetry import ALLOWED
from tests.conftest import ENGINES, catalogue
from tests.harness.databases import Databases
from tests.harness.service import NO_TLS, command, free_port, served

MARK = "zq7marked1"  # with a digit that no id of this service has
EMAIL, CUSTOMER, DEVICE, PHONE = f"{MARK}ada@example.com", f"{MARK}-c-42", f"{MARK}-device", "+4915112345678"
CHECKS = 40
DOCUMENT = json.loads((Path(__file__).parents[2] / "openapi" / "openapi.json").read_text("utf-8"))


class Heard(NamedTuple):
    """What came out of a server that was told marked values."""

    lines: list[dict[str, Any]]
    metrics: str
    answers: list[httpx.Response]
    ledger: str
    secrets: list[str]
    decision: dict[str, Any]


@pytest.fixture(params=ENGINES)
def heard(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Heard:
    url, folder, port = databases.make(request.param), tmp_path, free_port()
    (folder / "catalogue.json").write_text(json.dumps(catalogue("scenarios/catalogue.yaml")))
    command(url, "catalogue", "publish", str(folder / "catalogue.json"))
    key = command(url, "keys", "create", "all", *itertools.chain(*(("--scope", scope) for scope in SCOPES))).strip()
    with served(url, workers=2, log=folder / "log", METRICS_ADDRESS=f"127.0.0.1:{port}") as (address, _):
        headers = {"Authorization": f"Bearer {key}", "User-Agent": f"{MARK}-agent", "Cookie": f"{MARK}=cookie"}
        with httpx.Client(base_url=address, headers=headers, timeout=30, verify=NO_TLS) as http:
            answers = list(good(http))
            token = answers[-1].json()["links"][0]["url"].rpartition("/")[2]
            answers += [http.get(f"/u/{token}"), http.post(f"/u/{token}"), http.head(f"/u/{token}x")]
            answers += bad(http)
        for _ in range(CHECKS):  # each on a connection of its own, so that both workers get some
            body = {"subject": {"type": "email", "id": EMAIL}, "purpose": "offers", "channel": "email"}
            answers.append(httpx.post(f"{address}/v1/check", json=body, headers=headers, verify=NO_TLS))
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", verify=NO_TLS).text
    lines = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    secrets = [MARK, PHONE[1:], key.split("_", 2)[2], token, "example.com"]
    return Heard(lines, metrics, answers, everything_in_the_ledger(url), secrets, answers[-1].json())


def good(http: httpx.Client) -> Iterator[httpx.Response]:
    """Every operation once, with marked values that it takes."""
    ada = {"type": "email", "id": EMAIL}
    give = {"purpose": "offers", "channel": "email", "choice": "give"}
    told = {"evidence": {f"{MARK}name": f"{MARK}wording"}, "actor": {"kind": "agent", "reference": f"{MARK}ticket"}}
    shown = {"notice": "conformance-1", "method": "web_form"}
    idempotent = {"Idempotency-Key": f"{MARK}-once"}
    first = http.post("/v1/choices", json={"subject": ada, "choices": [give], **told, **shown}, headers=idempotent)
    yield first
    yield http.post("/v1/choices", json={"subject": ada, "choices": [give], **told, **shown}, headers=idempotent)
    yield http.post("/v1/choices", json={"subject": ada, "choices": [{"purpose": "improvement", "choice": "object"}]})
    overridden = {"purpose": "improvement", "grounds": f"{MARK}grounds", "decided_by": f"{MARK}decider"}
    facts = [
        {"fact": "contract_started", "reference": f"{MARK}order"},
        {"fact": "sale", "reference": f"{MARK}sale", "opt_out_offered": True},
        {"fact": "objection_overridden", **overridden},
        {"fact": "consent_invalidated", "purpose": "ads", "reason": f"{MARK}reason"},
    ]
    yield http.post("/v1/facts", json={"subject": ada, "facts": facts, **told})
    question = {"subject": ada, "purpose": "offers", "channel": "email"}
    yield http.post("/v1/check", json={**question, "explain": True})
    yield http.post("/v1/check", json={**question, "purpose": f"{MARK}purpose"})
    yield http.post("/v1/check/batch", json={"checks": [{"id": f"{MARK}one", **question}, {"id": f"{MARK}two"}, MARK]})
    yield http.post("/v1/check/all", json={"subject": {"type": "phone", "id": PHONE}})
    yield http.post("/v1/audience/filter", json={"purpose": "offers", "channel": "email", "subjects": [ada]})
    yield http.post("/v1/audience/export", json={"purpose": "offers", "channel": "email", "identifier_type": "email"})
    yield http.post("/v1/subjects/find", json=ada)
    person = f"/v1/subjects/{first.json()['subject_id']}"
    for identifier in ({"type": "customer", "id": CUSTOMER}, {"type": "device", "id": DEVICE}):
        linked = http.post(f"{person}/identifiers", json=identifier)
        yield linked
    yield http.get(person)
    yield http.get(f"{person}/events", params={"limit": 2})
    yield http.get("/v1/changes", params={"identifier_type": "email"})
    yield http.delete(f"{person}/identifiers/{linked.json()['identifier_id']}")
    yield http.post(f"{person}/erasure", json={"force": True, "reason": f"{MARK}reason"})
    yield http.get("/v1/catalogue")
    yield http.post("/v1/unsubscribe-links", json={"links": [question]})


def bad(http: httpx.Client) -> list[httpx.Response]:
    """Marked values where none belong: in paths, queries, headers, names, values, and what is no JSON."""
    answers = [
        http.get("/v1/subjects/find", headers={"Authorization": f"Bearer mw_{MARK}aa_{'x' * 43}"}),
        http.get("/livez", headers={"X-Request-ID": EMAIL, "traceparent": EMAIL}),
        http.put("/v1/catalogue", json={"version": 2, "purposes": {"offers": MARK}, "home": EMAIL}),
        http.get(f"/{MARK}/{EMAIL}"),
    ]
    for path, operations in DOCUMENT["paths"].items():
        for method in operations:
            address = re.sub(r"\{\w+\}", EMAIL, path)
            answers.append(http.request(method, address, params={f"{MARK}q": EMAIL, "limit": MARK, "after": MARK}))
            answers.append(http.request(method, re.sub(r"\{\w+\}", f"{MARK}x", path), params={"wait": MARK}))
            if method == "post":  # not put: findings name the keys of a catalogue, which tells of nobody
                for content in (
                    f'{{"subject": "{EMAIL}"',
                    json.dumps({f"{MARK}name": EMAIL, "subject": {"type": MARK, "id": EMAIL}, "purpose": [EMAIL]}),
                    json.dumps(
                        {"subject": {"type": "email", "id": MARK}, "choices": [MARK], "facts": [{"fact": EMAIL}]}
                    ),
                ):
                    sent = {"Content-Type": "application/json", "Idempotency-Key": f'"{MARK}" {EMAIL}'}
                    answers.append(http.request(method, address, content=content, headers=sent))
    return answers


def everything_in_the_ledger(url: str) -> str:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM ledger")).all()
    engine.dispose()
    return "\n".join(map(str, rows))


def assert_silent(heard: Heard, said: str) -> None:
    found = {secret for secret in heard.secrets if secret.lower() in said.lower()}
    assert not found, [line for line in said.splitlines() if any(one.lower() in line.lower() for one in found)][:3]


def expect_nothing_failed(heard: Heard) -> None:
    assert {answer.status_code for answer in heard.answers if answer.status_code >= 500} == set()
    assert not [line for line in heard.lines if line["level"] in ("error", "critical")]


def expect_logs_are_silent(heard: Heard) -> None:
    assert_silent(heard, "\n".join(map(json.dumps, heard.lines)))


def expect_metrics_are_silent(heard: Heard) -> None:
    assert_silent(heard, heard.metrics)


def expect_errors_are_silent(heard: Heard) -> None:
    refused = [answer for answer in heard.answers if answer.status_code >= 400]
    assert len(refused) > 50
    for answer in refused:
        if not answer.request.url.path.startswith("/u/"):
            assert_silent(heard, answer.text)
        assert_silent(heard, "\n".join(map(": ".join, answer.headers.items())))


def expect_the_ledger_is_silent(heard: Heard) -> None:
    assert "choice.give" in heard.ledger
    assert "fact.objection_overridden" in heard.ledger
    assert_silent(heard, heard.ledger)


def expect_a_request_is_one_line_that_says_what_it_was(heard: Heard) -> None:
    lines = [line for line in heard.lines if line["event"] == "request"]
    by_id = {line["request_id"]: line for line in lines}
    assert len(by_id) == len(lines)
    for answer in heard.answers:
        line = by_id[answer.headers["X-Request-ID"]]
        assert (line["status"], line["method"]) == (answer.status_code, answer.request.method)
        assert line["duration_ms"] > 0
        assert set(line) <= ALLOWED - {"scrubbed"}
    templates = {line["route"] for line in lines}
    assert templates <= {*DOCUMENT["paths"], None}, "templates, never paths"


def expect_a_decision_is_found_in_the_log_by_its_id(heard: Heard) -> None:
    [line] = [line for line in heard.lines if line.get("decision_id") == heard.decision["decision_id"]]
    told = {name: line[name] for name in ("decision", "reason", "basis", "purpose", "channel")}
    assert told == {name: heard.decision[name] for name in told}
    assert line["key_id"]
    [unknown] = [line for line in heard.lines if line.get("reason") == "unknown_purpose"]
    assert "purpose" not in unknown, "only declared purposes are logged"
    assert any(line.get("count") == 1 or line.get("decision") is not None for line in heard.lines)


def expect_metrics_add_up_over_workers_and_stay_few(heard: Heard) -> None:
    counted = {
        (found[1], found[2]): float(found[3])
        for found in re.finditer(
            r'^maywe_request_duration_seconds_count\{method="POST",route="([^"]+)",status="(\d+)"\} ([\d.]+)$',
            heard.metrics,
            re.MULTILINE,
        )
    }
    checks = [a for a in heard.answers if a.request.url.path == "/v1/check" and a.status_code == 200]
    assert counted["/v1/check", "200"] == len(checks) > CHECKS
    reasons = dict(
        re.findall(r'^maywe_decisions_total\{decision="no",reason="(\w+)"\} ([\d.]+)$', heard.metrics, re.MULTILINE)
    )
    assert float(reasons[heard.decision["reason"]]) >= CHECKS
    routes = set(re.findall(r'route="([^"]*)"', heard.metrics))
    assert routes <= {*DOCUMENT["paths"], "none"}
    labels = set(re.findall(r'(\w+)="', heard.metrics))
    assert labels <= {"method", "route", "status", "le", "decision", "reason"}


def test_nothing_leaves_by_a_side_door(heard: Heard) -> None:
    expect_nothing_failed(heard)
    expect_logs_are_silent(heard)
    expect_metrics_are_silent(heard)
    expect_errors_are_silent(heard)
    expect_the_ledger_is_silent(heard)
    expect_a_request_is_one_line_that_says_what_it_was(heard)
    expect_a_decision_is_found_in_the_log_by_its_id(heard)
    expect_metrics_add_up_over_workers_and_stay_few(heard)
