"""Links: how they are asked for, what is refused, and that they outlive the rotation of keys."""

import base64
from typing import Any

import pytest

from app.addressing import Subject
from app.crypto import Secrets
from app.links import Minter, Wanted
from app.publishing import parse
from app.settings import SettingsError
from tests.harness.service import SECRET, Maywe, in_process
from tests.unsubscribe.website import Website, token_of

ADA = {"type": "email", "id": "ada@example.com"}
NEW_SECRET = base64.b64encode(b"another secret key for the tests").decode()


def test_both_headers_are_ready_to_paste(site: Website) -> None:
    link = site.link(ADA)
    assert link["url"] == f"http://127.0.0.1:8000/u/{token_of(link)}"
    assert link["preferences_url"] == f"http://127.0.0.1:8000/preferences/{token_of(link)}"
    assert link["headers"] == {
        "List-Unsubscribe": f"<{link['url']}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def test_a_mailbox_stands_second(newsletter: dict[str, Any]) -> None:
    secrets = Secrets(b"k" * 32)
    minter = Minter(parse(newsletter), secrets, public_url="https://s.example/x", mailbox="off@s.example")
    made = minter.mint(Wanted(Subject("email", "ada@example.com"), "offers", "email"))
    token = made.url.rpartition("/")[2]
    assert (
        made.headers["List-Unsubscribe"] == f"<https://s.example/x/u/{token}>, <mailto:off@s.example?subject={token}>"
    )
    assert "\n" not in made.headers["List-Unsubscribe"]


def test_the_same_link_is_the_same_token_on_the_server_and_off_it(site: Website, newsletter: dict[str, Any]) -> None:
    secrets = Secrets(base64.b64decode(SECRET))
    minter = Minter(parse(newsletter), secrets, public_url="http://127.0.0.1:8000", mailbox=None)
    made = minter.mint(Wanted(Subject("email", " ADA@example.com"), "offers", "email", "spring"))
    assert made.url == site.link(ADA, campaign="spring")["url"]


def test_a_subject_may_be_named_by_its_id(site: Website) -> None:
    who = site.person()
    assert site.link({"subject_id": site.find(who)})["url"] == site.link(who)["url"]


@pytest.mark.parametrize(
    ("item", "pointer", "code"),
    [
        ({"purpose": "order_updates"}, "/purpose", "nothing-to-stop"),
        ({"purpose": "claims", "channel": None}, "/purpose", "nothing-to-stop"),
        ({"purpose": "sleeping"}, "/purpose", "purpose-disabled"),
        ({"purpose": "nonsense"}, "/purpose", "unknown-purpose"),
        ({"channel": "post"}, "/channel", "channel-not-declared"),
        ({"purpose": "improvement"}, "/channel", "channel-not-declared"),
        ({"purpose": None, "channel": None}, "/channel", "channel-required"),
        ({"purpose": None, "channel": "phone"}, "/channel", "nothing-to-stop"),
        ({"purpose": None, "channel": "pigeon"}, "/channel", "nothing-to-stop"),
        ({"subject": {"type": "fax", "id": "1"}}, "/subject/type", "unknown-identifier-type"),
        ({"subject": {"type": "email", "id": "no address"}}, "/subject/id", "invalid-identifier"),
        ({"campaign": "ä" * 16}, "/campaign", "campaign-too-long"),
        ({"language": "english"}, "/language", "invalid-language"),
    ],
)
def test_a_link_that_would_stop_nothing_is_refused(
    site: Website, item: dict[str, Any], pointer: str, code: str
) -> None:
    wanted = {"subject": ADA, "purpose": "offers", "channel": "email", **item}
    answer = site.post("/v1/unsubscribe-links", {"links": [wanted]}, 422)
    assert [(e["pointer"], e["code"]) for e in answer["errors"]] == [(f"/links/0{pointer}", code)]
    good = {"subject": ADA, "purpose": "offers", "channel": "email"}
    mixed = site.post("/v1/unsubscribe-links", {"links": [good, wanted]}, 200)["links"]
    assert mixed[0]["url"] == site.link(ADA)["url"], "the rest stand"
    assert [(e["pointer"], e["code"]) for e in mixed[1]["errors"]] == [(f"/links/1{pointer}", code)]
    assert "url" not in mixed[1]


def test_unknown_and_erased_subjects_get_no_link(site: Website) -> None:
    wanted = {"purpose": "offers", "channel": "email"}
    site.post("/v1/unsubscribe-links", {"links": [{"subject": {"subject_id": "sub_nobody"}, **wanted}]}, 404)
    who = site.person()
    subject_id = site.find(who)
    site.post(f"/v1/subjects/{subject_id}/erasure", {"force": True}, 200)
    site.post("/v1/unsubscribe-links", {"links": [{"subject": {"subject_id": subject_id}, **wanted}]}, 410)


def test_a_thousand_at_a_time_and_no_more(site: Website) -> None:
    links = [
        {"subject": {"type": "email", "id": f"n{n}@example.com"}, "purpose": "offers", "channel": "email"}
        for n in range(1001)
    ]
    made = site.post("/v1/unsubscribe-links", {"links": links[:1000]}, 200)["links"]
    assert len({link["url"] for link in made}) == 1000
    site.post("/v1/unsubscribe-links", {"links": links}, 413)
    site.post("/v1/unsubscribe-links", {"links": []}, 422)


async def test_minting_needs_its_scope(maywe: Maywe) -> None:
    body = {"links": [{"subject": ADA, "purpose": "offers", "channel": "email"}]}
    for scope, status in (("links", 200), ("choices", 403)):
        headers = {"Authorization": f"Bearer {await maywe.key(scope)}"}
        assert (await maywe.http.post("/v1/unsubscribe-links", json=body, headers=headers)).status_code == status


# Rotation


async def click(maywe: Maywe, token: str) -> int:
    return (await maywe.http.post(f"/u/{token}", content=b"List-Unsubscribe=One-Click")).status_code


async def mint(maywe: Maywe, who: dict[str, str]) -> str:
    item = {"subject": who, "purpose": "offers", "channel": "email"}
    made = await maywe.http.post("/v1/unsubscribe-links", json={"links": [item]})
    return token_of(made.json()["links"][0])


async def agree(maywe: Maywe, who: dict[str, str]) -> None:
    give = {"purpose": "offers", "channel": "email", "choice": "give"}
    await maywe.choose(who, give, notice="news-1")


@pytest.fixture
def people() -> list[dict[str, str]]:
    return [{"type": "email", "id": f"p{n}@example.com"} for n in range(4)]


async def test_a_link_works_across_a_rotation_of_keys(
    database_url: str, newsletter: dict[str, Any], people: list[dict[str, str]]
) -> None:
    """Whatever was known under which key when: the link names the identifier, not its digest."""
    before_both, made_before_known_after, known_before_made_after, after_both = people
    async with in_process(database_url) as old:
        await old.publish(newsletter)
        await agree(old, before_both)
        await agree(old, known_before_made_after)
        tokens = {0: await mint(old, before_both), 1: await mint(old, made_before_known_after)}
    async with in_process(database_url, secret_key=NEW_SECRET, previous_secret_keys=(SECRET,)) as new:
        await agree(new, made_before_known_after)
        await agree(new, after_both)
        tokens |= {2: await mint(new, known_before_made_after), 3: await mint(new, after_both)}
        for n, who in enumerate(people):
            assert (await new.ask(who, "offers", channel="email"))["decision"] is True
            assert await click(new, tokens[n]) == 200
            assert (await new.ask(who, "offers", channel="email"))["reason"] == "consent_withdrawn"
    with pytest.raises(SettingsError, match="another secret key"):
        async with in_process(database_url, secret_key=NEW_SECRET):
            pass


async def test_no_that_was_left_on_an_erased_identifier_is_heard_across_a_rotation(
    database_url: str, newsletter: dict[str, Any]
) -> None:
    async with in_process(database_url) as old:
        await old.publish(newsletter)
        await agree(old, ADA)
        subject_id = await old.find(ADA)
        assert (await old.http.post(f"/v1/subjects/{subject_id}/erasure", json={})).status_code == 200
    async with in_process(database_url, secret_key=NEW_SECRET, previous_secret_keys=(SECRET,)) as new:
        assert await click(new, await mint(new, ADA)) == 200
        assert (await new.ask(ADA, "offers", channel="email"))["reason"] == "suppressed"
        assert (await new.http.post("/v1/subjects/find", json=ADA)).status_code == 404


async def test_a_link_to_a_purpose_that_was_retired_still_stops_it(
    database_url: str, newsletter: dict[str, Any]
) -> None:
    async with in_process(database_url) as maywe:
        await maywe.publish(newsletter)
        await agree(maywe, ADA)
        token = await mint(maywe, ADA)
        retired = {k: v for k, v in newsletter["purposes"].items() if k != "offers"}
        later = {"version": "news-2", "effective_from": "2021-01-01T00:00:00Z", "purposes": retired, "translations": {}}
        await maywe.publish(newsletter | later)
        page = await maywe.http.get(f"/u/{token}")
        assert "Offers and news" in page.text
        assert await click(maywe, token) == 200
        answer = await maywe.http.post("/v1/subjects/find", json=ADA)
        held = (await maywe.http.get(f"/v1/subjects/{answer.json()['subject_id']}")).json()
        assert [(s["purpose"], s["status"]) for s in held["standings"]] == [("offers", "withdrawn")]


async def test_a_link_to_a_purpose_nobody_published_stops_all_marketing_on_its_channel(
    maywe: Maywe, shop: dict[str, Any], newsletter: dict[str, Any]
) -> None:
    """Made offline under a catalogue that was not published in the end: too much is stopped rather than nothing."""
    draft = newsletter | {"purposes": {"drafted": newsletter["purposes"]["offers"]}, "translations": {}}
    minter = Minter(parse(draft), maywe.store.secrets, public_url="https://s.example", mailbox=None)
    token = minter.mint(Wanted(Subject("email", "ada@example.com"), "drafted", "email")).url.rpartition("/")[2]
    assert await click(maywe, token) == 200
    asked = await maywe.ask(ADA, "offers", channel="email")
    assert asked["reason"] == "objected_to_marketing"
