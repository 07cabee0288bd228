"""After an erasure nothing about the person is left that could be read: not in any table, not in any octet of an
embedded database, not in a dump."""

import base64
import hashlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import psycopg
import pytest

from tests.harness.databases import Databases, dumped
from tests.harness.service import Maywe, in_process
from tests.webhooks.receiver import Answer, Message, becomes, hook, receiving

WORDS = "Yours, Ophelia Unforgettable"
EMAIL = {"type": "email", "id": "ophelia.unforgettable@example.com"}
CUSTOMER = {"type": "customer", "id": "customer-unforgettable"}
PHONE = {"type": "phone", "id": "+4915112345678"}
REFERENCES = ("order-unforgettable", "ticket-unforgettable", "grounds-unforgettable", "decider-unforgettable")


async def live(maywe: Maywe) -> str:
    """A person of whom everything is known that can be; returns the subject_id."""
    evidence = {"wording": WORDS, "form": {"nested": [WORDS]}}
    actor = {"kind": "agent", "reference": REFERENCES[1]}
    give = {"purpose": "offers", "channel": "email", "choice": "give"}
    await maywe.choose(EMAIL, give, notice="conformance-1", evidence=evidence, actor=actor)
    await maywe.choose(EMAIL, {"purpose": "improvement", "choice": "object"}, evidence=evidence)
    await maywe.choose(CUSTOMER, {"scope": "all_marketing", "choice": "object"}, evidence=evidence)
    override = {"purpose": "improvement", "grounds": REFERENCES[2], "decided_by": REFERENCES[3]}
    for fact in (
        {"fact": "contract_started", "reference": REFERENCES[0]},
        {"fact": "contract_ended", "reference": REFERENCES[0]},
        {"fact": "sale", "reference": REFERENCES[0], "opt_out_offered": True, "own_similar_products": True},
        {"fact": "objection_overridden", **override},
    ):
        await maywe.establish(EMAIL, fact)
    subject_id = await maywe.find(EMAIL)
    for identifier in (CUSTOMER, PHONE):
        linked = await maywe.http.post(f"/v1/subjects/{subject_id}/identifiers", json=identifier)
        assert linked.status_code == 200, linked.text
    return subject_id


async def refused(_message: Message) -> Answer:
    return Answer(500)


def needles() -> Iterator[bytes]:
    """Everything told about the person, in the forms in which it might have been kept."""
    for text in (WORDS, *REFERENCES, *(identifier["id"] for identifier in (EMAIL, CUSTOMER, PHONE))):
        for octets in (text.encode(), text.encode("utf-16-le"), text.upper().encode()):
            yield octets
            yield octets.hex().encode()
            yield base64.b64encode(octets).rstrip(b"=")[:-1]
            yield hashlib.sha256(octets).digest()


def sealed_values(maywe: Maywe) -> list[bytes]:
    """The sealed values and evidence of everybody: what an erasure has to destroy."""
    query = "SELECT sealed FROM {} WHERE sealed IS NOT NULL"
    return [bytes(row[0]) for table in ("identifiers", "evidence") for row in _rows(maywe, query.format(table))]


def _rows(maywe: Maywe, query: str) -> list[Any]:
    if maywe.store.database.is_sqlite:
        connection = sqlite3.connect(maywe.url.removeprefix("sqlite:///"))
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()
    with psycopg.connect(maywe.url) as server:
        return server.execute(query.encode()).fetchall()


