"""Publishing: the same again, other content, a dry run, what is in force, identifier types in use, two at once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.harness.service import Maywe, command, in_process


def version_of(shop: dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
    """A next version of the shop's catalogue, in force at its publication."""
    return {key: value for key, value in shop.items() if key != "effective_from"} | {"version": name, **more}


def someone(name: str, type: str = "customer") -> dict[str, str]:
    return {"type": type, "id": name}


async def put(maywe: Maywe, document: dict[str, Any], status: int, *, dry_run: bool = False) -> Any:
    answer = await maywe.http.put("/v1/catalogue", json=document, params={"dry_run": "true"} if dry_run else None)
    assert answer.status_code == status, answer.text
    return answer.json()


async def versions(maywe: Maywe) -> Any:
    return (await maywe.http.get("/v1/catalogue/versions")).json()


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).isoformat().replace("+00:00", "Z")


# The same again


async def test_the_same_content_again(maywe: Maywe, shop: dict[str, Any]) -> None:
    document = version_of(shop, "v2")
    first = await put(maywe, document, 201)
    again = await put(maywe, dict(reversed(document.items())), 200)
    assert again["published_at"] == first["published_at"]
    # as it is read back, too
    read = (await maywe.http.get("/v1/catalogue/versions/v2")).json()
    assert "effective_from" in read
    await put(maywe, read, 200)
    assert [v["version"] for v in (await versions(maywe))["versions"]] == [shop["version"], "v2"]


@pytest.mark.parametrize("dry_run", [False, True])
async def test_other_content_of_the_same_version(maywe: Maywe, shop: dict[str, Any], *, dry_run: bool) -> None:
    """Not even linted: the version never changes."""
    broken = {**shop, "purposes": {}}
    refused = await put(maywe, broken, 409, dry_run=dry_run)
    assert refused["type"] == "urn:maywe:problem:version-exists"
    assert "errors" not in refused
    moved = {**shop, "effective_from": "2016-01-01T00:00:00Z"}
    await put(maywe, moved, 409, dry_run=dry_run)
    assert (await maywe.http.get("/v1/catalogue")).json() == shop


# A dry run


async def test_a_dry_run_changes_nothing(maywe: Maywe, shop: dict[str, Any]) -> None:
    document = version_of(shop, "v2")
    document["purposes"] = {**shop["purposes"]}
    del document["purposes"]["sleeping"]
    document["purposes"]["offers"] = {
        **shop["purposes"]["offers"],
        "grounds": [{"basis": "consent", "expires_after": "P1Y"}],
    }
    document["purposes"]["ads"] = {**shop["purposes"]["ads"], "retention": "P2Y"}
    document["purposes"]["club"] = {**shop["purposes"]["ads"]}
    document["data_categories"] = {**shop["data_categories"], "hat_size": {"sources": ["subject"]}}
    document["recipients"] = {key: value for key, value in shop["recipients"].items() if key != "data_broker"}
    told = await put(maywe, document, 200, dry_run=True)
    assert told == {
        "version": "v2",
        "purposes_added": ["club"],
        "purposes_removed": ["sleeping"],
        "purposes_changed": ["ads"],
        "grounds_changed": ["offers"],
        "data_categories_added": ["hat_size"],
        "data_categories_removed": [],
        "recipients_added": [],
        "recipients_removed": ["data_broker"],
        "newly_material": [],
        "consents_outdated": 0,
        "warnings": told["warnings"],
    }
    assert (await versions(maywe))["in_force"] == shop["version"]
    # of what is published already nothing would change
    nothing = await put(maywe, shop, 200, dry_run=True)
    assert not any(nothing[key] for key in nothing if key != "version")


