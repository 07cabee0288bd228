"""The ledger: refuses change, stands in commit order, and its chain tells of every tampering."""

import asyncio
import hashlib
import time

import httpx
import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from app.storage import ledger
from app.storage.ledger import Verification
from tests.harness import sql
from tests.harness.service import NO_TLS, Maywe, command, served

OFF = {"purpose": "offers", "channel": "email", "choice": "withdraw"}
ON = {"purpose": "offers", "channel": "email", "choice": "give"}


def customer(number: int) -> dict[str, str]:
    return {"type": "customer", "id": f"c-{number}"}


async def fill(maywe: Maywe, people: int = 4) -> None:
    for number in range(people):
        await maywe.choose(customer(number), ON, notice="conformance-1")
        await maywe.choose(customer(number), OFF)


async def verified(maywe: Maywe) -> Verification:
    async with maywe.store.database.read() as connection:
        return await ledger.verify(connection)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger SET type = 'choice.give' WHERE position = 2",
        "UPDATE ledger SET position = position",
        "DELETE FROM ledger WHERE position = 2",
        "DELETE FROM ledger",
    ],
)
async def test_the_ledger_refuses_changes(maywe: Maywe, change: str) -> None:
    await fill(maywe, 1)
    with pytest.raises(DBAPIError, match="append-only"):
        sql.execute(maywe.url, change)
    assert (await verified(maywe)).fault is None


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_the_ledger_refuses_to_be_emptied(maywe: Maywe) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        sql.execute(maywe.url, "TRUNCATE ledger")


async def test_an_untouched_chain_is_whole(maywe: Maywe) -> None:
    await fill(maywe)
    assert await verified(maywe) == Verification(9, None)  # eight choices and a catalogue


