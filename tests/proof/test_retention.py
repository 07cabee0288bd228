"""What is due for erasure: the data categories that no purpose may use any more, and since when."""

from typing import Any

import pytest

from tests.harness.service import Maywe

ADA = {"type": "customer", "id": "c-1"}


async def due(maywe: Maywe, **query: Any) -> dict[str, dict[str, str | None]]:
    """Per subject_id the categories, each with since when."""
    answer = await maywe.http.get("/v1/retention/due", params=query)
    assert answer.status_code == 200, answer.text
    return {
        person["subject_id"]: {c["data_category"]: c["since"] for c in person["data_categories"]}
        for person in answer.json()["due"]
    }


async def test_a_category_is_due_once_the_last_purpose_ended(maywe: Maywe) -> None:
    give = {"purpose": "health_advice", "choice": "give", "explicit": True}
    await maywe.choose(ADA, give, notice="conformance-1", occurred_at="2026-05-01T10:00:00Z")
    subject_id = await maywe.find(ADA)
    assert "health" not in (await due(maywe))[subject_id]
    withdrawn = {"purpose": "health_advice", "choice": "withdraw"}
    await maywe.choose(ADA, withdrawn, occurred_at="2026-06-01T10:00:00Z")
    told = (await due(maywe))[subject_id]
    assert told["health"] == "2026-06-01T10:00:00Z"
    assert "orders" not in told  # the statutory accounts may
    assert told["gender"] is None  # nothing ever might


async def test_time_alone_makes_it_due(maywe: Maywe) -> None:
    await maywe.choose(
        ADA, {"purpose": "ads", "choice": "give"}, notice="conformance-1", occurred_at="2026-01-10T10:00:00Z"
    )
    for purpose in ("improvement", "recommendations", "fraud_checks"):
        await maywe.choose(ADA, {"purpose": purpose, "choice": "object"}, occurred_at="2026-01-11T10:00:00Z")
    told = (await due(maywe))[await maywe.find(ADA)]
    assert told["browsing"] == "2026-07-09T10:00:00Z"  # 180 days after the consent


async def test_the_pages_are_everybody_once_but_the_erased(maywe: Maywe) -> None:
    people = [{"type": "customer", "id": f"c-{n}"} for n in range(5)]
    for person in people:
        await maywe.choose(person, {"purpose": "ads", "choice": "refuse"})
    gone = await maywe.find(people[0])
    await maywe.http.post(f"/v1/subjects/{gone}/erasure", json={})
    seen: list[str] = []
    after = ""
    while after is not None:
        page = (await maywe.http.get("/v1/retention/due", params={"after": after, "limit": 2})).json()
        seen += [person["subject_id"] for person in page["due"]]
        after = page["next"]
    assert seen == sorted([await maywe.find(person) for person in people[1:]])


@pytest.mark.parametrize(("query", "status"), [({"limit": 0}, 422), ({"limit": 1001}, 422), ({"after": "a b"}, 422)])
async def test_a_wrong_page_is_refused(maywe: Maywe, query: dict[str, Any], status: int) -> None:
    assert (await maywe.http.get("/v1/retention/due", params=query)).status_code == status


async def test_it_needs_a_key_that_may_read_subjects(maywe: Maywe) -> None:
    headers = {"Authorization": f"Bearer {await maywe.key('check')}"}
    assert (await maywe.http.get("/v1/retention/due", headers=headers)).status_code == 403
