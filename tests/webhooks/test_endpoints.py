"""Webhooks are managed through the door: what is taken and told, and that no secret stays in clear."""

import base64
import sqlite3
from typing import Any

import httpx

from app.webhooks import MOST
from tests.changes.polling import follow
from tests.doors.expecting import expect_problem
from tests.harness import sql
from tests.harness.service import Maywe, in_process

URL = "https://crm.example.com/hooks/maywe?token=in-the-url"
REFUSED = (
    "http://crm.example.com/hook",
    "ftp://crm.example.com/hook",
    "https:///hook",
    "https://user:password@crm.example.com/hook",
    "https://crm.example.com/hook#part",
    "https://crm.example.com:99999/hook",
    "https://crm.example.com/a b",
    "https://crm.example.com\\@127.0.0.1/",
    "https://127.0.0.1/hook",
    "https://[::1]/hook",
    "https://169.254.169.254/latest/meta-data/",
    "not a url",
)
SECRETS = "SELECT secret, previous_secret, url FROM webhooks"


async def make(maywe: Maywe, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = await maywe.http.post("/v1/webhooks", json={"url": URL, **body})
    assert answer.status_code == status, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def act(maywe: Maywe, made: dict[str, Any], what: str, status: int = 200, **body: Any) -> dict[str, Any]:
    content = {} if what == "pause" else {"json": body}
    answer = await maywe.http.post(f"/v1/webhooks/{made['webhook_id']}/{what}", **content)
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_the_life_of_an_endpoint(maywe: Maywe) -> None:
    wanted = {"purpose": ["offers"], "channel": ["email"], "type": ["choice.withdraw"], "identifier_type": "customer"}
    made = await make(maywe, filter=wanted)
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert (made["url"], made["filter"], made["state"], made["reason"]) == (URL, wanted, "active", None)
    assert (made["waiting"], made["dead_letters"], made["previous_secret_until"]) == (0, 0, None)
    path = f"/v1/webhooks/{made['webhook_id']}"
    paused = await act(maywe, made, "pause")
    assert paused == {**made, "state": "paused", "cursor": paused["cursor"]}
    assert (await maywe.http.get(path)).json() == paused
    assert (await maywe.http.get("/v1/webhooks")).json() == {"webhooks": [paused]}
    other = {"purpose": [], "channel": [], "type": [], "identifier_type": None}
    changed = (await maywe.http.patch(path, json={"url": "https://other.example.com/", "filter": {}})).json()
    assert changed == {**paused, "url": "https://other.example.com/", "filter": other}
    rotated = await act(maywe, made, "secret", overlap_seconds=60)
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != secret
    assert (await maywe.http.get(path)).json()["previous_secret_until"] == rotated["previous_secret_until"]
    assert (await act(maywe, made, "resume"))["state"] == "active"
    assert (await maywe.http.get(f"{path}/dead-letters")).json() == {"dead_letters": [], "has_more": False}
    assert await act(maywe, made, "dead-letters/replay") == {"replayed": 0}
    assert (await maywe.http.delete(path)).json() == {"webhook_id": made["webhook_id"]}
    for gone in (await maywe.http.get(path), await maywe.http.delete(path), await maywe.http.post(f"{path}/pause")):
        expect_problem(gone, 404, "unknown-webhook")


async def test_an_endpoint_begins_now_or_at_a_cursor_of_the_feed(maywe: Maywe) -> None:
    told, head = await follow(maywe.http)
    assert (await make(maywe))["cursor"] == head
    first = told[0]["cursor"]
    made = await make(maywe, after=first, filter={"type": ["subject.erased"]})
    await act(maywe, made, "pause")
    assert (await act(maywe, made, "resume", after="now"))["cursor"] == head
    filtered = (await maywe.http.get("/v1/changes", params={"purpose": "offers"})).json()["next"]
    answer = await maywe.http.post("/v1/webhooks", json={"url": URL, "after": filtered})
    expect_problem(answer, 400, "cursor-of-another-filter")
    answer = await maywe.http.post("/v1/webhooks", json={"url": URL, "after": "made-up"})
    expect_problem(answer, 400, "malformed-cursor")


async def test_a_url_that_webhooks_are_not_sent_to_is_refused(maywe: Maywe) -> None:
    async with in_process(maywe.url) as strict:
        for url in REFUSED:
            for answer in (
                await strict.http.post("/v1/webhooks", json={"url": url}),
                await strict.http.patch("/v1/webhooks/wh_none", json={"url": url}),
            ):
                expect_problem(answer, 422, "invalid-url", "/url")
                assert url not in answer.text


async def test_a_filter_that_passes_nothing_is_refused(maywe: Maywe) -> None:
    body = {"url": URL, "filter": {"purpose": ["none"], "identifier_type": "none"}}
    answer = await maywe.http.post("/v1/webhooks", json=body)
    expect_problem(answer, 422, "unknown-purpose", "/filter/purpose", "/filter/identifier_type")


async def test_there_are_only_so_many(maywe: Maywe) -> None:
    made = await make(maywe)
    columns = "url, secret, filter, state, cursor, created_at, beat"
    for n in range(1, MOST):
        copied = f"SELECT 'wh_{n}', {columns} FROM webhooks WHERE webhook_id = '{made['webhook_id']}'"
        sql.execute(maywe.url, f"INSERT INTO webhooks (webhook_id, {columns}) {copied}")
    expect_problem(await maywe.http.post("/v1/webhooks", json={"url": URL}), 409, "too-many-webhooks")


async def test_only_the_scope_opens_the_door(maywe: Maywe) -> None:
    other = {"Authorization": f"Bearer {await maywe.key('changes', 'subjects:read', 'catalogue')}"}
    expect_problem(await maywe.http.post("/v1/webhooks", json={"url": URL}, headers=other), 403, "insufficient-scope")
    own = {"Authorization": f"Bearer {await maywe.key('webhooks')}"}
    assert (await maywe.http.get("/v1/webhooks", headers=own)).status_code == 200


async def test_no_secret_is_stored_in_clear_and_the_stored_answer_still_has_it(maywe: Maywe) -> None:
    once = {"Idempotency-Key": "once"}

    async def create() -> httpx.Response:
        return await maywe.http.post("/v1/webhooks", json={"url": URL}, headers=once)

    made, again = await create(), await create()
    assert (again.json(), again.headers["Idempotency-Replayed"]) == (made.json(), "true")
    rotated = await act(maywe, made.json(), "secret")
    words = [
        word.encode() if isinstance(word, str) else base64.b64decode(word)
        for one in (made.json()["secret"], rotated["secret"])
        for word in (one, one.removeprefix("whsec_"))
    ] + [b"in-the-url"]
    stored = [*sql.rows(maywe.url, SECRETS), *sql.rows(maywe.url, "SELECT body FROM idempotency")]
    octets = b"\n".join(bytes(value) for row in stored for value in row if value is not None)
    if maywe.url.startswith("sqlite:"):
        with sqlite3.connect(maywe.url.removeprefix("sqlite:///")) as database:
            octets += "\n".join(database.iterdump()).encode()
    assert len(octets) > 200
    assert not [word for word in words if word in octets]
