"""One person under many identifiers, through the doors: reading, paging, merging, unlinking, erasing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.doors.expecting import expect_problem, someone
from tests.harness.service import Maywe

OFF = {"purpose": "offers", "channel": "email", "choice": "withdraw"}
ON_EMAIL = {"purpose": "offers", "channel": "email"}


async def known(service: Maywe, kind: str = "customer", *choices: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A new person with some choices, and their subject_id."""
    person = someone(kind)
    await service.choose(person, *(choices or (OFF,)))
    return person, await service.find(person)


async def link(service: Maywe, subject_id: str, identifier: dict[str, Any], **more: Any) -> Any:
    answer = await service.http.post(f"/v1/subjects/{subject_id}/identifiers", json={**identifier, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
async def test_a_history_is_read_in_pages_without_a_gap(service: Maywe, limit: int) -> None:
    person, one = await known(service)
    for n in range(4):
        await service.establish(person, {"fact": "sale", "reference": f"order-{n}"})
    path, after, told = f"/v1/subjects/{one}/events", None, []
    for _ in range(10):
        page = (await service.http.get(path, params={"limit": limit} | ({"after": after} if after else {}))).json()
        assert len(page["events"]) <= limit
        told += [event["type"] for event in page["events"]]
        after = page["next"]
        if not page["has_more"]:
            break
    assert told == ["choice.withdraw", *["fact.sale"] * 4]
    await service.establish(person, {"fact": "informed"})
    late = (await service.http.get(path, params={"after": after})).json()
    assert [event["type"] for event in late["events"]] == ["fact.informed"], "the end of a history is a place to go on"


async def test_who_is_merged_is_one_person_under_every_name(service: Maywe) -> None:
    (person, one), (other, two) = await known(service), await known(service, "email", {**OFF, "choice": "refuse"})
    linked = await link(service, one, other)
    assert (linked["subject_id"], linked["merged"], linked["attached"]) == (one, [two], False)
    assert await service.find(other) == one
    told = [(await service.http.get(f"/v1/subjects/{name}")).json() for name in (one, two)]
    assert told[0]["subject_id"] == told[1]["subject_id"] == one
    assert {held["id"] for held in told[0]["identifiers"]} == {person["id"], other["id"]}
    assert (await link(service, two, other))["merged"] == [], (
        "an old id stands for the survivor, and again is no change"
    )
    history = (await service.http.get(f"/v1/subjects/{two}/events")).json()["events"]
    assert {"choice.withdraw", "choice.refuse", "subject.merged"} <= {event["type"] for event in history}


async def test_a_device_is_attached_unless_its_consents_are_carried(service: Maywe) -> None:
    _, one = await known(service)
    device, stays = await known(service, "device")
    assert (await link(service, one, device))["attached"] is True
    assert await service.find(device) == stays
    carried, _ = await known(service, "device")
    assert (await link(service, one, carried, carry_consents=True))["attached"] is False
    assert await service.find(carried) == one


async def test_a_device_does_not_tell_who_uses_it(service: Maywe) -> None:
    """A person is told of their devices, one who shares a device is not told who the others are (Art. 15(4))."""
    (person, one), (other, two) = await known(service), await known(service, "email", OFF)
    device, shared = await known(service, "device")
    for user in (one, two):
        await link(service, user, device)
    for path in ("", "/export"):
        told = await service.http.get(f"/v1/subjects/{shared}{path}")
        assert told.status_code == 200
        assert device["id"] in told.text
        assert not {person["id"], other["id"]} & set(told.text.split('"'))
    mine = (await service.http.get(f"/v1/subjects/{one}")).json()["identifiers"]
    assert [(held["id"], held["attached"]) for held in mine] == [(person["id"], False), (device["id"], True)]


async def test_an_unlinked_identifier_keeps_its_opt_outs(service: Maywe) -> None:
    person, one = await known(service)
    other = someone("email")
    held = (await link(service, one, other))["identifier_id"]
    path = f"/v1/subjects/{one}/identifiers/{held}"
    assert (await service.http.delete(path)).status_code == 200
    expect_problem(await service.http.delete(path), 404, "unknown-identifier")
    expect_problem(await service.http.post("/v1/subjects/find", json=other), 404, "unknown-subject")
    assert (await service.ask(other, **ON_EMAIL))["decision"] is False
    assert (await service.ask(person, **ON_EMAIL))["reason"] == "consent_withdrawn"
    read = (await service.http.get(f"/v1/subjects/{one}")).json()
    assert [identifier["id"] for identifier in read["identifiers"]] == [person["id"]]


async def test_an_erased_subject_is_gone_but_for_its_noes(service: Maywe) -> None:
    person, one = await known(service)
    await service.establish(person, {"fact": "contract_started", "reference": "order-1"})
    path = f"/v1/subjects/{one}"
    expect_problem(await service.http.post(f"{path}/erasure", json={}), 409, "contract-open")
    first, again = [await service.http.post(f"{path}/erasure", json={"force": True}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["erased_at"] == again.json()["erased_at"]
    expect_problem(await service.http.post("/v1/subjects/find", json=person), 404, "unknown-subject")
    for gone in (path, f"{path}/events", f"{path}/export"):
        expect_problem(await service.http.get(gone), 410, "subject-erased")
    expect_problem(await service.http.post(f"{path}/identifiers", json=someone()), 410, "subject-erased")
    assert (await service.ask(person, **ON_EMAIL))["reason"] == "suppressed"


async def test_nobody_is_found_under_an_id_that_was_never_given(service: Maywe) -> None:
    for method, path in (("GET", ""), ("GET", "/events"), ("GET", "/export"), ("POST", "/erasure")):
        answer = await service.http.request(
            method, f"/v1/subjects/sub_nobody{path}", json={} if method == "POST" else None
        )
        expect_problem(answer, 404, "unknown-subject")


async def test_clocks_may_differ_by_a_minute_and_no_more(service: Maywe) -> None:
    """What a caller's clock says of a moment ago may be ahead of ours; what lies further ahead has not happened."""
    person = someone()
    soon, late = [(datetime.now(UTC) + timedelta(seconds=ahead)).isoformat() for ahead in (50, 70)]
    await service.choose(person, OFF, occurred_at=soon)
    assert (await service.ask(person, **ON_EMAIL))["reason"] == "consent_withdrawn"
    body = {"subject": person, "choices": [OFF], "occurred_at": late}
    expect_problem(await service.http.post("/v1/choices", json=body), 422, "event-in-future", "/occurred_at")
