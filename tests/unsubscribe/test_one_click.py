"""What api.md's table promises of /u/{token}, each row over a real socket, with and without a slash at the end."""

import base64
import re
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.unsubscribing import write_undo
from tests.unsubscribe.failures import SECRETS
from tests.unsubscribe.website import Website, field, token_of

ONE_CLICK = b"List-Unsubscribe=One-Click"
MULTIPART = b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
BODIES: dict[str, tuple[bytes, str | None]] = {
    "urlencoded": (ONE_CLICK, "application/x-www-form-urlencoded"),
    "multipart": (MULTIPART, "multipart/form-data; boundary=b"),
    "plain-text": (ONE_CLICK, "text/plain"),
    "no-content-type": (ONE_CLICK, None),
    "nothing": (b"", None),
    "nothing-but-a-type": (b"", "application/x-www-form-urlencoded"),
    "multipart-without-boundary": (MULTIPART, "multipart/form-data"),
    "multipart-cut-off": (MULTIPART[:40], "multipart/form-data; boundary=b"),
    "no-utf-8": (b"\xff\xfe=\x00&%zz", "application/x-www-form-urlencoded"),
    "json": (b'{"List-Unsubscribe": "One-Click"', "application/json"),
    "nonsense-type": (ONE_CLICK, ";;;"),
    "two-megabytes": (b"x" * 2_000_000, "application/x-www-form-urlencoded"),
    "a-thousand-fields": (b"a=1&" * 5000, "application/x-www-form-urlencoded"),
}
SLASHES = ("", "/")