def everything(maywe: Maywe) -> bytes:
    """Every octet of an embedded database, its write-ahead log folded in; on PostgreSQL what `pg_dump` writes, and
    every table in the form of the wire as well."""
    if maywe.store.database.is_sqlite:
        path = Path(maywe.url.removeprefix("sqlite:///"))
        assert _rows(maywe, "PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0
        return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
    names = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    dump = dumped(maywe.url)
    with psycopg.connect(maywe.url) as server:
        for (table,) in server.execute(names).fetchall():
            with server.cursor().copy(f"COPY {table} TO STDOUT (FORMAT BINARY)".encode()) as copied:
                dump += b"".join(bytes(part) for part in copied)
    return dump


async def test_nothing_that_was_told_about_the_person_is_left(maywe: Maywe) -> None:
    subject_id = await live(maywe)
    sealed = await anyio.to_thread.run_sync(sealed_values, maywe)
    before = await anyio.to_thread.run_sync(everything, maywe)
    assert len(sealed) == 10
    assert all(value in before for value in sealed)
    assert not [needle for needle in needles() if needle in before]
    erased = await maywe.http.post(f"/v1/subjects/{subject_id}/erasure", json={"reason": WORDS})
    assert erased.status_code == 200
    after = await anyio.to_thread.run_sync(everything, maywe)
    assert not [value for value in sealed if value in after]
    assert not [value for value in sealed if value[21:37] in after]  # nor a fragment of the ciphertext
    assert not [needle for needle in needles() if needle in after]
    assert subject_id.encode() in after


async def test_nor_in_what_was_answered_and_pushed(
    databases: Databases, engine: str, published: Callable[[str], Awaitable[str]]
) -> None:
    """With the decision log on, a webhook whose letters lie dead, and stored answers to repeated requests."""
    url = databases.copy(await published(engine))
    settings = {"decision_log_days": 1, "webhook_networks": "127.0.0.0/8", "webhook_retries": "0.05"}
    async with receiving() as receiver, in_process(url, **settings) as maywe:
        receiver.answer = refused
        made = await hook(maywe, receiver.url, filter={"identifier_type": "email", "type": ["choice.give"]})
        maywe.http.headers["Idempotency-Key"] = "unforgotten"
        await maywe.choose(
            EMAIL, {"purpose": "ads", "choice": "give"}, notice="conformance-1", evidence={"wording": WORDS}
        )
        del maywe.http.headers["Idempotency-Key"]
        subject_id = await live(maywe)
        await maywe.ask(EMAIL, "offers", channel="email")
        await becomes(maywe, made, dead_letters=2)
        assert receiver.got[0].data["subject"] == EMAIL  # pushed, and kept as a place in the ledger alone
        await maywe.app.state.decision_log.write()
        logged = f"SELECT count(*) FROM decisions WHERE subject_id = '{subject_id}'"
        assert (await anyio.to_thread.run_sync(_rows, maywe, logged))[0][0] > 0
        sealed = await anyio.to_thread.run_sync(sealed_values, maywe)
        assert (await maywe.http.post(f"/v1/subjects/{subject_id}/erasure", json={"reason": WORDS})).status_code == 200
        after = await anyio.to_thread.run_sync(everything, maywe)
        assert not [needle for needle in (*needles(), *sealed) if needle in after]
        assert (await anyio.to_thread.run_sync(_rows, maywe, logged))[0][0] == 0
    databases.drop(url)


async def test_what_was_unlinked_is_gone_and_the_rest_stays(maywe: Maywe) -> None:
    subject_id = await live(maywe)
    held = (await maywe.http.get(f"/v1/subjects/{subject_id}")).json()["identifiers"]
    phone = next(i for i in held if i["type"] == "phone")
    query = f"SELECT sealed FROM identifiers WHERE identifier_id = '{phone['identifier_id']}'"
    ((value,),) = await anyio.to_thread.run_sync(_rows, maywe, query)
    gone = await maywe.http.delete(f"/v1/subjects/{subject_id}/identifiers/{phone['identifier_id']}")
    assert gone.status_code == 200
    after = await anyio.to_thread.run_sync(everything, maywe)
    assert bytes(value) not in after
    left = (await maywe.http.get(f"/v1/subjects/{subject_id}")).json()["identifiers"]
    assert {i["type"] for i in left} == {"email", "customer"}


async def test_copies_made_from_the_feed_are_told(maywe: Maywe) -> None:
    subject_id = await live(maywe)
    await maywe.http.post(f"/v1/subjects/{subject_id}/erasure", json={})
    rows = (await maywe.http.get("/v1/changes")).json()["changes"]
    told = [row for row in rows if row["type"] == "subject.erased"]
    assert [(row["subject_id"], row["subject"]) for row in told] == [(subject_id, None)]


@pytest.mark.parametrize("path", ["", "/events", "/export"])
async def test_nothing_is_told_about_the_person_any_more(maywe: Maywe, path: str) -> None:
    subject_id = await live(maywe)
    await maywe.http.post(f"/v1/subjects/{subject_id}/erasure", json={})
    answer = await maywe.http.get(f"/v1/subjects/{subject_id}{path}")
    assert answer.status_code == 410
    assert "unforgettable" not in answer.text.lower()
