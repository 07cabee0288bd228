"""Per person, purpose and channel the last row is the truth, and so is the snapshot (domain 5): also where a notice
gave a purpose other channels, and where an erasure left its mark."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.changes.polling import follow
from tests.changes.test_snapshot import snapshot
from tests.harness.databases import Databases
from tests.harness.effort import effort
from tests.harness.service import Maywe, in_process

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


async def test_a_consent_that_an_erasure_ended_does_not_expire(
    databases: Databases, engine: str, shop: dict[str, Any]
) -> None:
    moment = [datetime.now(UTC)]
    async with in_process(databases.make(engine), clock=lambda: moment[0]) as maywe:
        await maywe.publish(shop)
        await maywe.choose(ADA, OFFERS | {"choice": "give"}, notice="conformance-1")
        await maywe.establish(OLD, {"fact": "enquiry", "reference": "question"})
        await maywe.http.post(f"/v1/subjects/{await maywe.find(OLD)}/erasure", json={})
        await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/identifiers", json=OLD)
        moment[0] += timedelta(days=800)
        for rows in await told(maywe, ADA):
            assert rows["offers", "email"] == ("withdrawn", True)


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


async def test_a_no_that_another_notice_made_of_it_before_is_told(maywe: Maywe, shop: dict[str, Any]) -> None:
    """By that notice the standing was withdrawn already, but no row had told it."""
    await maywe.choose(ADA, {"purpose": "service_consent", "choice": "give"}, notice="conformance-1")
    await maywe.choose(ADA, {"scope": "all_marketing", "choice": "object"})
    await republish(maywe, shop, {"service_consent": {"kind": "direct_marketing"}})
    await maywe.choose(ADA, {"purpose": "service_consent", "choice": "withdraw"})
    assert (await maywe.ask(ADA, "service_consent"))["decision"] is False
    for rows in await told(maywe, ADA):
        assert rows["service_consent", None][0] == "withdrawn"
    assert (await follow(maywe.http))[0][-1]["previous_status"] == "given"


async def test_a_no_that_an_erasure_kept_for_some_channels_outlives_another(maywe: Maywe, shop: dict[str, Any]) -> None:
    channels = ["email", "sms", "post"]
    await republish(maywe, shop, {"improvement": {"channels": channels}})
    await maywe.choose(ADA, {"purpose": "improvement", "choice": "object"})
    await maywe.choose(ADA, {"purpose": "improvement", "channel": "sms", "choice": "withdraw_objection"})
    await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/erasure", json={})
    await maywe.choose(ADA, {"purpose": "improvement", "channel": "post", "choice": "withdraw"})
    everything = (await maywe.http.post("/v1/check/all", json={"subject": ADA})).json()["decisions"]
    allowed = {d["channel"]: d["decision"] for d in everything if d["purpose"] == "improvement"}
    for channel in channels:
        answer = await maywe.ask(ADA, "improvement", channel=channel)
        assert answer["decision"] is allowed[channel] is False  # before it had channels, the lift was none of all of it


NO_MORE = {"objected", "objected_to_marketing", "consent_withdrawn", "consent_refused", "suppressed"}
VARYING: dict[str, list[list[str] | None]] = {
    "offers": [["email", "sms"], ["email"], None],
    "recommendations": [None, ["post"], ["post", "phone"]],
    "improvement": [None, ["post"]],
    "postal_offers": [["post"], ["post", "phone"], None],
}


class Notice:
    """The shop's catalogue, whose purposes get other channels with each version."""

    def __init__(self, maywe: Maywe, shop: dict[str, Any], chance: random.Random) -> None:
        self._maywe, self._shop, self._chance = maywe, shop, chance
        self._count = 0
        self.version = shop["version"]
        self.channels = {purpose: shop["purposes"][purpose].get("channels") for purpose in VARYING}

    async def change(self) -> None:
        self._count += 1
        self.version = f"v{self._count}"
        self.channels |= {purpose: self._chance.choice(forms) for purpose, forms in VARYING.items()}
        changed = {p: self._shop["purposes"][p] | {"channels": has} for p, has in self.channels.items()}
        start = datetime.now(UTC).isoformat()
        purposes = self._shop["purposes"] | changed
        document = self._shop | {"version": self.version, "effective_from": start, "purposes": purposes}
        await self._maywe.publish(document)

    def place(self) -> dict[str, Any]:
        purpose = self._chance.choice(list(VARYING))
        channels = self.channels[purpose]
        return {"purpose": purpose} | ({"channel": self._chance.choice(channels)} if channels else {})

    @property
    def places(self) -> list[Place]:
        return [(purpose, channel) for purpose, has in self.channels.items() for channel in has or (None,)]


async def act(maywe: Maywe, notice: Notice, who: dict[str, str], chance: random.Random) -> None:
    """One thing that a person does, or that happens to them."""
    place = notice.place()
    word = chance.choice(["give", "withdraw", "object", "refuse", "withdraw_objection", "scope", "erased"])
    if word == "erased":
        other = {"type": "customer", "id": f"old-{chance.random()}"}
        await maywe.establish(other, {"fact": "enquiry", "reference": "question"})
        await maywe.http.post(f"/v1/subjects/{await maywe.find(other)}/erasure", json={})
        await maywe.http.post(f"/v1/subjects/{await maywe.find(who)}/identifiers", json=other)
        return
    choice: dict[str, Any] = {**place, "choice": word}
    if word == "scope":
        choice = {"scope": "all_marketing", "choice": chance.choice(["object", "withdraw_objection"])}
    elif word == "give" and place["purpose"] != "offers":
        choice["choice"] = "withdraw_objection"
    elif word != "give" and chance.random() < 0.5:
        choice.pop("channel", None)  # all of them
    await maywe.choose(who, choice, notice=notice.version)


async def test_whatever_happens_to_people_and_notices(maywe: Maywe, shop: dict[str, Any]) -> None:
    chance = random.Random(7)
    notice = Notice(maywe, shop, chance)
    people = [{"type": "customer", "id": f"c-{n}"} for n in range(3)]
    for who in people:
        await maywe.establish(who, {"fact": "enquiry", "reference": "question"})
    for _ in range(effort(25, 200)):
        if chance.random() < 0.2:
            await notice.change()
        who = chance.choice(people)
        await act(maywe, notice, who, chance)
        feed, listed = await told(maywe, who)
        subject_id, (lines, _) = await maywe.find(who), await snapshot(maywe)
        scopes = {row["scope"] for row in lines if row["subject_id"] == subject_id}
        suppressed = any(row["subject_id"] == subject_id and row["type"] == "subject.linked" for row in lines)
        for purpose, channel in notice.places:
            answer = await maywe.ask(who, purpose, **({"channel": channel} if channel else {}))
            status, objected = listed.get((purpose, channel), (None, False))
            last = feed.get((purpose, channel), (None, False))
            if answer["basis"] == "consent":
                assert (status, objected) == last == ("given", False)
            elif answer["decision"]:
                assert not objected
            elif answer["reason"] in NO_MORE:
                assert objected or status in ("withdrawn", "refused") or "all_marketing" in scopes or suppressed
                assert last != ("given", False)
