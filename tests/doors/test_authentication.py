"""Who may do what: keys, scopes, expiry, revocation; and that a refusal tells nothing of anybody."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import administering
from app.crypto import Secrets
from app.scopes import SCOPES
from app.storage.database import Database
from app.storage.store import Store
from tests.conftest import catalogue
from tests.doors.expecting import expect_problem, someone
from tests.harness.service import NO_TLS, Maywe, command, served, settings_for

NOBODY = {"type": "customer", "id": "c-nobody"}
NO = {"purpose": "offers", "channel": "email", "choice": "withdraw"}
# Each operation, the scopes of which any opens it (none: every valid key), and a body it takes.
OPERATIONS: list[tuple[str, str, set[str], Any]] = [
    ("POST", "/v1/check", {"check"}, {"subject": NOBODY, "purpose": "offers"}),
    ("POST", "/v1/check/batch", {"check"}, {"checks": [{"subject": NOBODY, "purpose": "offers"}]}),
    ("POST", "/v1/check/all", {"check"}, {"subject": NOBODY}),
    ("POST", "/v1/choices", {"choices", "withdraw"}, {"subject": NOBODY, "choices": [NO]}),
    ("POST", "/v1/facts", {"facts"}, {"subject": NOBODY, "facts": [{"fact": "informed"}]}),
    ("POST", "/v1/subjects/find", {"subjects:read"}, NOBODY),
    ("GET", "/v1/subjects/sub_nobody", {"subjects:read"}, None),
    ("GET", "/v1/subjects/sub_nobody/events", {"subjects:read"}, None),
    ("POST", "/v1/subjects/sub_nobody/identifiers", {"subjects:manage"}, NOBODY),
    ("DELETE", "/v1/subjects/sub_nobody/identifiers/idn_none", {"subjects:manage"}, None),
    ("POST", "/v1/subjects/sub_nobody/erasure", {"subjects:manage"}, {}),
    ("GET", "/v1/catalogue", set(), None),
    ("GET", "/v1/catalogue/versions", set(), None),
    ("GET", "/v1/catalogue/versions/none", set(), None),
    ("PUT", "/v1/catalogue", {"catalogue"}, {}),
]


@asynccontextmanager
async def store_elsewhere(url: str) -> AsyncGenerator[Store]:
    """What another process knows of the same database."""
    database = Database(url)
    yield Store(database, Secrets(*settings_for(url).key_bytes()))
    await database.close()


async def call(service: Maywe, method: str, path: str, body: Any, authorization: str | None) -> httpx.Response:
    headers = {"Authorization": authorization} if authorization is not None else {"Authorization": ""}
    content = {} if body is None else {"json": body}
    return await service.http.request(method, path, headers=headers, **content)


def expect_unauthorised(answer: httpx.Response) -> None:
    expect_problem(answer, 401, "invalid-key")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_the_table_of_operations_is_complete(service: Maywe) -> None:
    paths = (await service.http.get("/openapi.json")).json()["paths"]
    documented = {
        (method.upper(), path) for path, operations in paths.items() for method in operations if path.startswith("/v1/")
    }
    tabled = {
        (
            method,
            path.replace("sub_nobody", "{subject_id}")
            .replace("idn_none", "{identifier_id}")
            .replace("/none", "/{version}"),
        )
        for method, path, _, _ in OPERATIONS
    }
    assert tabled <= documented


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer mw_",
        f"Bearer mw_{'a' * 12}_{'b' * 43}",
        "Basic bWF5d2U6bWF5d2U=",
        "Bearer nonsense",
        "Bearer ä",
    ],
)
async def test_without_a_valid_key_nothing_is_answered(service: Maywe, authorization: str) -> None:
    for method, path, _, body in OPERATIONS:
        expect_unauthorised(await call(service, method, path, body, authorization.encode()))


async def test_a_key_is_compared_whole(service: Maywe) -> None:
    key = await service.key()
    key_id, secret = key.removeprefix("mw_").split("_", 1)
    other = await service.key()
    for wrong in (
        f"mw_{key_id}_{other.removeprefix('mw_').split('_', 1)[1]}",
        key[:-1] + ("A" if key[-1] != "A" else "B"),
        key[:-1],
        key + "A",
        key.upper(),
        f"mw_{key_id}",
        secret,
    ):
        expect_unauthorised(await call(service, "POST", "/v1/check/all", {"subject": NOBODY}, f"Bearer {wrong}"))
    for right in (f"Bearer {key}", f"bearer {key}", f"Bearer  {key} "):
        assert (await call(service, "POST", "/v1/check/all", {"subject": NOBODY}, right)).status_code == 200


@pytest.mark.parametrize("scope", SCOPES)
async def test_each_scope_opens_its_own_operations_only(service: Maywe, scope: str) -> None:
    authorization = f"Bearer {await service.key(scope)}"
    for method, path, scopes, body in OPERATIONS:
        answer = await call(service, method, path, body, authorization)
        if scopes and scope not in scopes and not (scope == "facts:decide" and path == "/v1/facts"):
            problem = expect_problem(answer, 403, "insufficient-scope")
            assert all(needed in problem["detail"] for needed in scopes)
        elif scope != "facts:decide" or path != "/v1/facts":
            assert answer.status_code not in (401, 403), (method, path, answer.text)


@pytest.mark.parametrize("choice", ["refuse", "withdraw", "object"])
async def test_a_key_that_may_only_withdraw_records_a_no(service: Maywe, choice: str) -> None:
    headers = {"Authorization": f"Bearer {await service.key('withdraw')}"}
    body = {"subject": someone(), "choices": [{**NO, "choice": choice}]}
    assert (await service.http.post("/v1/choices", json=body, headers=headers)).status_code == 201
    body["choices"] = [{"scope": "all_marketing", "choice": "object"}]
    assert (await service.http.post("/v1/choices", json=body, headers=headers)).status_code == 201


@pytest.mark.parametrize("choice", ["give", "request", "withdraw_objection"])
async def test_a_key_that_may_only_withdraw_records_nothing_else(service: Maywe, choice: str) -> None:
    headers = {"Authorization": f"Bearer {await service.key('withdraw', 'facts', 'check')}"}
    person = someone()
    more = {"notice": "conformance-1", "method": "web_form"}
    body = {"subject": person, "choices": [NO, {**NO, "choice": choice}], **more}
    answer = await service.http.post("/v1/choices", json=body, headers=headers)
    assert "choices" in expect_problem(answer, 403, "insufficient-scope")["detail"]
    expect_problem(await service.http.post("/v1/subjects/find", json=person), 404, "unknown-subject")


DECIDED = (
    {"fact": "objection_upheld", "purpose": "improvement"},
    {"fact": "objection_overridden", "purpose": "improvement", "grounds": "g", "decided_by": "d"},
    {"fact": "consent_invalidated", "purpose": "offers", "reason": "r"},
)


@pytest.mark.parametrize("fact", DECIDED, ids=lambda fact: fact["fact"])
async def test_decisions_need_a_scope_of_their_own(service: Maywe, fact: dict[str, Any]) -> None:
    person = someone()
    await service.choose(person, {"purpose": "improvement", "choice": "object"})
    keys = {scope: {"Authorization": f"Bearer {await service.key(scope)}"} for scope in ("facts", "facts:decide")}
    plain = {"fact": "informed"}
    for scope, facts, status in (
        ("facts", [fact], 403),
        ("facts", [plain, fact], 403),
        ("facts:decide", [plain], 403),
        ("facts:decide", [fact, plain], 403),
        ("facts", [plain], 201),
        ("facts:decide", [fact], 201),
    ):
        answer = await service.http.post("/v1/facts", json={"subject": person, "facts": facts}, headers=keys[scope])
        assert answer.status_code == status, answer.text
    types = [event["type"] for event in (await events(service, person))]
    assert types == ["choice.object", "fact.informed", f"fact.{fact['fact']}"]


async def events(service: Maywe, person: dict[str, Any]) -> list[Any]:
    answer = await service.http.get(f"/v1/subjects/{await service.find(person)}/events")
    return list(answer.json()["events"])


async def test_a_refusal_is_the_same_for_people_there_are_and_people_there_are_not(service: Maywe) -> None:
    known, unknown = someone(), someone()
    await service.choose(known, NO)
    ids = [await service.find(known), "sub_nobody"]
    weak = f"Bearer {await service.key('links')}"
    for authorization in ("", weak):
        for method, path, scopes, body in OPERATIONS:
            if not scopes:
                continue
            told = []
            for subject, subject_id in zip((known, unknown), ids, strict=True):
                sent = {**body, **({"subject": subject} if "subject" in body else {})} if body else body
                answer = await call(service, method, path.replace("sub_nobody", subject_id), sent, authorization)
                told.append({**answer.json(), "request_id": None})
            assert told[0] == told[1]
            assert told[0]["status"] == (403 if authorization else 401)


async def test_a_key_ends_when_it_expires(service: Maywe) -> None:
    now = datetime.now(UTC)
    expired = await service.key(expires_at=now - timedelta(microseconds=1))
    current = await service.key(expires_at=now + timedelta(hours=1))
    for method, path, _, body in OPERATIONS:
        expect_unauthorised(await call(service, method, path, body, f"Bearer {expired}"))
        assert (await call(service, method, path, body, f"Bearer {current}")).status_code != 401


async def test_a_key_ends_at_once_when_it_is_revoked_elsewhere(service: Maywe) -> None:
    """The process that answers has seen the key valid, and nobody tells it."""
    async with store_elsewhere(service.url) as elsewhere:
        for method, path, _, body in OPERATIONS[:-1]:
            now = datetime.now(UTC)
            key = await administering.create_key(elsewhere, "brief", SCOPES, now=now, expires_at=None)
            assert (await call(service, method, path, body, f"Bearer {key}")).status_code not in (401, 403)
            assert await administering.revoke_key(elsewhere, key.split("_")[1], now=now)
            expect_unauthorised(await call(service, method, path, body, f"Bearer {key}"))


def test_a_key_that_the_command_line_revokes_opens_no_worker(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "catalogue.json").write_text(json.dumps(catalogue("scenarios/catalogue.yaml")))
    command(database_url, "catalogue", "publish", str(tmp_path / "catalogue.json"))
    key = command(database_url, "keys", "create", "shop", "--scope", "check", "--scope", "withdraw").strip()
    sent = {"headers": {"Authorization": f"Bearer {key}"}, "verify": NO_TLS}  # each time on a connection of its own
    with served(database_url, workers=2) as (address, _):

        def statuses() -> set[int]:
            asked = [httpx.post(f"{address}/v1/check/all", json={"subject": NOBODY}, **sent) for _ in range(8)]
            told = [httpx.post(f"{address}/v1/choices", json=choice, **sent) for choice in [choices] * 8]
            return {answer.status_code for answer in asked + told}

        choices = {"subject": NOBODY, "choices": [NO]}
        assert statuses() == {200, 201}
        command(database_url, "keys", "revoke", key.split("_")[1])
        assert statuses() == {401}
