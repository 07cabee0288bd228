"""At one instant the restrictive word wins (domain 3.3), in whatever order and from whomever it comes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.doors.expecting import someone
from tests.harness.service import Maywe


def then() -> dict[str, Any]:
    """One instant, for several requests."""
    return {"occurred_at": (datetime.now(UTC) - timedelta(days=3)).isoformat(), "notice": "conformance-1"}


async def test_a_consent_does_not_outweigh_what_is_heard_of_the_same_instant(service: Maywe) -> None:
    person, device, at = someone(), someone("device"), then()
    await service.choose(person, {"purpose": "ads", "choice": "give"}, **at)
    await service.choose(device, {"scope": "automation", "choice": "object"}, **at)
    assert (await service.ask(person, "ads"))["decision"] is True
    linked = await service.http.post(f"/v1/subjects/{await service.find(person)}/identifiers", json=device)
    assert linked.json()["attached"] is True
    assert (await service.ask(person, "ads"))["reason"] == "automation_opt_out"


async def test_a_request_does_not_outshine_a_no_of_the_same_instant(service: Maywe) -> None:
    person, at = someone(), then()
    for word in ("withdraw", "request"):
        await service.choose(person, {"purpose": "ads", "choice": word}, **at)
    subject = (await service.http.get(f"/v1/subjects/{await service.find(person)}")).json()
    assert [standing["status"] for standing in subject["standings"]] == ["withdrawn"]


async def test_a_scope_is_lifted_on_its_own_channel_only(service: Maywe) -> None:
    person = someone()
    await service.choose(person, {"scope": "all_marketing", "channel": "email", "choice": "object"})
    for channel, expected in (("sms", "objected"), ("email", None)):
        await service.choose(person, {"scope": "all_marketing", "channel": channel, "choice": "withdraw_objection"})
        subject = (await service.http.get(f"/v1/subjects/{await service.find(person)}")).json()
        assert subject["scopes"].get("all_marketing:email") == expected