async def test_a_dry_run_counts_the_consents_that_would_be_outdated(maywe: Maywe, shop: dict[str, Any]) -> None:
    give = {"purpose": "offers", "channel": "email", "choice": "give"}
    notice = shop["version"]
    for name in ("given", "both", "renewed", "withdrawn", "invalidated", "child"):
        await maywe.choose(someone(name), give, notice=notice, occurred_at=ago(days=9))
    await maywe.choose(someone("both"), {**give, "channel": "sms"}, notice=notice)
    await maywe.choose(someone("renewed"), give, notice=notice)
    await maywe.choose(someone("withdrawn"), {**give, "choice": "withdraw"})
    await maywe.establish(someone("invalidated"), {"fact": "consent_invalidated", "purpose": "offers", "reason": "x"})
    await maywe.establish(someone("child"), {"fact": "child", "until": "2099-01-01"})
    await maywe.choose(someone("expired"), give, notice=notice, occurred_at=ago(days=731))
    await maywe.choose(someone("requested"), {**give, "choice": "request"})
    await maywe.choose(someone("refused"), {**give, "choice": "refuse"})
    await maywe.choose(someone("other"), {"purpose": "ads", "choice": "give"}, notice=notice)
    await maywe.choose(someone("objected"), give, notice=notice, occurred_at=ago(days=9))
    await maywe.choose(someone("objected"), {"scope": "all_marketing", "choice": "object"})
    await maywe.choose(someone("erased"), give, notice=notice)
    erased = await maywe.http.post(f"/v1/subjects/{await maywe.find(someone('erased'))}/erasure", json={})
    assert erased.status_code == 200

    async def outdated(*purposes: str) -> int:
        told = await put(maywe, version_of(shop, "next", material_changes=list(purposes)), 200, dry_run=True)
        assert told["newly_material"] == list(purposes)
        count = told["consents_outdated"]
        assert isinstance(count, int)
        return count

    assert await outdated("offers") == 4  # given, both twice, renewed
    assert await outdated("offers", "ads") == 5
    assert await outdated("improvement") == 0
    assert await outdated() == 0
    # what a version made outdated does not become so again
    await put(maywe, version_of(shop, "v2", material_changes=["offers"]), 201)
    assert await outdated("offers") == 0
    await maywe.choose(someone("given"), give, notice="v2")
    assert await outdated("offers") == 1


# What is in force


async def test_versions_and_etags(maywe: Maywe, shop: dict[str, Any]) -> None:
    current = await maywe.http.get("/v1/catalogue")
    assert current.json() == shop
    etag = current.headers["ETag"]
    for sent in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        unchanged = await maywe.http.get("/v1/catalogue", headers={"If-None-Match": sent})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", etag)
    await put(maywe, version_of(shop, "v2", effective_from="2999-01-01T00:00:00Z"), 201)
    assert (await maywe.http.get("/v1/catalogue", headers={"If-None-Match": etag})).status_code == 304
    await put(maywe, version_of(shop, "v3"), 201)
    changed = await maywe.http.get("/v1/catalogue", headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["version"]) == (200, "v3")
    assert changed.headers["ETag"] != etag
    told = await versions(maywe)
    assert [v["version"] for v in told["versions"]] == [shop["version"], "v2", "v3"]
    assert told["in_force"] == "v3"
    old = await maywe.http.get(f"/v1/catalogue/versions/{shop['version']}", headers={"If-None-Match": etag})
    assert old.status_code == 304
    assert (await maywe.http.get("/v1/catalogue/versions/v4")).status_code == 404


async def test_who_may_publish_and_read(maywe: Maywe, shop: dict[str, Any]) -> None:
    reader = {"Authorization": f"Bearer {await maywe.key('links')}"}
    assert (await maywe.http.get("/v1/catalogue", headers=reader)).status_code == 200
    refused = await maywe.http.put("/v1/catalogue", json=version_of(shop, "v2"), headers=reader)
    assert refused.status_code == 403
    assert (await maywe.http.put("/v1/catalogue?dry_run=true", json=shop, headers=reader)).status_code == 403
    assert (await versions(maywe))["in_force"] == shop["version"]


async def test_a_publication_is_in_the_ledger(maywe: Maywe, shop: dict[str, Any]) -> None:
    published = await put(maywe, version_of(shop, "v2"), 201)
    answer = await maywe.ask(someone("x"), "receipts", at_least=published["revision"])
    assert answer["catalogue_version"] == "v2"
    assert "is whole" in await asyncio.to_thread(command, maywe.url, "verify")


# Identifier types in use


