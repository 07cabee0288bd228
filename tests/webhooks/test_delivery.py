"""What happens is pushed: each row of the feed as it is, signed, in order, and nothing is lost in a pause."""

import asyncio
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from standardwebhooks import WebhookVerificationError

from tests.changes.polling import follow
from tests.harness import sql
from tests.harness.service import Maywe, in_process
from tests.webhooks.conftest import LOOPBACK
from tests.webhooks.receiver import Answer, Message, Receiver, act, becomes, hook, object_to, told, until

ADA = {"type": "customer", "id": "ada"}
YES = {"purpose": "offers", "channel": "email", "choice": "give"}
NO = {"purpose": "offers", "channel": "email", "choice": "withdraw"}


OPENAPI = json.loads((Path(__file__).parents[2] / "openapi" / "openapi.json").read_text("utf-8"))


def described(message: Message) -> None:
    """A message is as the OpenAPI document says."""
    operation = OPENAPI["webhooks"]["pushed"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    Draft202012Validator(schema | {"components": OPENAPI["components"]}).validate(json.loads(message.body))
    assert {header["name"] for header in operation["parameters"]} <= message.headers.keys()


async def test_a_message_is_the_row_of_the_feed_signed(maywe: Maywe, receiver: Receiver) -> None:
    made = await hook(maywe, f"{receiver.url}?token=t", filter={"identifier_type": "customer"})
    await maywe.choose(ADA, YES, notice="conformance-1")
    await maywe.choose(ADA, {"purpose": "improvement", "choice": "object"}, NO)
    await maywe.choose({"type": "email", "id": "ada@example.com"}, {"scope": "all_marketing", "choice": "object"})
    rows, _ = await follow(maywe.http, made["cursor"], identifier_type="customer")
    got = await receiver.until(len(rows))
    assert len(rows) >= 4
    of_each = {message.id: message.verified(made["secret"]) for message in got}
    for row in rows:
        assert of_each[row["id"]] == {"type": row["type"], "timestamp": row["occurred_at"], "data": row}
    for message in got:
        described(message)
    assert {row["subject"]["id"] if row["subject"] else None for row in rows} == {"ada", None}
    assert {message.path for message in got} == {"/hook?token=t"}
    assert {message.headers["content-type"] for message in got} == {"application/json"}
    with pytest.raises(WebhookVerificationError):
        got[0].verified("whsec_" + "A" * 44)


async def test_only_rows_that_pass_the_filter_are_pushed(maywe: Maywe, receiver: Receiver) -> None:
    wanted = {"purpose": ["offers"], "channel": ["sms"], "type": ["choice.give"]}
    made = await hook(maywe, receiver.url, filter=wanted)
    await maywe.choose(ADA, YES, {**YES, "channel": "sms"}, notice="conformance-1")
    await maywe.choose(ADA, {**NO, "channel": "sms"})
    rows, _ = await follow(maywe.http, made["cursor"], **wanted)
    got = await receiver.until(1)
    assert [message.data for message in got] == rows
    await until(lambda: sql.rows(maywe.url, "SELECT cursor FROM webhooks") != [(made["cursor"],)])
    everything = await maywe.http.patch(f"/v1/webhooks/{made['webhook_id']}", json={"filter": {}})
    assert everything.status_code == 200
    await maywe.choose(ADA, NO)
    got = await receiver.until(2)
    assert {message.data["type"] for message in got[1:]} <= {"choice.withdraw"}


async def test_a_pause_and_a_restart_lose_nothing(maywe: Maywe, receiver: Receiver) -> None:
    made = await hook(maywe, receiver.url)
    await object_to(maywe, "ada", 2)
    await receiver.until(2)
    await act(maywe, made, "pause")
    await object_to(maywe, "ada", 5)
    await object_to(maywe, "grace", 2)
    await asyncio.sleep(0.7)  # long enough for a look at the leases
    before = len(receiver.got)
    async with in_process(maywe.url, webhook_networks=LOOPBACK):
        assert len(receiver.got) == before
        assert (await act(maywe, made, "resume"))["state"] == "active"
        rows, _ = await follow(maywe.http, made["cursor"])
        await until(lambda: {row["id"] for row in rows} <= {message.id for message in receiver.accepted})
    ids = list(dict.fromkeys(message.id for message in receiver.accepted))
    for person in {row["subject_id"] for row in rows}:
        of_person = [row["id"] for row in rows if row["subject_id"] == person]
        assert [one for one in ids if one in of_person] == of_person


async def test_while_a_secret_is_rotated_both_sign(maywe: Maywe, receiver: Receiver) -> None:
    made = await hook(maywe, receiver.url)
    rotated = await act(maywe, made, "secret", overlap_seconds=3600)
    await object_to(maywe, "ada")
    (message,) = await receiver.until(1)
    assert len(message.headers["webhook-signature"].split(" ")) == 2
    assert message.verified(made["secret"]) == message.verified(rotated["secret"])
    last = await act(maywe, made, "secret", overlap_seconds=0)
    await object_to(maywe, "grace")
    message = (await receiver.until(2))[-1]
    assert message.verified(last["secret"])
    for old in (made["secret"], rotated["secret"]):
        with pytest.raises(WebhookVerificationError):
            message.verified(old)


async def test_somebody_who_was_erased_meanwhile_is_not_named(maywe: Maywe, receiver: Receiver) -> None:
    is_up = asyncio.Event()

    async def answer(_message: Message) -> Answer:
        return Answer(204 if is_up.is_set() else 503)

    receiver.answer = answer
    made = await hook(maywe, receiver.url, filter={"identifier_type": "customer", "purpose": ["offers"]})
    await maywe.choose(ADA, NO)
    await becomes(maywe, made, dead_letters=1)
    assert receiver.got[0].data["subject"] == ADA
    answer_to_erasure = await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/erasure", json={})
    assert answer_to_erasure.status_code == 200
    is_up.set()
    await act(maywe, made, "dead-letters/replay")
    await receiver.until(2)
    assert {message.data["type"] for message in receiver.accepted} == {"choice.withdraw", "subject.erased"}
    assert {message.data["subject"] for message in receiver.accepted} == {None}


async def test_where_an_endpoint_is_moves_with_what_was_accepted(maywe: Maywe, receiver: Receiver) -> None:
    made = await hook(maywe, receiver.url)
    await object_to(maywe, "ada", 3)
    _, head = await follow(maywe.http, made["cursor"])
    await receiver.until(3)
    await becomes(maywe, made, cursor=head, waiting=0)
    assert (await told(maywe, made))["state"] == "active"
