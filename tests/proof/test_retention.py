"""What is due for erasure: the data categories that no purpose may use any more, and since when."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import retaining
from app.retaining import tell_due
from tests.changes.polling import follow
from tests.harness.databases import Databases
from tests.harness.people import IDENTIFIERS, People
from tests.harness.service import Maywe, command_here, in_process

ADA = {"type": "customer", "id": "c-1"}
HEALTH = {"purpose": "health_advice", "choice": "give", "explicit": True}
GIVEN = {"notice": "conformance-1", "occurred_at": "2026-05-01T10:00:00Z"}
WITHDRAWN = {"purpose": "health_advice", "choice": "withdraw"}


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


async def test_what_is_restricted_is_kept_until_the_restriction_is_lifted(maywe: Maywe) -> None:
    """The person asked to have it kept and not erased (Art. 18(1)(b), (2))."""
    await maywe.choose(ADA, HEALTH, **GIVEN)
    restriction = {"data_categories": ["health"]}
    await maywe.establish(ADA, {"fact": "restriction_started", **restriction, "occurred_at": "2026-05-20T10:00:00Z"})
    await maywe.choose(ADA, WITHDRAWN, occurred_at="2026-06-01T10:00:00Z")
    subject_id = await maywe.find(ADA)
    assert "health" not in (await due(maywe))[subject_id]
    await rounds(maywe)
    assert await told(maywe) == []
    lifted = {"fact": "restriction_lifted", **restriction, "occurred_at": "2026-06-03T10:00:00Z"}
    await maywe.establish(ADA, lifted)
    assert (await due(maywe))[subject_id]["health"] == "2026-06-03T10:00:00Z"
    await rounds(maywe, after=timedelta(hours=1))
    assert await told(maywe) == [(subject_id, ["health"], "2026-06-03T10:00:00Z")]


async def test_a_restriction_of_everything_keeps_what_no_purpose_covers(maywe: Maywe) -> None:
    await maywe.establish(ADA, {"fact": "restriction_started"})
    assert await due(maywe) == {}


async def test_a_restriction_of_one_category_makes_no_other_due(maywe: Maywe) -> None:
    """Health advice uses the address for mail as well."""
    for category in ("email", "orders"):
        await maywe.establish(ADA, {"fact": "restriction_started", "data_categories": [category]})
    subject_id = await maywe.find(ADA)
    found = (await due(maywe))[subject_id]
    assert not {"name", "address", "browsing", "email", "orders"} & found.keys()


async def test_due_is_what_no_question_allows_to_be_used_and_nobody_had_restricted(
    maywe: Maywe, shop: dict[str, Any]
) -> None:
    """Compared with every question about one category, of people to whom everything happened."""
    people, chance = People(maywe.http, seed=11), random.Random(11)
    covering = [
        {"purpose": purpose, "channel": channel, "data_categories": [category], "operation": "store"}
        for purpose, declared in shop["purposes"].items()
        if declared.get("personal", True) and declared.get("enabled", True)
        for channel in declared.get("channels", [None])
        for category in declared["data_categories"]
    ]
    covered = {question["data_categories"][0] for question in covering}
    for _ in range(60):
        await people.step()
        if chance.random() < 0.4:
            fact = chance.choice(["restriction_started", "restriction_started", "restriction_lifted"])
            of = {"data_categories": chance.sample(sorted(covered), 3)}
            await maywe.establish(chance.choice(IDENTIFIERS), {"fact": fact, **of})
    found, seen, restricted = await due(maywe, limit=1000), 0, 0
    for who in IDENTIFIERS:
        known = await maywe.http.post("/v1/subjects/find", json=who)
        if known.is_success:
            asked = [{"subject": who, **question} for question in covering]
            answers = (await maywe.http.post("/v1/check/batch", json={"checks": asked})).json()["decisions"]
            allowed = {q["data_categories"][0] for q, a in zip(covering, answers, strict=True) if a["decision"]}
            told = found.get(known.json()["subject_id"], {}).keys() & covered
            assert told <= covered - allowed, who
            reasons = {answer["reason"] for answer in answers}
            if not reasons & {"child", "suppressed"}:  # these come before a restriction
                assert told == covered - allowed, who
                restricted += "restriction_storage" in reasons
            seen += len(told)
    assert seen > 10
    assert restricted > 0


async def test_it_is_asked_for_where_the_person_is(maywe: Maywe) -> None:
    for purpose in ("improvement", "recommendations"):
        await maywe.choose(ADA, {"purpose": purpose, "choice": "object"}, occurred_at="2026-01-11T10:00:00Z")
    subject_id = await maywe.find(ADA)
    for jurisdiction, is_due in (("EEA", True), ("GB", False)):
        assert ("browsing" in (await due(maywe, jurisdiction=jurisdiction))[subject_id]) is is_due
    assert "browsing" in (await due(maywe))[subject_id]
    assert (await maywe.http.get("/v1/retention/due", params={"jurisdiction": "XX"})).status_code == 422


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


# Told in the feed


async def told(maywe: Maywe) -> list[tuple[str, list[str], str]]:
    """What the feed says is due: about whom, which categories, since when."""
    rows, _ = await follow(maywe.http, type="erasure_due")
    return [(row["subject_id"], row["details"]["data_categories"], row["occurred_at"]) for row in rows]


async def rounds(maywe: Maywe, *, after: timedelta = timedelta()) -> None:
    """Whole rounds over everybody, some of them at the same time."""
    now = datetime.now(UTC) + after
    for _ in range(4):
        await asyncio.gather(*(tell_due(maywe.store, now) for _ in range(2)))


async def test_what_becomes_due_is_told_once(maywe: Maywe) -> None:
    await maywe.choose(ADA, HEALTH, **GIVEN)
    await rounds(maywe)
    assert await told(maywe) == []
    await maywe.choose(ADA, WITHDRAWN, occurred_at="2026-06-01T10:00:00Z")
    await rounds(maywe)
    assert await told(maywe) == [], "a round rests for a minute"
    await rounds(maywe, after=timedelta(minutes=1))
    expected = [(await maywe.find(ADA), ["health"], "2026-06-01T10:00:00Z")]
    assert await told(maywe) == expected
    await rounds(maywe, after=timedelta(hours=2))
    assert await told(maywe) == expected


async def test_what_was_used_again_and_ended_again_is_told_again(maywe: Maywe) -> None:
    for month in (4, 6):
        await maywe.choose(ADA, HEALTH, notice="conformance-1", occurred_at=f"2026-{month:02}-01T10:00:00Z")
        await maywe.choose(ADA, WITHDRAWN, occurred_at=f"2026-{month + 1:02}-01T10:00:00Z")
        await rounds(maywe, after=timedelta(hours=month))
    assert [since for _, _, since in await told(maywe)] == ["2026-05-01T10:00:00Z", "2026-07-01T10:00:00Z"]


async def test_what_one_hears_makes_it_due_as_well(maywe: Maywe) -> None:
    """Nothing is written about the device itself; it hears what the person says."""
    device = {"type": "device", "id": "d-1"}
    await maywe.choose(device, HEALTH, notice="conformance-1", occurred_at="2026-05-01T10:00:00Z")
    await maywe.establish(ADA, {"fact": "informed", "occurred_at": "2026-05-01T10:00:00Z"})
    one, attached = await maywe.find(ADA), await maywe.find(device)
    await maywe.http.post(f"/v1/subjects/{one}/identifiers", json=device)
    await maywe.choose(ADA, WITHDRAWN, occurred_at="2026-06-02T10:00:00Z")
    await rounds(maywe)
    assert (attached, ["health"], "2026-06-02T10:00:00Z") in await told(maywe)


async def test_a_long_round_reaches_everybody(maywe: Maywe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retaining, "_PAGE", 3)
    people = [{"type": "customer", "id": f"c-{n}"} for n in range(10)]
    for person in people:
        await maywe.choose(person, HEALTH, **GIVEN)
        await maywe.choose(person, WITHDRAWN, occurred_at="2026-06-01T10:00:00Z")
    await rounds(maywe)
    assert sorted(subject_id for subject_id, *_ in await told(maywe)) == sorted([await maywe.find(p) for p in people])
    assert "agree" in (await command_here(maywe.url, "rebuild", "--check")).output
    assert "whole" in (await command_here(maywe.url, "verify")).output


async def test_who_was_erased_is_not_told_of(maywe: Maywe) -> None:
    await maywe.choose(ADA, HEALTH, **GIVEN)
    await maywe.choose(ADA, WITHDRAWN, occurred_at="2026-06-01T10:00:00Z")
    await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/erasure", json={})
    await rounds(maywe)
    assert await told(maywe) == []


BROWSING = ("improvement", "recommendations", "fraud_checks")  # what else may use it, as long as nobody objects


async def test_the_first_that_is_said_may_make_it_due(maywe: Maywe) -> None:
    """A legitimate interest needs no event on file, so it may have used the data until the objection."""
    for purpose in BROWSING:
        await maywe.choose(ADA, {"purpose": purpose, "choice": "object"}, occurred_at="2026-05-01T10:00:00Z")
    await rounds(maywe)
    assert (await maywe.find(ADA), ["browsing"], "2026-05-01T10:00:00Z") in await told(maywe)


async def test_the_end_of_the_last_contract_makes_it_due(maywe: Maywe) -> None:
    contract = {"reference": "order-1"}
    await maywe.establish(ADA, {"fact": "contract_started", **contract, "occurred_at": "2026-05-01T10:00:00Z"})
    await rounds(maywe)
    assert await told(maywe) == []
    await maywe.establish(ADA, {"fact": "contract_ended", **contract, "occurred_at": "2026-06-01T10:00:00Z"})
    await rounds(maywe, after=timedelta(hours=1))
    ((_, _, since),) = await told(maywe)
    assert since == "2026-06-01T10:00:00Z"


@pytest.mark.parametrize("forgets_the_category", [False, True])
async def test_a_version_without_the_purpose_makes_it_due(
    maywe: Maywe, shop: dict[str, Any], *, forgets_the_category: bool
) -> None:
    await maywe.choose(ADA, HEALTH, **GIVEN)
    purposes = {key: purpose for key, purpose in shop["purposes"].items() if key != "health_advice"}
    categories = {k: c for k, c in shop["data_categories"].items() if k != "health" or not forgets_the_category}
    for recipient in shop["recipients"].values():
        if "data_categories" in recipient:
            recipient["data_categories"] = [c for c in recipient["data_categories"] if c in categories]
    later = {**shop, "version": "later", "purposes": purposes, "data_categories": categories}
    del later["effective_from"]
    await maywe.publish(later)
    versions = (await maywe.http.get("/v1/catalogue/versions")).json()["versions"]
    start = next(v["effective_from"] for v in versions if v["version"] == "later")
    await rounds(maywe)
    assert await told(maywe) == [(await maywe.find(ADA), ["health"], start)]


async def test_a_service_that_runs_goes_round_by_itself(
    databases: Databases, engine: str, published: Callable[[str], Awaitable[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"_START": 0.0, "_PAUSE": 0.05, "_SHARE": 0.0, "_REST": timedelta()}.items():
        monkeypatch.setattr(retaining, name, value)
    async with in_process(databases.copy(await published(engine))) as maywe:
        await maywe.choose(ADA, HEALTH, **GIVEN)
        await maywe.choose(ADA, WITHDRAWN, occurred_at="2026-06-01T10:00:00Z")
        for _ in range(100):
            if await told(maywe):
                break
            await asyncio.sleep(0.05)
        assert await told(maywe) == [(await maywe.find(ADA), ["health"], "2026-06-01T10:00:00Z")]