async def test_an_identifier_type_in_use(maywe: Maywe, shop: dict[str, Any]) -> None:
    await maywe.choose(someone("a@example.com", "email"), {"purpose": "improvement", "choice": "object"})
    kept = shop["identifier_types"]
    without = {key: value for key, value in kept.items() if key not in ("email", "phone")}
    refused = await put(maywe, version_of(shop, "v2", identifier_types=without), 422)
    assert [(e["pointer"], e["code"]) for e in refused["errors"]] == [
        ("/identifier_types/email", "identifier-type-removed")
    ]
    otherwise = {**kept, "email": {"normalise": "exact"}, "phone": {"normalise": "exact"}}
    refused = await put(maywe, version_of(shop, "v2", identifier_types=otherwise), 422)
    assert [(e["pointer"], e["code"]) for e in refused["errors"]] == [
        ("/identifier_types/email/normalise", "identifier-type-changed")
    ]
    unused = {key: value for key, value in kept.items() if key != "phone"} | {"club": {"normalise": "exact"}}
    await put(maywe, version_of(shop, "v2", identifier_types=unused), 201)
    refused = await maywe.choose(
        someone("+4930123456", "phone"), {"purpose": "improvement", "choice": "object"}, status=422
    )
    assert "unknown-identifier-type" in str(refused)
    answer = await maywe.ask(someone("A@example.com", "email"), "improvement")
    assert answer["reason"] == "objected"


# Two at once


async def test_publications_at_once_come_one_by_one(maywe: Maywe, shop: dict[str, Any]) -> None:
    async with in_process(maywe.url) as other:
        publishing = [put((maywe, other)[n % 2], version_of(shop, f"v{n}"), 201) for n in range(8)]
        await asyncio.gather(*publishing)
        told = await versions(maywe)
        names = [version["version"] for version in told["versions"]]
        assert sorted(names) == sorted([shop["version"], *(f"v{n}" for n in range(8))])
        starts = [version["effective_from"] for version in told["versions"]]
        assert starts == sorted(starts)
        # the last published is in force, for everybody
        assert told["in_force"] == (await versions(other))["in_force"] == names[-1]
        for instance in (maywe, other):
            assert (await instance.ask(someone("x"), "receipts"))["catalogue_version"] == names[-1]
    assert "is whole" in await asyncio.to_thread(command, maywe.url, "verify")


async def test_one_version_published_twice_at_once(maywe: Maywe, shop: dict[str, Any]) -> None:
    async with in_process(maywe.url) as other:
        for n in range(4):
            same = version_of(shop, f"same{n}")
            answers = await asyncio.gather(*(m.http.put("/v1/catalogue", json=same) for m in (maywe, other)))
            assert sorted(answer.status_code for answer in answers) == [200, 201]
            contents = [version_of(shop, f"other{n}", notice={"title": title}) for title in ("one", "two")]
            answers = await asyncio.gather(
                *(m.http.put("/v1/catalogue", json=c) for m, c in zip((maywe, other), contents, strict=True))
            )
            assert sorted(answer.status_code for answer in answers) == [201, 409]
            won = next(c for c, answer in zip(contents, answers, strict=True) if answer.status_code == 201)
            kept = (await maywe.http.get(f"/v1/catalogue/versions/other{n}")).json()
            assert kept["notice"] == won["notice"]


async def test_an_identifier_type_removed_while_somebody_comes_with_it(maywe: Maywe, shop: dict[str, Any]) -> None:
    """Either the type stays, or nobody was recorded under it."""
    kept = dict(shop["identifier_types"])
    async with in_process(maywe.url) as other:
        for n in range(12):
            club = f"club{n}"
            types = {**kept, club: {"normalise": "exact"}}
            await put(maywe, version_of(shop, f"with{n}", identifier_types=types), 201)
            choice = {"subject": someone("x", club), "choices": [{"purpose": "improvement", "choice": "object"}]}
            recorded, published = await asyncio.gather(
                other.http.post("/v1/choices", json=choice),
                maywe.http.put("/v1/catalogue", json=version_of(shop, f"without{n}", identifier_types=kept)),
            )
            assert (recorded.status_code, published.status_code) in {(201, 422), (422, 201)}
            if recorded.status_code == 201:
                kept = types
