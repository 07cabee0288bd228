"""The short ways to the checks and the plain one: which bodies they take, and what they answer, is the same."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import fastapi.routing
import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.decision.refusal import Refusal
from app.documents import read_json
from app.doors import hot
from app.doors.check import CheckRequest, asked_in
from tests.doors.expecting import someone
from tests.harness.service import Maywe

SHORT, PLAIN = "application/json", "application/json; charset=utf-8"
NAMES = st.sampled_from(["offers", "email", "sms", "customer", "c-1", "", "x\x00", "use", "DE", "UK", "\ud800"])
ANYTHING = st.none() | st.booleans() | st.integers() | NAMES | st.just([]) | st.lists(NAMES, max_size=2)
SUBJECTS = st.fixed_dictionaries(
    {}, optional={"type": ANYTHING, "id": ANYTHING, "subject_id": st.just("sub_1") | ANYTHING, "more": ANYTHING}
)
RIGHT: dict[str, Any] = {
    "subject": {"type": "customer", "id": "c-1"},
    "purpose": "offers",
    "data_categories": ["email"],
    "channel": "email",
    "jurisdiction": "DE",
    "operation": "store",
    "automated": True,
    "gpc": True,
    "data_collected_at": "2026-01-01T00:00:00Z",
    "as_of": "2026-01-01T00:00:00.5+01:00",
    "explain": True,
}
RIGHT_ONE = {name: RIGHT[name] for name in ("subject", "purpose", "data_categories", "channel", "gpc")}
FIELDS = {name: st.just(value) | ANYTHING for name, value in RIGHT.items()}
FIELDS |= {"subject": st.just(RIGHT["subject"]) | SUBJECTS | ANYTHING, "recipient": ANYTHING, "at_least": ANYTHING}
RIGHT_ONES = st.fixed_dictionaries(
    {name: st.just(RIGHT[name]) for name in ("subject", "purpose")},
    optional={name: st.just(value) for name, value in RIGHT.items() if name not in ("subject", "purpose")},
)
BODIES = st.builds(
    dict.__or__, RIGHT_ONES, st.fixed_dictionaries({}, optional={**FIELDS, "more": ANYTHING})
) | st.dictionaries(st.sampled_from(sorted(FIELDS)), ANYTHING, max_size=3)
_OF_THE_MOMENT = re.compile(rb'"(?:request_id|decision_id|evaluated_at)":"[^"]*"')


async def post(service: Maywe, path: str, body: Any, media_type: str = SHORT, **more: str) -> httpx.Response:
    headers = {"Content-Type": media_type, **more}
    return await service.http.post(path, content=json.dumps(body).encode(), headers=headers)


@given(BODIES)
@example(RIGHT | {"more": None})
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_both_ways_take_the_same_bodies_and_answer_the_same(service: Maywe, body: dict[str, Any]) -> None:
    try:
        CheckRequest.model_validate(body)
        is_right = True
    except ValidationError:
        is_right = False
    for path, sent in (("/v1/check", body), ("/v1/check/batch", {"checks": [body, body]})):
        short, plain = await post(service, path, sent), await post(service, path, sent, PLAIN)
        told = [_OF_THE_MOMENT.sub(b"", answer.content) for answer in (short, plain)]
        assert (short.status_code, told[0]) == (plain.status_code, told[1])
        assert short.headers.keys() == plain.headers.keys()
        if path == "/v1/check" and not is_right:
            assert short.status_code == 422


WITHDRAWN = {"choices": [{"purpose": "offers", "channel": "email", "choice": "withdraw"}]}
WRONG_CHOICES: list[dict[str, Any]] = [
    {"choices": []},
    {"choices": [{"purpose": "offers", "choice": "perhaps"}]},
    {"choices": [{"purpose": "undeclared", "choice": "withdraw"}]},
    {"choices": [{"purpose": "offers", "choice": "give"}]},
    {"choices": [{"scope": "all_marketing", "purpose": "offers", "choice": "object"}]},
    {"subject": {"type": "customer"}},
    {"subject": {"subject_id": "sub_nobody"}},
    {"subject": {"type": "email", "id": "no address"}},
    {"occurred_at": "2999-01-01T00:00:00Z"},
    {"more": None},
]


@pytest.mark.parametrize("scope", ["choices", "withdraw", "check"])
async def test_choices_are_taken_and_refused_the_same_on_both_ways(service: Maywe, scope: str) -> None:
    key = {"Authorization": f"Bearer {await service.key(scope)}"}
    for wrong in WRONG_CHOICES:
        body = {"subject": someone(), **WITHDRAWN, **wrong}
        short, plain = [await post(service, "/v1/choices", body, way, **key) for way in (SHORT, PLAIN)]
        told = [_OF_THE_MOMENT.sub(b"", answer.content) for answer in (short, plain)]
        assert (short.status_code, told[0]) == (plain.status_code, told[1])
        assert short.is_client_error
    for choice in ("withdraw", "give"):
        body = {"choices": [{**WITHDRAWN["choices"][0], "choice": choice}], "method": "app", "notice": "conformance-1"}
        short, plain = [
            await post(service, "/v1/choices", {"subject": someone(), **body}, way, **key) for way in (SHORT, PLAIN)
        ]
        is_allowed = scope == "choices" or (scope, choice) == ("withdraw", "withdraw")
        assert short.status_code == plain.status_code == (201 if is_allowed else 403)
        assert short.json().keys() == plain.json().keys()


@pytest.mark.parametrize("way", [SHORT, PLAIN])
@pytest.mark.parametrize("field", ["more", "Purpose", "explain "])
async def test_a_field_that_there_is_not_is_refused_on_both_ways(service: Maywe, field: str, way: str) -> None:
    body = {"subject": someone(), "purpose": "offers", "channel": "email", field: None}
    assert (await post(service, "/v1/check", body, way)).status_code == 422


async def test_what_is_in_order_goes_the_short_way(service: Maywe, monkeypatch: pytest.MonkeyPatch) -> None:
    async def taken(**_more: Any) -> Any:
        raise AssertionError("FastAPI took its steps")

    monkeypatch.setattr(fastapi.routing, "solve_dependencies", taken)
    question = {"subject": someone(), "purpose": "offers", "channel": "email"}
    for path, body in (("/v1/check", question), ("/v1/check/batch", {"checks": [question]})):
        assert (await post(service, path, body)).status_code == 200
        assert (await post(service, path, body, PLAIN)).status_code == 500
    withdrawal = {"subject": someone(), **WITHDRAWN}
    assert (await post(service, "/v1/choices", withdrawal)).status_code == 201
    assert (await post(service, "/v1/choices", withdrawal, PLAIN)).status_code == 500


async def test_a_single_question_in_order_does_not_reach_the_framework(
    service: Maywe, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reached(*_: Any) -> None:
        raise AssertionError("the framework was reached")

    question = {"subject": someone(), "purpose": "offers", "channel": "email"}
    await post(service, "/v1/check", question)  # from now on the key is known
    monkeypatch.setattr(FastAPI, "__call__", reached)
    answer = await post(service, "/v1/check", question | {"jurisdiction": "DE", "automated": True, "recipient": None})
    assert (answer.status_code, answer.json()["reason"]) == (200, "no_consent")
    for unusual in ({"explain": True}, {"as_of": "2026-01-01T00:00:00Z"}, {"more": None}):
        with pytest.raises(AssertionError, match="was reached"):
            await post(service, "/v1/check", question | unusual)


async def test_a_body_in_pieces_is_read_as_a_whole(service: Maywe) -> None:
    text = json.dumps({"subject": someone(), "purpose": "offers", "channel": "email"}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for n in range(0, len(text), 7):
            yield text[n : n + 7]

    headers = {"Content-Type": SHORT}
    answer = await service.http.post("/v1/check", content=pieces(), headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (200, "no_consent")


@pytest.mark.parametrize("name", ["Authorization", "Content-Type", "X-Request-ID"])
@pytest.mark.parametrize("is_first", [False, True])
async def test_a_header_said_twice_means_the_same_on_both_ways(service: Maywe, name: str, is_first: bool) -> None:
    """Which of two counts is for one place to decide: else a key could be slipped in."""
    body = json.dumps({"subject": someone(), "purpose": "offers", "channel": "email"}).encode()
    told = []
    for media_type in (SHORT, PLAIN):
        usual = {"Content-Type": media_type, "Authorization": service.http.headers["Authorization"]}
        sent = [*usual.items()]
        sent.insert(
            0 if is_first else len(sent), (name, "Bearer mw_none_none" if name == "Authorization" else "text/plain")
        )
        if name == "X-Request-ID":
            sent.append((name, "another"))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://maywe.test") as http:
            answer = await http.post("/v1/check", content=body, headers=sent)
        told.append((answer.status_code, answer.json().get("reason"), answer.json().get("type")))
    assert told[0] == told[1]


TWICE = st.sampled_from(
    [
        "",
        '"gpc": true, ',
        '"gpc": false, ',
        '"purpose": "offers", ',
        '"channel": null, ',
        '"\\u0067pc": true, ',
        '"a": 1, ',
    ]
)


@given(BODIES, TWICE, st.booleans())
@example(RIGHT_ONE, '"gpc": true, ', False)
@example(RIGHT_ONE, '"channel": null, ', True)
@example(RIGHT_ONE | {"purpose": "x\x00"}, "", True)
@example(RIGHT_ONE | {"subject": {"type": "customer", "id": "\ud800"}}, "", True)
@example(RIGHT_ONE | {"jurisdiction": "UK"}, "", False)
@example(RIGHT_ONE | {"jurisdiction": "ZZ"}, "", False)
def test_what_is_read_in_front_is_read_behind_as_well(body: dict[str, Any], more: str, escaped: bool) -> None:
    """Names said twice, escapes and all: what the framework refuses is not read, what it takes is read the same."""
    text = json.dumps(body, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    text = text.replace(b"{", b"{" + more.encode(), 1) if body else text
    read = hot.read_question(text)
    if read is not None:
        try:
            expected, revisions = asked_in(CheckRequest.model_validate(read_json(text)), datetime.now(UTC))
        except (Refusal, ValidationError) as refused:
            raise AssertionError(f"read though refused: {text!r}") from refused
        assert (read, revisions) == (expected, [])


def test_what_most_questions_are_is_read_in_front() -> None:
    assert hot.read_question(json.dumps(RIGHT_ONE).encode()) is not None
