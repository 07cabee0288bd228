"""Per person, purpose and channel the last row is the truth, and so is the snapshot (domain 5): also where a notice
gave a purpose other channels, and where an erasure left its mark."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.changes.polling import follow
from tests.changes.test_snapshot import snapshot
from tests.harness.service import Maywe

ADA, OLD = {"type": "customer", "id": "ada"}, {"type": "customer", "id": "old"}
OFFERS = {"purpose": "offers", "channel": "email"}
Place = tuple[str, str | None]
Told = dict[Place, tuple[str | None, bool]]


def places(rows: list[dict[str, Any]], subject_id: str) -> Told:
    """What rows say of a person's standings, the last of each."""
    about = [row for row in rows if row["subject_id"] == subject_id and row["version"] is not None]
    return {(row["purpose"], row["channel"]): (row["status"], row["objected"]) for row in about}


async def told(maywe: Maywe, who: dict[str, Any]) -> tuple[Told, Told]:
    """What the feed said last of somebody, and what a snapshot says."""
    subject_id = await maywe.find(who)
    feed, listed = (await follow(maywe.http))[0], (await snapshot(maywe))[0]
    shown = (await maywe.http.get(f"/v1/subjects/{subject_id}")).json()["standings"]
    assert {(s["purpose"], s["channel"]): s["status"] for s in shown} == {
        place: status for place, (status, _) in places(listed, subject_id).items()
    }
    return places(feed, subject_id), places(listed, subject_id)


async def republish(maywe: Maywe, shop: dict[str, Any], purposes: dict[str, Any]) -> None:
    changed = {key: shop["purposes"][key] | change for key, change in purposes.items()}
    start = datetime.now(UTC).isoformat()
    await maywe.publish(shop | {"version": "next", "effective_from": start, "purposes": shop["purposes"] | changed})


async def test_a_no_on_a_channel_that_is_no_more_is_told_of_the_purpose(maywe: Maywe, shop: dict[str, Any]) -> None:
    await republish(maywe, shop, {"offers": {"channels": None}})
    await maywe.choose(ADA, {"purpose": "offers", "choice": "give"}, notice="next")
    assert (await maywe.ask(ADA, "offers"))["decision"] is True
    for n, choice in enumerate(("withdraw", "give", "withdraw", "give", "object")):
        channel = {"channel": "sms"} if n == 0 else {}
        await maywe.choose(ADA, {"purpose": "offers", "choice": choice, **channel}, notice="next")
        feed, listed = await told(maywe, ADA)
        is_given = (await maywe.ask(ADA, "offers"))["decision"]
        assert is_given is (choice == "give")
        for rows in (feed, listed):
            assert (rows["offers", None][0] == "given") is is_given


async def test_a_no_to_all_of_a_purpose_is_told_of_channels_it_has_since(maywe: Maywe, shop: dict[str, Any]) -> None:
    noes = ("recommendations", "improvement", "postal_offers")
    await maywe.choose(ADA, *({"purpose": purpose, "choice": "object"} for purpose in noes))
    channels = {"recommendations": ["post"], "improvement": ["post"], "postal_offers": ["post", "phone"]}
    await republish(maywe, shop, {purpose: {"channels": has} for purpose, has in channels.items()})
    asked = [(purpose, channel) for purpose, has in channels.items() for channel in has]
    for purpose, channel in asked:
        assert (await maywe.ask(ADA, purpose, channel=channel))["decision"] is False
    _, listed = await told(maywe, ADA)
    assert {place: listed[place] for place in asked} == dict.fromkeys(asked, ("objected", True))
    assert listed["improvement", None] == ("objected", True), "what was told before stays"
    await maywe.choose(ADA, {"purpose": "improvement", "choice": "withdraw_objection"})
    assert (await maywe.ask(ADA, "improvement", channel="post"))["decision"] is True
    feed, listed = await told(maywe, ADA)
    assert (feed["improvement", "post"], feed["improvement", None]) == ((None, False), (None, False))
    assert listed["postal_offers", "phone"] == ("objected", True)


async def test_a_no_that_meant_nothing_then_is_told_once_it_does(maywe: Maywe, shop: dict[str, Any]) -> None:
    await maywe.choose(ADA, {"purpose": "receipts", "choice": "object"})
    assert (await told(maywe, ADA))[1] == {}
    grounds = [{"basis": "legitimate_interest", "reference": "LIA-9"}]
    await republish(maywe, shop, {"receipts": {"kind": "service", "grounds": grounds}})
    assert (await maywe.ask(ADA, "receipts"))["decision"] is False
    assert (await told(maywe, ADA))[1] == {("receipts", None): ("objected", True)}


async def test_what_an_erasure_stops_is_no_yes_in_any_row(maywe: Maywe) -> None:
    await maywe.choose(ADA, OFFERS | {"choice": "give"}, notice="conformance-1")
    await maywe.establish(OLD, {"fact": "enquiry", "reference": "question"})
    await maywe.http.post(f"/v1/subjects/{await maywe.find(OLD)}/erasure", json={})
    await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/identifiers", json=OLD)
    assert (await maywe.ask(ADA, **OFFERS))["reason"] == "suppressed"
    for rows in await told(maywe, ADA):
        assert rows["offers", "email"] == ("withdrawn", True)
    linked = [row for row in (await follow(maywe.http))[0] if (row["details"] or {}).get("suppressed_since")]
    listed = [row for row in (await snapshot(maywe))[0] if row["type"] == "subject.linked"]
    assert [row["details"]["suppressed_since"] for row in linked] == [listed[0]["details"]["suppressed_since"]]
    assert listed[0]["details"]["suppressed_since"].endswith("Z")

    await maywe.choose(ADA, OFFERS | {"choice": "give"}, notice="conformance-1")
    assert (await maywe.ask(ADA, **OFFERS))["decision"] is True
    for rows in await told(maywe, ADA):
        assert rows["offers", "email"] == ("given", False)


async def test_a_consent_from_before_an_erasure_is_no_yes_in_any_row(maywe: Maywe) -> None:
    await maywe.choose(ADA, OFFERS | {"choice": "give"}, notice="conformance-1")
    await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/erasure", json={})
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    await maywe.choose(ADA, OFFERS | {"choice": "give"}, notice="conformance-1", occurred_at=yesterday)
    await maywe.choose(ADA, {"purpose": "recommendations", "choice": "object"})
    await maywe.choose(ADA, {"purpose": "recommendations", "choice": "withdraw_objection"})
    assert (await maywe.ask(ADA, **OFFERS))["reason"] == "suppressed"
    assert (await maywe.ask(ADA, "recommendations"))["reason"] == "suppressed"
    for rows in await told(maywe, ADA):
        assert rows["offers", "email"] == ("withdrawn", True)
        assert rows["recommendations", None] == ("objected", True)
