"""Which rows the feed has: one per thing that changed, none where nothing did; each tells what its commit left."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.changes.polling import about, follow, page
from tests.harness.service import Maywe

ADA = {"type": "customer", "id": "ada"}
GIVE = {"purpose": "offers", "channel": "email", "choice": "give"}
WITHDRAW = {"purpose": "offers", "channel": "email", "choice": "withdraw"}
NOTICE = {"notice": "conformance-1"}


def ago(**much: float) -> str:
    return (datetime.now(UTC) - timedelta(**much)).isoformat()


async def test_a_choice_is_told_with_what_it_made_of_the_standing(maywe: Maywe) -> None:
    written = await maywe.choose(ADA, GIVE, **NOTICE, occurred_at=ago(days=1))
    rows, _ = await follow(maywe.http, identifier_type="customer")
    assert rows[0]["type"] == "catalogue.published"
    assert rows[0]["details"]["version"] == "conformance-1"
    row = rows[1]
    assert len(rows) == 2
    assert row["event_id"] == written["events"][0]["event_id"]
    assert row["occurred_at"] == written["events"][0]["occurred_at"]
    assert row["recorded_at"] == written["events"][0]["recorded_at"]
    expected = {
        "type": "choice.give",
        "subject_id": written["subject_id"],
        "subject": ADA,
        "purpose": "offers",
        "channel": "email",
        "scope": None,
        "status": "given",
        "previous_status": None,
        "version": 1,
        "basis": "consent",
        "objected": False,
        "method": "web_form",
        "notice": "conformance-1",
        "merged_into": None,
    }
    assert {name: row[name] for name in expected} == expected


async def test_what_changes_nothing_is_not_told(maywe: Maywe) -> None:
    await maywe.choose(ADA, WITHDRAW, occurred_at=ago(days=2))
    _, cursor = await follow(maywe.http)
    again = await maywe.choose(ADA, WITHDRAW, occurred_at=ago(days=1))
    late = await maywe.choose(ADA, GIVE, **NOTICE, occurred_at=ago(days=3))
    assert [e["effective"] for e in again["events"] + late["events"]] == [False, False]
    rows, moved = await follow(maywe.http, cursor)
    assert rows == []
    assert moved != cursor  # past what was looked at


async def test_a_no_without_channel_is_one_event_and_a_row_per_channel(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, **NOTICE)
    _, cursor = await follow(maywe.http)
    written = await maywe.choose(ADA, {"purpose": "offers", "choice": "withdraw"})
    rows, _ = await follow(maywe.http, cursor)
    assert about(rows, "channel", "status", "previous_status", "version") == [
        (e["channel"], "withdrawn", "given" if e["channel"] == "email" else None, e["version"])
        for e in written["events"]
    ]
    assert len(rows) > 1
    assert len({row["event_id"] for row in rows}) == 1
    assert len({row["id"] for row in rows}) == len(rows)


async def test_a_choice_about_a_scope_is_one_row_and_one_per_standing_it_changes(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, **NOTICE)
    _, cursor = await follow(maywe.http)
    await maywe.choose(ADA, {"scope": "all_marketing", "choice": "object"})
    rows, cursor = await follow(maywe.http, cursor)
    assert about(rows, "scope", "purpose", "channel", "status", "previous_status", "version") == [
        ("all_marketing", None, None, "objected", None, None),
        (None, "offers", "email", "withdrawn", "given", 2),
    ]
    await maywe.choose(ADA, {"scope": "all_marketing", "choice": "withdraw_objection"})
    rows, _ = await follow(maywe.http, cursor)
    assert about(rows, "scope", "channel", "status", "previous_status", "objected", "version") == [
        ("all_marketing", None, None, "objected", None, None),
        (None, "email", "withdrawn", "withdrawn", False, 3),  # the grounds that are not consent are free again
    ]


async def test_lifting_a_scope_lifts_what_was_limited_to_a_channel_and_says_so(maywe: Maywe) -> None:
    await maywe.choose(ADA, {"scope": "all_marketing", "channel": "email", "choice": "object"})
    await maywe.choose(ADA, {"scope": "all_marketing", "channel": "sms", "choice": "object"})
    _, cursor = await follow(maywe.http)
    written = await maywe.choose(ADA, {"scope": "all_marketing", "choice": "withdraw_objection"})
    assert written["events"][0]["effective"]
    rows, _ = await follow(maywe.http, cursor)
    assert about(rows, "scope", "channel", "status", "previous_status") == [
        ("all_marketing", "email", None, "objected"),
        ("all_marketing", "sms", None, "objected"),
    ]


async def test_a_purpose_freed_from_an_objection_to_all_marketing_is_told_each_time(maywe: Maywe) -> None:
    await maywe.choose(ADA, {"scope": "all_marketing", "choice": "object"})
    _, cursor = await follow(maywe.http)
    purpose = "recommendations"
    for choice, scope, decision in (
        ("withdraw_objection", False, True),
        ("object", True, False),
        ("withdraw_objection", False, True),
    ):
        what = {"scope": "all_marketing"} if scope else {"purpose": purpose}
        await maywe.choose(ADA, {**what, "choice": choice})
        assert (await maywe.ask(ADA, purpose))["decision"] is decision
        rows, cursor = await follow(maywe.http, cursor)
        told = [row for row in rows if row["purpose"] == purpose]
        assert about(told, "status", "objected") == [(None, False) if decision else ("objected", True)]


async def test_an_objection_that_a_scope_hid_outlives_it(maywe: Maywe) -> None:
    """Also where it came by a merge: who copies the feed must not lose it when the scope is lifted."""
    grace = {"type": "customer", "id": "grace"}
    await maywe.choose(grace, {"purpose": "recommendations", "choice": "object"})
    await maywe.choose(ADA, {"scope": "all_marketing", "choice": "object"})
    _, cursor = await follow(maywe.http)
    await maywe.choose(ADA, {"purpose": "postal_offers", "channel": "post", "choice": "object"})
    await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/identifiers", json=grace)
    await maywe.choose(ADA, {"scope": "all_marketing", "choice": "withdraw_objection"})
    rows, _ = await follow(maywe.http, cursor)
    last = {row["purpose"]: row["status"] for row in rows if row["version"]}
    assert last == {"postal_offers": "objected", "recommendations": "objected"}


async def test_rows_of_one_request_tell_what_held_after_it(maywe: Maywe) -> None:
    """A reader who takes one row at a time must not see a yes that never was."""
    _, cursor = await follow(maywe.http)
    await maywe.choose(ADA, GIVE, {"scope": "all_marketing", "choice": "object"}, **NOTICE)
    first = await page(maywe.http, after=cursor, limit=1)
    assert about(first["changes"], "type", "status", "version") == [("choice.give", "withdrawn", 2)]
    rows, _ = await follow(maywe.http, cursor)
    assert {row["status"] for row in rows if row["purpose"] == "offers"} == {"withdrawn"}
    subject = (await maywe.http.get(f"/v1/subjects/{rows[0]['subject_id']}")).json()
    assert about(subject["standings"], "status", "version") == [("withdrawn", 2)]


async def test_facts_are_told_without_a_word_of_their_text(maywe: Maywe) -> None:
    _, cursor = await follow(maywe.http)
    text = "order-secret-4711"
    await maywe.establish(
        ADA,
        {"fact": "contract_started", "reference": text},
        {"fact": "restriction_started", "data_categories": ["email"]},
        {"fact": "child", "until": "2031-05-01", "guardian_authorised": True},
    )
    await maywe.establish(ADA, {"fact": "contract_ended", "reference": text})
    rows, _ = await follow(maywe.http, cursor)
    assert text not in str(rows)
    facts = {row["type"]: row["details"] for row in rows}
    assert facts["fact.contract_started"] == facts["fact.contract_ended"]
    assert facts["fact.restriction_started"] == {"data_categories": ["email"]}
    assert facts["fact.child"] == {"until": "2031-05-01T00:00:00Z", "guardian_authorised": True}
    assert {row["version"] for row in rows} == {None}


async def test_an_invalidated_consent_is_the_fact_and_the_standing(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, **NOTICE)
    _, cursor = await follow(maywe.http)
    await maywe.establish(ADA, {"fact": "consent_invalidated", "purpose": "offers", "reason": "forged"})
    rows, _ = await follow(maywe.http, cursor)
    assert about(rows, "type", "purpose", "channel", "status", "version") == [
        ("fact.consent_invalidated", "offers", None, None, None),
        ("fact.consent_invalidated", "offers", "email", "invalidated", 2),
    ]


async def test_merging_unlinking_and_erasing_are_told(maywe: Maywe) -> None:
    grace = {"type": "email", "id": "grace@example.com"}
    await maywe.choose(ADA, GIVE, **NOTICE)
    await maywe.choose(grace, {"scope": "all_marketing", "choice": "object"})
    ada, other = await maywe.find(ADA), await maywe.find(grace)
    _, cursor = await follow(maywe.http)
    linked = (await maywe.http.post(f"/v1/subjects/{ada}/identifiers", json=grace)).json()
    rows, cursor = await follow(maywe.http, cursor, identifier_type="customer")
    assert about(rows, "type", "subject_id", "subject", "merged_into", "purpose", "scope", "status") == [
        ("subject.merged", other, None, ada, None, None, None),
        ("subject.linked", ada, ADA, None, None, None, None),
        ("subject.linked", ada, ADA, None, None, "all_marketing", "objected"),
        ("subject.linked", ada, ADA, None, "offers", None, "withdrawn"),
    ]
    assert rows[1]["details"] == {"merged": other}
    await maywe.http.delete(f"/v1/subjects/{ada}/identifiers/{linked['identifier_id']}")
    await maywe.http.post(f"/v1/subjects/{ada}/erasure", json={})
    rows, _ = await follow(maywe.http, cursor, identifier_type="customer")
    assert about(rows, "type", "subject_id", "subject") == [
        ("subject.unlinked", ada, None),
        ("subject.erased", ada, None),
    ]


async def test_who_was_erased_is_not_named_in_earlier_rows_either(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, **NOTICE)
    assert ADA in [row["subject"] for row in (await follow(maywe.http, identifier_type="customer"))[0]]
    await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/erasure", json={})
    rows, _ = await follow(maywe.http, identifier_type="customer")
    assert {row["subject_id"] for row in rows} > {None}
    assert [row["subject"] for row in rows] == [None] * len(rows)


async def test_the_oldest_identifier_of_the_asked_type_names_the_person(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, **NOTICE)
    ada = await maywe.find(ADA)
    await maywe.http.post(f"/v1/subjects/{ada}/identifiers", json={"type": "customer", "id": "ada-2"})
    await maywe.http.post(f"/v1/subjects/{ada}/identifiers", json={"type": "email", "id": "ada@example.com"})

    async def named(**query: Any) -> list[Any]:
        rows, _ = await follow(maywe.http, type="choice.give", **query)
        return [row["subject"] for row in rows]

    assert await named() == [None]
    assert await named(identifier_type="customer") == [ADA]
    assert await named(identifier_type="email") == [{"type": "email", "id": "ada@example.com"}]
    assert await named(identifier_type="phone") == [None]