COPIED = "event_id, type, subject_id, purpose, channel, scope, occurred_at, recorded_at, data, digest"
TAMPERINGS = {
    "altered": (["UPDATE ledger SET type = 'choice.give' WHERE position = 5"], "position 5 was altered"),
    "altered in what it tells": (
        ["UPDATE ledger SET data = replace(data, 'web_form', 'paper') WHERE position = 5"],
        "position 5 was altered",
    ),
    "dated back": (["UPDATE ledger SET occurred_at = '2020-01-01 00:00:00' WHERE position = 5"], "5 was altered"),
    "given to another": (
        ["UPDATE ledger SET subject_id = (SELECT subject_id FROM ledger WHERE position = 2) WHERE position = 5"],
        "position 5 was altered",
    ),
    "removed": (["DELETE FROM ledger WHERE position = 5"], "position 5 is missing"),
    "removed, and the gap closed": (
        [
            "DELETE FROM ledger WHERE position = 5",
            *(f"UPDATE ledger SET position = {n - 1} WHERE position = {n}" for n in range(6, 10)),
            "UPDATE ledger_head SET position = 8",
        ],
        "position 5 was altered",
    ),
    "the last removed": (["DELETE FROM ledger WHERE position = 9"], "the ledger ends at 8, its head says 9"),
    "the last removed, and the head moved": (
        ["DELETE FROM ledger WHERE position = 9", "UPDATE ledger_head SET position = 8"],
        "the digest in the head",
    ),
    "inserted": (
        [
            *(f"UPDATE ledger SET position = {n + 1} WHERE position = {n}" for n in range(9, 4, -1)),
            f"INSERT INTO ledger (position, {COPIED}) SELECT 5, 'evt_forged', "
            f"{COPIED.removeprefix('event_id, ')} FROM ledger WHERE position = 4",
            "UPDATE ledger_head SET position = 10",
        ],
        "position 5 was altered",
    ),
    "added behind the head": (
        [
            f"INSERT INTO ledger (position, {COPIED}) SELECT 10, 'evt_forged', "
            f"{COPIED.removeprefix('event_id, ')} FROM ledger WHERE position = 9"
        ],
        "the ledger ends at 10, its head says 9",
    ),
    "two swapped": (
        [
            "UPDATE ledger SET position = 100 WHERE position = 5",
            "UPDATE ledger SET position = 5 WHERE position = 6",
            "UPDATE ledger SET position = 6 WHERE position = 100",
        ],
        "position 5 was altered",
    ),
    "the head forged": (
        ["UPDATE ledger_head SET digest = (SELECT digest FROM ledger WHERE position = 3)"],
        "the digest in the head",
    ),
    "the head moved back": (["UPDATE ledger_head SET position = 7"], "the ledger ends at 9, its head says 7"),
    "everything removed": (["DELETE FROM ledger"], "the ledger ends at 0"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
async def test_verify_finds_tampering(maywe: Maywe, name: str) -> None:
    statements, found = TAMPERINGS[name]
    await fill(maywe)
    sql.tamper(maywe.url, *statements)
    assert found in ((await verified(maywe)).fault or "")


async def test_the_command_says_what_it_found(maywe: Maywe) -> None:
    await fill(maywe)
    assert command(maywe.url, "verify") == "the chain of 9 entries is whole\n"
    sql.tamper(maywe.url, "DELETE FROM ledger WHERE position = 5")
    assert command(maywe.url, "verify", status=1) == ""


async def test_positions_are_dense_and_in_commit_order(maywe: Maywe) -> None:
    """Two processes write, a third reads: no reader ever sees a gap, and what was answered before a request began has
    the lower position."""
    with served(maywe.url, workers=2) as (address, _):
        headers = {"Authorization": f"Bearer {await maywe.key()}"}
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=30, verify=NO_TLS) as client:
            writing = asyncio.gather(*(_write(client, writer, times=10) for writer in range(6)))
            while not writing.done():
                await _see_no_gap(maywe)
            written = [one for several in await writing for one in several]
    await _see_no_gap(maywe)
    position = dict(sql.rows(maywe.url, "SELECT event_id, position FROM ledger"))
    for event, _, ended in written:
        for later, began, _ in written:
            assert began < ended or position[event] < position[later]
    assert await verified(maywe) == Verification(1 + 6 * 10, None)


async def _write(client: httpx.AsyncClient, writer: int, *, times: int) -> list[tuple[str, float, float]]:
    """Choices of two people, one of them everybody's; the event of each, and when it was asked for and answered."""
    written = []
    for n in range(times):
        choice = (ON | {"choice": "request"}, OFF)[n % 2]
        body = {"subject": customer(writer if n % 3 else 99), "choices": [choice], "method": "web_form"}
        began = time.monotonic()
        answer = await client.post("/v1/choices", json=body)
        assert answer.status_code == 201, answer.text
        history = await client.get(f"/v1/subjects/{answer.json()['subject_id']}/events", params={"limit": 1000})
        written.append((history.json()["events"][-1]["event_id"], began, time.monotonic()))
    return written


async def _see_no_gap(maywe: Maywe) -> None:
    async with maywe.store.database.read() as connection:
        statement = text("SELECT count(*), coalesce(max(position), 0), (SELECT position FROM ledger_head) FROM ledger")
        count, last, head = (await connection.execute(statement)).one()
    assert count == last == head


async def test_nothing_that_names_a_person_can_be_read_from_the_database(maywe: Maywe) -> None:
    """Neither an identifier nor free text, in the ledger or beside it; nor a digest that could be guessed."""
    words = ["ada@example.com", "+4915112345678", "c-4711", "device-0815", "the wording shown", "order-991", "clerk-7"]
    email, phone, person, device, wording, order, clerk = words
    actor = {"kind": "agent", "reference": clerk}
    subject_id = (await maywe.choose({"type": "email", "id": email}, OFF, evidence={"wording": wording}, actor=actor))[
        "subject_id"
    ]
    await maywe.establish({"type": "email", "id": email}, {"fact": "contract_started", "reference": order})
    for identifier in (
        {"type": "phone", "id": phone},
        {"type": "customer", "id": person},
        {"type": "device", "id": device},
    ):
        answer = await maywe.http.post(f"/v1/subjects/{subject_id}/identifiers", json=identifier)
        assert answer.status_code == 200, answer.text
    dump = _dump(maywe.url)
    assert all(word.encode() not in dump for word in words)
    assert all(hashlib.sha256(word.encode()).digest() not in dump for word in words)
    assert all(hashlib.sha256(word.encode()).hexdigest().encode() not in dump for word in words)
    await maywe.http.post(f"/v1/subjects/{subject_id}/erasure", json={"reason": wording, "force": True})
    assert all(word.encode() not in _dump(maywe.url) for word in words)


def _dump(url: str) -> bytes:
    """Every value of every table; for a file, the file as well."""
    with sql.connected(url) as connection:
        tables = inspect(connection).get_table_names()
        assert "ledger" in tables
        found = [value for name in tables for row in connection.execute(text(f"SELECT * FROM {name}")) for value in row]
    octets = [value if isinstance(value, bytes) else str(value).encode() for value in found]
    files = [path.read_bytes() for path in sql.files(url)]
    return b"\0".join([*octets, *files])
