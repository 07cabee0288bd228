"""All state comes from the ledger: told anew it is the same, and what was damaged is mended."""

from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app import administering
from tests.harness import sql
from tests.harness.people import People, answers_about_everybody
from tests.harness.service import Maywe, command
from tests.harness.wholeness import assert_whole

STATE = {
    "subjects": "subject_id, merged_into, was_device, erased_at",
    "attachments": "subject_id, other_id",
    "tombstones": "digest, event_id",
}


def everything_kept(url: str) -> dict[str, list[str]]:
    return {
        table: sorted(map(repr, sql.rows(url, f"SELECT {columns} FROM {table}"))) for table, columns in STATE.items()
    }


async def live_through(maywe: Maywe, steps: int, seed: int) -> None:
    people = People(maywe.http, seed)
    for _ in range(steps):
        await people.step()
    assert people.refused() == []


def happened(url: str) -> set[str]:
    """What of the things that move history between subjects happened at all."""
    found = sql.rows(url, "SELECT type, data FROM ledger")
    told = {kind for kind, _ in found if kind.startswith("subject.")}
    return told | {
        name for name in ("takes_over", '"attached"', "was_device") if any(name in data for _, data in found)
    }


EVERYTHING = {
    *("subject.linked", "subject.merged", "subject.unlinked", "subject.erased"),
    *("takes_over", '"attached"', "was_device"),
}


async def test_all_state_is_what_the_ledger_tells(maywe: Maywe) -> None:
    await live_through(maywe, 150, seed=1)
    assert happened(maywe.url) == EVERYTHING
    kept, answers = everything_kept(maywe.url), await answers_about_everybody(maywe.http)
    assert await assert_whole(maywe.url) > 100
    sql.execute(maywe.url, "DELETE FROM subjects", "DELETE FROM attachments", "UPDATE tombstones SET state = ''")
    assert "rows rebuilt" in command(maywe.url, "rebuild")
    assert everything_kept(maywe.url) == kept
    assert await answers_about_everybody(maywe.http) == answers
    await assert_whole(maywe.url)


DAMAGES = {
    "a state": ("UPDATE subjects SET state = (SELECT min(state) FROM subjects)", {}),
    "a state that cannot be read": ("UPDATE subjects SET state = :junk", {"junk": b"\xc1junk"}),
    "a state that is no octets": ("UPDATE subjects SET state = ''", {}),
    "what checks read": ("UPDATE subjects SET present = (SELECT min(present) FROM subjects)", {}),
    "what checks read, not to be read": ("UPDATE subjects SET present = :junk", {"junk": b"\xc1junk"}),
    "a row that is gone": ("DELETE FROM subjects WHERE merged_into IS NULL", {}),
    "a row that was never written": (
        "INSERT INTO subjects (subject_id, present, state)"
        " SELECT 'sub_unheard_of', min(present), min(state) FROM subjects",
        {},
    ),
    "a merge undone": ("UPDATE subjects SET merged_into = NULL", {}),
    "a device made a person": ("UPDATE subjects SET was_device = (1 = 0)", {}),
    "an erasure undone": ("UPDATE subjects SET erased_at = NULL", {}),
    "an attachment gone": ("DELETE FROM attachments", {}),
    "a tombstone that cannot be read": ("UPDATE tombstones SET state = :junk", {"junk": b"junk"}),
}


@pytest.fixture
async def lived(maywe: Maywe) -> Maywe:
    """People with a history in which each kind of row is there."""
    await live_through(maywe, 80, seed=5)
    assert happened(maywe.url) == EVERYTHING
    return maywe


async def test_rebuild_mends_each_damage(lived: Maywe) -> None:
    kept, answers = everything_kept(lived.url), await answers_about_everybody(lived.http)
    for damage, values in DAMAGES.values():
        sql.execute(lived.url, damage, **values)
        assert await differing(lived) > 0, damage
        assert await differing(lived, mend=True) > 0
        assert await differing(lived) == 0, damage
        if "unheard_of" not in damage:
            assert everything_kept(lived.url) == kept, damage
        sql.execute(lived.url, "DELETE FROM subjects WHERE subject_id = 'sub_unheard_of'")
    assert await answers_about_everybody(lived.http) == answers


async def differing(maywe: Maywe, *, mend: bool = False) -> int:
    return await administering.rebuild(maywe.store, only_compare=not mend)


async def test_a_state_that_cannot_be_read_is_no_yes(maywe: Maywe) -> None:
    subject = {"type": "customer", "id": "c-1"}
    await maywe.choose(subject, {"purpose": "offers", "channel": "email", "choice": "withdraw"})
    question = {"subject": subject, "purpose": "offers", "channel": "email"}
    sql.execute(maywe.url, "UPDATE subjects SET present = :junk", junk=b"\xc1junk")
    assert (await maywe.http.post("/v1/check", json=question)).status_code == 500
    past = {**question, "as_of": "2026-01-01T00:00:00Z"}
    assert (await maywe.http.post("/v1/check", json=past)).status_code == 200
    sql.execute(maywe.url, "UPDATE subjects SET state = :junk", junk=b"\xc1junk")
    assert (await maywe.http.post("/v1/check", json=past)).status_code == 500


async def test_erasure_removes_sealed_values_and_evidence(maywe: Maywe) -> None:
    people = [{"type": "customer", "id": "c-1"}, {"type": "email", "id": "ada@example.com"}]
    for subject in people:
        await maywe.choose(subject, {"purpose": "offers", "choice": "withdraw"}, evidence={"wording": "as shown"})
        await maywe.establish(subject, {"fact": "sale", "reference": "order-1"})
    stays = {"type": "customer", "id": "c-2"}
    await maywe.choose(stays, {"purpose": "offers", "choice": "withdraw"}, evidence={"wording": "as shown"})
    one = await maywe.find(people[0])
    await _link(maywe.http, one, people[1])
    assert sealed(maywe.url) == (3, 5)
    await maywe.http.post(f"/v1/subjects/{one}/erasure", json={})
    assert sealed(maywe.url) == (1, 1)
    assert sql.rows(maywe.url, "SELECT DISTINCT subject_id FROM identifiers") == [(await maywe.find(stays),)]
    assert await assert_whole(maywe.url) > 0


async def _link(http: httpx.AsyncClient, subject_id: str, identifier: dict[str, Any]) -> None:
    answer = await http.post(f"/v1/subjects/{subject_id}/identifiers", json=identifier)
    assert answer.status_code == 200, answer.text


def sealed(url: str) -> tuple[int, int]:
    with sql.connected(url) as connection:
        return (
            connection.execute(text("SELECT count(*) FROM identifiers")).scalar_one(),
            connection.execute(text("SELECT count(*) FROM evidence")).scalar_one(),
        )
