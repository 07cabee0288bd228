"""List, then watch: where everybody stands at one moment, and the cursor from which to read on."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.changes.polling import about, follow, page
from tests.harness.service import Maywe

ADA, GRACE = {"type": "customer", "id": "ada"}, {"type": "customer", "id": "grace"}
PHONE = {"type": "device", "id": "phone"}
GIVE = {"purpose": "offers", "channel": "email", "choice": "give"}


async def snapshot(maywe: Maywe, **query: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    answer = await maywe.http.get("/v1/changes/snapshot", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    *lines, end = [json.loads(line) for line in answer.text.splitlines()]
    assert (end["end"], end["count"]) == (True, len(lines))
    return lines, end


async def test_everything_a_copy_needs_is_there(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, notice="conformance-1")
    await maywe.choose(ADA, {"scope": "automation", "choice": "object"})
    await maywe.establish(ADA, {"fact": "contract_started", "reference": "order-1"})
    await maywe.choose(GRACE, {"purpose": "recommendations", "choice": "object"})
    await maywe.choose(PHONE, {"purpose": "ads", "choice": "refuse"})
    ada, grace, phone = [await maywe.find(subject) for subject in (ADA, GRACE, PHONE)]
    await maywe.http.post(f"/v1/subjects/{ada}/identifiers", json=PHONE)
    await maywe.http.post(f"/v1/subjects/{ada}/identifiers", json=GRACE)
    lines, end = await snapshot(maywe, identifier_type="customer")
    told = {(row["subject_id"], row["type"], row["purpose"], row["scope"], row["status"]) for row in lines}
    assert told == {
        (ada, "choice.give", "offers", None, "given"),
        (ada, "choice.object", None, "automation", "objected"),
        (ada, "fact.contract_started", None, None, None),
        (ada, "choice.object", "recommendations", None, "objected"),
        (phone, "choice.refuse", "ads", None, "refused"),
        (ada, "subject.linked", None, None, None),
        (phone, "subject.linked", None, None, None),
        (grace, "subject.merged", None, None, None),
    }
    assert {str(row["subject"]) for row in lines if row["subject_id"] == ada} == {str(ADA)}
    given = next(row for row in lines if row["purpose"] == "offers")
    assert (given["version"], given["method"], given["notice"]) == (1, "web_form", "conformance-1")
    assert not {"id", "cursor"} & given.keys()
    assert (await page(maywe.http, after=end["cursor"], purpose="ads"))["changes"] == []
    await maywe.choose(ADA, {"purpose": "offers", "channel": "email", "choice": "withdraw"})
    rows, _ = await follow(maywe.http, end["cursor"])
    assert about(rows, "type", "version") == [("choice.withdraw", 2)]


async def test_versions_that_are_yet_to_come_into_force_are_in_it(maywe: Maywe, shop: dict[str, Any]) -> None:
    """Who begins with a snapshot is not told of them again, and then answers change."""
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    await maywe.publish(
        shop | {"version": "later", "effective_from": start.isoformat(), "material_changes": ["offers"]}
    )
    (row,), _ = await snapshot(maywe)
    told = next(row for row in (await follow(maywe.http))[0] if row["details"]["version"] == "later")
    assert (row["type"], row["details"]) == ("catalogue.published", told["details"])
    assert told["details"]["effective_from"] == start.isoformat().replace("+00:00", "Z")
    assert (await snapshot(maywe, purpose="ads"))[0] == [row]


async def test_who_was_erased_is_not_in_it(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, notice="conformance-1")
    await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/erasure", json={})
    assert (await snapshot(maywe))[0] == []


async def test_what_time_made_of_a_consent_is_told(maywe: Maywe) -> None:
    long_ago = (datetime.now(UTC) - timedelta(days=800)).isoformat()
    await maywe.choose(ADA, GIVE, notice="conformance-1", occurred_at=long_ago)
    lines, _ = await snapshot(maywe)
    assert about(lines, "purpose", "status") == [("offers", "expired")]


async def test_a_snapshot_may_be_of_some_purposes(maywe: Maywe) -> None:
    await maywe.choose(ADA, GIVE, notice="conformance-1")
    await maywe.choose(ADA, {"purpose": "ads", "choice": "refuse"})
    lines, _ = await snapshot(maywe, purpose="ads")
    assert about(lines, "purpose", "status") == [("ads", "refused")]


async def test_a_key_without_the_scope_gets_none(maywe: Maywe) -> None:
    key = await maywe.key("audience")
    answer = await maywe.http.get("/v1/changes/snapshot", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403