@pytest.fixture(params=SLASHES, ids=["no-slash", "slash"])
def slash(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def headers(content_type: str | None) -> dict[str, str]:
    return {} if content_type is None else {"Content-Type": content_type}


@pytest.mark.parametrize("body", BODIES)
def test_any_post_stops_it_before_the_answer(site: Website, slash: str, body: str) -> None:
    who = site.person()
    assert site.ask(who) == (True, "consent_given")
    content, content_type = BODIES[body]
    answer = site.open.post(site.path(who) + slash, content=content, headers=headers(content_type))
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert "location" not in answer.headers
    assert site.ask(who) == (False, "consent_withdrawn")
    assert site.ask(who, "order_updates") == (True, "contract")
    last = site.events(who)[-1]
    assert (last["type"], last["details"]["method"]) == ("choice.withdraw", "one_click")


def test_it_is_never_a_redirect_even_over_a_raw_socket(site: Website, slash: str) -> None:
    """HTTP/1.0, no Host, no length: the least a client can send."""
    who = site.person()
    host, port = site.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(f"POST {site.path(who)}{slash} HTTP/1.0\r\n\r\n".encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200 ")
    assert site.ask(who) == (False, "consent_withdrawn")


def test_a_body_that_never_comes_is_not_waited_for(site: Website) -> None:
    who = site.person()
    host, port = site.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(f"POST {site.path(who)} HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\nList-".encode())
    for _ in range(100):  # nobody is there any more to be told when it is done
        if site.ask(who) == (False, "consent_withdrawn"):
            return
        time.sleep(0.1)
    raise AssertionError("the click was lost")


def test_get_shows_and_changes_nothing(site: Website, slash: str) -> None:
    who = site.person()
    before = site.revision()
    answer = site.open.get(site.path(who) + slash)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-robots-tag"] == "noindex"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
    assert "unsafe" not in policy
    assert "script" not in answer.text.lower()
    assert not re.search(r'(src|href|action)="(https?:)?//', answer.text), "loads or links elsewhere"
    assert "set-cookie" not in answer.headers
    assert "Offers and news" in answer.text
    assert "Messages about your order" in answer.text
    assert answer.text.count('<button class="main">') == 1
    assert "Stop all marketing" in answer.text
    assert 'href="' + ("../" if not slash else "../../") + "preferences/" in answer.text
    assert who["id"] not in answer.text
    assert site.revision() == before
    assert site.ask(who) == (True, "consent_given")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_other_methods_change_nothing(site: Website, slash: str, method: str) -> None:
    who = site.person()
    path = site.path(who)
    before = site.revision()
    answer = site.open.request(method, path + slash, content=ONE_CLICK)
    assert answer.status_code == {"HEAD": 200, "OPTIONS": 204}.get(method, 405)
    assert "set-cookie" not in answer.headers
    assert site.revision() == before
    assert site.ask(who)[0] is True


def test_the_same_again_is_200_without_version(site: Website, slash: str) -> None:
    who = site.person()
    path = site.path(who) + slash
    site.open.post(path, content=ONE_CLICK)
    version = site.standing(who)["version"]
    for _ in range(3):
        assert site.open.post(path, content=ONE_CLICK).status_code == 200
    assert site.standing(who)["version"] == version
    assert site.ask(who) == (False, "consent_withdrawn")


def test_repetitions_do_not_fill_the_ledger(site: Website) -> None:
    """No key is needed to repeat a click, so repeating it must cost nothing."""
    who = site.person()
    path = site.path(who)
    site.open.post(path)
    count = len(site.events(who))
    for _ in range(50):
        assert site.open.post(path).status_code == 200
    assert len(site.events(who)) == count


def test_a_click_after_a_new_consent_counts(site: Website) -> None:
    who = site.person()
    path = site.path(who)
    site.open.post(path)
    site.choose(who, {"purpose": "offers", "channel": "email", "choice": "give"})
    assert site.ask(who)[0] is True
    site.open.post(path)
    assert site.ask(who) == (False, "consent_withdrawn")


@pytest.mark.parametrize("after", [".", "%20", "%3E", "),", "/.", "?utm_source=mail&utm_medium=email"])
def test_what_stood_after_a_link_in_a_text_spoils_nothing(site: Website, after: str) -> None:
    """Mail programs make links of texts, and take the full stop for a part of them; trackers add parameters."""
    who = site.person()
    page = site.open.get(site.path(who) + after)
    assert page.status_code == 200
    assert "Offers" in page.text
    assert site.ask(who) == (True, "consent_given")
    assert site.open.post(site.path(who) + after, content=ONE_CLICK).status_code == 200
    assert site.ask(who) == (False, "consent_withdrawn")


def test_already_off_by_another_way(site: Website) -> None:
    who = site.person()
    site.choose(who, {"purpose": "offers", "channel": "email", "choice": "withdraw"})
    version = site.standing(who)["version"]
    assert site.open.post(site.path(who)).status_code == 200
    assert site.standing(who)["version"] == version


def test_the_link_stops_its_channel_only(site: Website) -> None:
    who = site.person()
    site.choose(who, {"purpose": "offers", "channel": "sms", "choice": "give"})
    site.open.post(site.path(who))
    assert site.ask(who) == (False, "consent_withdrawn")
    assert site.ask(who, channel="sms") == (True, "consent_given")


def test_a_link_without_channel_stops_all_of_them(site: Website) -> None:
    who = site.person()
    site.choose(who, {"purpose": "offers", "channel": "sms", "choice": "give"})
    site.open.post(site.path(who, "offers", None))
    assert not site.ask(who)[0]
    assert not site.ask(who, channel="sms")[0]


def test_a_link_without_purpose_stops_all_marketing_on_the_channel(site: Website) -> None:
    who = site.person()
    site.choose(who, {"purpose": "offers", "channel": "sms", "choice": "give"})
    site.open.post(site.path(who, None))
    assert site.ask(who) == (False, "objected_to_marketing")
    assert site.ask(who, channel="sms")[0] is True
    assert site.ask(who, "catalogue_by_post", "post")[0] is True
    assert site.ask(who, "order_updates")[0] is True


def test_how_it_came_is_evidence(site: Website) -> None:
    who = site.person()
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
    site.open.post(site.path(who, campaign="frühling 26"), content=ONE_CLICK, headers={"User-Agent": agent})
    details = site.events(who)[-1]["details"]
    assert details["method"] == "one_click"
    assert details["actor"] == "subject"
    assert details["evidence"] == {"campaign": "frühling 26", "user_agent": "Firefox"}


def test_the_form_of_the_page_is_told_apart(site: Website) -> None:
    who = site.person()
    answer = site.open.post(site.path(who), data={"from": "page"}, headers={"User-Agent": "curl/8"})
    assert answer.status_code == 200
    assert 'role="status"' in answer.text
    assert "<title>You are unsubscribed" in answer.text
    details = site.events(who)[-1]["details"]
    assert (details["method"], details["notice"], details["language"]) == ("unsubscribe_link", "news-1", "en")
    assert details["evidence"] == {"user_agent": "curl"}


def test_stop_all_marketing_from_the_page(site: Website) -> None:
    who = site.person()
    site.choose(who, {"purpose": "offers", "channel": "sms", "choice": "give"})
    answer = site.open.post(site.path(who), data={"from": "page", "stop": "all"})
    assert "All marketing" in answer.text
    for purpose, channel in (("offers", "email"), ("offers", "sms"), ("catalogue_by_post", "post")):
        assert site.ask(who, purpose, channel) == (False, "objected_to_marketing")
    assert site.ask(who, "order_updates")[0] is True


def test_a_stranger_becomes_a_subject_who_said_no(site: Website) -> None:
    who = site.stranger()
    path = site.path(who, "catalogue_by_post", "post")
    assert site.api.post("/v1/subjects/find", json=who).status_code == 404, "making a link stores nobody"
    assert site.ask(who, "catalogue_by_post", "post")[0] is True
    assert site.open.post(path).status_code == 200
    assert site.ask(who, "catalogue_by_post", "post") == (False, "objected_to_marketing")
    held = site.api.get(f"/v1/subjects/{site.find(who)}").json()["identifiers"]
    assert [(i["type"], i["id"]) for i in held] == [("email", None)], "the link does not hold the address"
    site.choose(who, {"purpose": "offers", "channel": "email", "choice": "refuse"})
    held = site.api.get(f"/v1/subjects/{site.find(who)}").json()["identifiers"]
    assert [(i["type"], i["id"]) for i in held] == [("email", who["id"])], "a caller who names it does"


def test_a_link_follows_its_identifier_through_a_merge(site: Website) -> None:
    who, customer = site.person(), site.person(type="customer")
    path = site.path(who)
    linked = site.api.post(f"/v1/subjects/{site.find(customer)}/identifiers", json=who)
    assert linked.status_code == 200
    site.choose(customer, {"purpose": "offers", "channel": "email", "choice": "give"})
    site.open.post(path)
    assert site.ask(customer) == (False, "consent_withdrawn")


def test_a_link_follows_its_identifier_to_a_new_holder(site: Website) -> None:
    who, other = site.person(), site.person(type="customer")
    path = site.path(who)
    first = site.find(who)
    [identifier] = site.api.get(f"/v1/subjects/{first}").json()["identifiers"]
    unlinked = site.api.delete(f"/v1/subjects/{first}/identifiers/{identifier['identifier_id']}")
    assert unlinked.status_code in (200, 204)
    before = site.revision()
    assert site.open.post(path).status_code == 200, "nobody holds it: marketing to it ended when it was unlinked"
    assert site.revision() == before
    assert site.api.post(f"/v1/subjects/{site.find(other)}/identifiers", json=who).status_code == 200
    site.choose(who, {"purpose": "offers", "channel": "email", "choice": "give"})
    assert site.ask(other)[0] is True
    site.open.post(path)
    assert site.ask(other) == (False, "consent_withdrawn")


def test_an_erased_person_gets_200_and_nothing_is_recorded(site: Website, slash: str) -> None:
    who = site.person()
    path, all_marketing = site.path(who), site.path(who, None)
    erased = site.api.post(f"/v1/subjects/{site.find(who)}/erasure", json={"force": True})
    assert erased.status_code == 200
    before = site.revision()
    assert site.open.post(path + slash).status_code == 200
    assert site.open.post(all_marketing + slash).status_code == 200
    assert site.revision() == before
    assert site.api.post("/v1/subjects/find", json=who).status_code == 404
    assert site.ask(who) == (False, "suppressed")


def test_an_erased_person_can_still_say_no_to_what_goes_on(site: Website) -> None:
    """An erasure suppresses marketing; anything else on legitimate interest starts anew, and a link must stop it."""
    who = site.person()
    path = site.path(who, "improvement", None)
    site.api.post(f"/v1/subjects/{site.find(who)}/erasure", json={"force": True})
    assert site.ask(who, "improvement", None)[0] is True
    site.open.post(path)
    assert site.ask(who, "improvement", None) == (False, "objected")
    assert site.ask(who) == (False, "suppressed")


def test_a_burst_from_one_address_is_never_refused(site: Website) -> None:
    wanted = [{"subject": site.stranger(), "purpose": "offers", "channel": "email"} for _ in range(80)]
    made = site.post("/v1/unsubscribe-links", {"links": wanted}, 200)["links"]
    paths = [f"/u/{token_of(link)}" for link in made for _ in range(2)]
    assert {site.open.post(path, content=ONE_CLICK).status_code for path in paths} == {200}


def test_undo_gives_back_what_the_click_took(site: Website) -> None:
    who = site.person()
    path = site.path(who, "catalogue_by_post", "post")
    done = site.open.post(path, data={"from": "page"})
    assert site.ask(who, "catalogue_by_post", "post") == (False, "objected_to_marketing")
    undone = site.open.post(path, data={"from": "page", "undo": field(done.text, "undo")})
    assert "Undone" in undone.text
    assert site.ask(who, "catalogue_by_post", "post")[0] is True
    assert site.events(who)[-1]["type"] == "choice.withdraw_objection"


def test_undo_never_gives_consent(site: Website) -> None:
    who = site.person()
    for path, data in ((site.path(who), {"from": "page"}), (site.path(who, None), {"from": "page", "stop": "all"})):
        site.choose(who, {"purpose": "offers", "channel": "email", "choice": "give"})
        done = site.open.post(path, data=data)
        assert 'name="undo"' not in done.text, "what was consent is not offered back"
        assert not site.ask(who)[0]


@pytest.mark.parametrize("how", ["made-up", "of-another-link", "older-objection", "after-an-hour", "again-and-again"])
def test_undo_undoes_that_click_only(site: Website, how: str) -> None:
    who, other = site.person(), site.person()
    path = site.path(who, "catalogue_by_post", "post")
    undo = field(site.open.post(path, data={"from": "page"}).text, "undo")
    if how == "made-up":
        undo = undo[:-4] + "AAAA"
    elif how == "of-another-link":
        path, elsewhere = site.path(other, "catalogue_by_post", "post"), path
        site.open.post(path)
        assert elsewhere != path
        who = other
    elif how == "after-an-hour":
        an_hour_ago = datetime.now(UTC) - timedelta(minutes=61)
        undo = write_undo(SECRETS, path.rpartition("/")[2], site.events(who)[-1]["event_id"], now=an_hour_ago)
    elif how == "older-objection":
        site.choose(who, {"purpose": "catalogue_by_post", "choice": "object"})
    else:
        for _ in range(3):
            site.open.post(path, data={"from": "page", "undo": undo})
            undo = field(site.open.post(path, data={"from": "page"}).text, "undo")
    answer = site.open.post(path, data={"from": "page", "undo": undo})
    assert answer.status_code == 200
    assert "still unsubscribed" in answer.text
    assert site.ask(who, "catalogue_by_post", "post") == (False, "objected_to_marketing")


# Tokens


def test_a_token_is_short_and_says_nothing(site: Website) -> None:
    who = {"type": "email", "id": f"{'long' * 16}@{'example' * 8}.{'domain' * 10}.{'domain' * 10}.example.com"}
    link = site.link(who, campaign="a campaign of thirty octets !!")
    token = token_of(link)
    assert len(token) <= 120
    octets = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for said in (b"long", b"example", b"offers", b"email", b"campaign"):
        assert said not in octets
    assert site.open.post(f"/u/{token}").status_code == 200
    assert site.ask(who)[0] is False


def damaged(token: str) -> dict[str, Any]:
    flipped = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
    return {
        "flipped": flipped,
        "cut-off": token[:-1],
        "one-more": token + "A",
        "forged": "A" * 120,
        "five-thousand": "A" * 5000,
        "padded": token + "=",
        "not-canonical": token[:-1] + chr(ord(token[-1]) + 1),
        "nothing": "",
        "merge-tag": "{{unsubscribe}}",
        "path": f"{token}/{token}",
        "no-ascii": "ä" * 60,
    }


def test_a_token_that_was_not_made_here_is_404(site: Website, slash: str) -> None:
    """With any method; and nothing is looked up, as test_store_down.py shows."""
    token = token_of(site.link({"type": "email", "id": "nobody@example.com"}))
    before = site.revision()
    for name, text in damaged(token).items():
        for method in ("GET", "HEAD", "POST", "OPTIONS", "PUT"):
            answer = site.open.request(method, f"/u/{text}{slash}")
            assert answer.status_code == 404, (name, method)
            if method != "HEAD":
                assert "This link does not work" in answer.text
                assert 'href="mailto:privacy@shop.example"' in answer.text
                assert token not in answer.text
    assert site.revision() == before
