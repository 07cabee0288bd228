"""The same Idempotency-Key and the same request are done once, whoever asks and whatever stops in between."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.scopes import SCOPES
from tests.conftest import catalogue
from tests.doors.expecting import expect_problem, someone
from tests.harness.service import NO_TLS, Maywe, command, served, utc_now

NO = {"purpose": "offers", "channel": "email", "choice": "withdraw"}


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


async def count(service: Maywe, person: dict[str, Any]) -> int:
    answer = await service.http.get(f"/v1/subjects/{await service.find(person)}/events")
    return len(answer.json()["events"])


async def test_the_same_again_gets_the_stored_answer(service: Maywe) -> None:
    person = someone()
    body = {"subject": person, "choices": [NO]}
    bare = f"k-{person['id']}"
    first = await service.http.post("/v1/choices", json=body, headers=keyed(bare))
    assert first.status_code == 201
    assert "Idempotency-Replayed" not in first.headers
    for same in (bare, f'"{bare}"'):
        again = await service.http.post("/v1/choices", json=body, headers=keyed(same))
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["Idempotency-Replayed"] == "true"
    assert await count(service, person) == 1
    await service.http.post("/v1/choices", json=body)
    assert await count(service, person) == 2, "without a key it is another no"


@pytest.mark.parametrize("change", ["body", "spaces", "path"])
async def test_another_request_under_the_same_key_is_refused(service: Maywe, change: str) -> None:
    person = someone()
    content = json.dumps({"subject": person, "choices": [NO]})
    headers = {**keyed(f"k-{person['id']}"), "Content-Type": "application/json"}
    assert (await service.http.post("/v1/choices", content=content, headers=headers)).status_code == 201
    path, other = "/v1/choices", content
    if change == "body":
        other = content.replace("withdraw", "object")
    elif change == "spaces":
        other = content + " "
    else:
        path, other = "/v1/facts", json.dumps({"subject": person, "facts": [{"fact": "informed"}]})
    answer = await service.http.post(path, content=other, headers=headers)
    expect_problem(answer, 422, "idempotency-key-reused", "header:Idempotency-Key")
    assert await count(service, person) == 1


async def test_each_api_key_has_idempotency_keys_of_its_own(service: Maywe) -> None:
    person = someone()
    body = {"subject": person, "choices": [NO]}
    for expected in (1, 2):
        headers = {**keyed(f"k-{person['id']}"), "Authorization": f"Bearer {await service.key('choices')}"}
        answer = await service.http.post("/v1/choices", json=body, headers=headers)
        assert answer.status_code == 201
        assert "Idempotency-Replayed" not in answer.headers
        assert await count(service, person) == expected


async def test_what_was_refused_may_be_sent_again_when_mended(service: Maywe) -> None:
    person = someone()
    headers = keyed(f"k-{person['id']}")
    bad = {"subject": person, "choices": [{**NO, "channel": "post"}]}
    assert (await service.http.post("/v1/choices", json=bad, headers=headers)).status_code == 422
    answer = await service.http.post("/v1/choices", json={"subject": person, "choices": [NO]}, headers=headers)
    assert answer.status_code == 201


async def test_a_key_is_kept_for_a_day(service: Maywe) -> None:
    person = someone()
    body = {"subject": person, "choices": [NO]}
    headers = keyed(f"k-{person['id']}")
    first = await service.http.post("/v1/choices", json=body, headers=headers)
    for later, replayed in ((timedelta(hours=23, minutes=59), "true"), (timedelta(hours=24, minutes=1), None)):
        service.app.state.clock = lambda later=later: utc_now() + later
        answer = await service.http.post("/v1/choices", json=body, headers=headers)
        service.app.state.clock = utc_now
        assert answer.headers.get("Idempotency-Replayed") == replayed
        assert (answer.content == first.content) is (replayed is not None)


async def test_many_at_once_are_done_once(service: Maywe) -> None:
    person = someone()
    body = {"subject": person, "choices": [NO]}
    posts = [service.http.post("/v1/choices", json=body, headers=keyed(f"k-{person['id']}")) for _ in range(12)]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} <= {201, 409}
    for answer in answers:
        if answer.status_code == 409:
            expect_problem(answer, 409, "idempotency-in-progress")
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert await count(service, person) == 1


def test_many_at_once_on_two_workers_are_done_once_and_the_answer_survives_a_restart(
    database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "catalogue.json").write_text(json.dumps(catalogue("scenarios/catalogue.yaml")))
    command(database_url, "catalogue", "publish", str(tmp_path / "catalogue.json"))
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    key = command(database_url, "keys", "create", "all", *scopes).strip()
    person = someone()
    body = {"subject": person, "choices": [NO]}
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "once"}

    def post(address: str) -> httpx.Response:
        return httpx.post(f"{address}/v1/choices", json=body, headers=headers, timeout=30, verify=NO_TLS)

    with served(database_url, workers=2) as (address, _), ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(post, [address] * 32))
    assert {answer.status_code for answer in answers} <= {201, 409}
    stored = {answer.content for answer in answers if answer.status_code == 201}
    with served(database_url) as (address, _):
        again = post(address)
        subject_id = again.json()["subject_id"]
        history = httpx.get(f"{address}/v1/subjects/{subject_id}/events", headers=headers, verify=NO_TLS).json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert stored == {again.content}
    assert len(history["events"]) == 1
