"""The preference page: off by link, on and off by a person who is signed in."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest

from app.crypto import Secrets
from app.preferring import Session, read_session, write_session
from tests.harness.service import settings_for
from tests.unsubscribe.website import Website, field, token_of

OFFERS = "purpose:offers:email"
BY_POST = "purpose:catalogue_by_post:post"
CREDIT = "purpose:credit_offer:"


def page_of(site: Website, who: dict[str, str]) -> str:
    """The path of the page for somebody who is signed in."""
    made = site.post("/v1/preference-links", {"subject": who}, 200)
    return "/preferences/" + str(made["url"]).rpartition("/")[2]


def boxes(page: str) -> dict[str, bool]:
    """The boxes of a page and whether they are ticked."""
    found = re.findall(r'<input type="checkbox" id="[^"]*" name="([^"]*)" value="on"( checked)?', page)
    return {unescape(name): bool(checked) for name, checked in found}


def filled(page: str, **changed: bool) -> dict[str, str]:
    """The form as a browser sends it, with some boxes changed."""
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page))
    ticked = boxes(page) | changed
    return {unescape(k): v for k, v in hidden.items()} | {name: "on" for name, on in ticked.items() if on}


# By the link out of a mail


def test_the_link_shows_nothing_about_the_person(site: Website) -> None:
    who, stranger = site.person(), site.stranger()
    pages = [
        site.open.get(site.link(p)["preferences_url"].replace("http://127.0.0.1:8000", "")) for p in (who, stranger)
    ]
    assert [page.status_code for page in pages] == [200, 200]
    bodies = [page.text for page in pages]
    assert bodies[0] == bodies[1], "the same for somebody who agreed and for somebody unknown"
    assert who["id"] not in bodies[0]
    assert not any(boxes(bodies[0]).values())
    assert {OFFERS, "purpose:offers:sms", BY_POST, "scope:all_marketing", "scope:automation"} <= boxes(bodies[0]).keys()
    assert "purpose:order_updates:email" not in boxes(bodies[0]), "what cannot be stopped is not offered"


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_link_turns_off_what_is_ticked_and_nothing_else(site: Website, slash: str) -> None:
    who = site.person()
    path = "/preferences/" + token_of(site.link(who, campaign="spring")) + slash
    answer = site.open.post(path, data={BY_POST: "on", "scope:automation": "on"})
    assert answer.status_code == 200
    assert 'role="status"' in answer.text
    assert "Off: Catalogue by post (by post)" in answer.text
    assert site.ask(who, "catalogue_by_post", "post") == (False, "objected_to_marketing")
    assert site.ask(who, "catalogue_by_post", "on_site")[0] is True
    assert site.ask(who, "recommendations", None) == (False, "automation_opt_out")
    assert site.ask(who)[0] is True
    details = site.events(who)[-1]["details"]
    assert details["method"] == "preference_centre"
    assert details["evidence"]["campaign"] == "spring"
    assert "Our printed catalogue" in details["evidence"]["wording"][0]


def test_the_link_stops_all_marketing(site: Website) -> None:
    who = site.person()
    site.open.post("/preferences/" + token_of(site.link(who)), data={"scope:all_marketing": "on"})
    assert site.ask(who) == (False, "objected_to_marketing")
    assert site.ask(who, "order_updates")[0] is True


def test_the_link_never_turns_on(site: Website) -> None:
    """Whatever the form says: the link may have been passed on."""
    who = site.stranger()
    path = "/preferences/" + token_of(site.link(who))
    before = site.revision()
    form = {"notice": "news-1", f"was:{OFFERS}": "off", "on": OFFERS, "purpose:order_updates:email": "on"}
    answer = site.open.post(path, data=form)
    assert "Nothing was ticked" in answer.text
    assert site.open.post(path).status_code == 200
    assert site.revision() == before
    site.open.post(path, data=form | {OFFERS: "on"})
    assert site.ask(who) == (False, "consent_withdrawn")


# By somebody who is signed in


def test_a_signed_in_person_sees_and_changes_their_choices(site: Website) -> None:
    who = site.person(type="customer")
    path = page_of(site, who)
    page = site.open.get(path)
    shown = boxes(page.text)
    assert {name: shown[name] for name in (OFFERS, "purpose:offers:sms", BY_POST, CREDIT, "scope:automation")} == {
        OFFERS: True,
        "purpose:offers:sms": False,
        BY_POST: True,
        CREDIT: False,
        "scope:automation": True,
    }
    saved = site.open.post(path, data=filled(page.text, **{OFFERS: False, "purpose:offers:sms": True, BY_POST: False}))
    assert saved.status_code == 200
    assert "On: Offers and news (by text message)" in saved.text
    assert "Off: Offers and news (by e-mail)" in saved.text
    assert boxes(saved.text) == shown | {OFFERS: False, "purpose:offers:sms": True, BY_POST: False}
    assert site.ask(who) == (False, "consent_withdrawn")
    assert site.ask(who, "offers", "sms") == (True, "consent_given")
    assert site.ask(who, "catalogue_by_post", "post") == (False, "objected_to_marketing")
    again = site.open.post(path, data=filled(saved.text, **{OFFERS: True, BY_POST: True}))
    assert boxes(again.text)[OFFERS] is True
    assert site.ask(who) == (True, "consent_given")
    assert site.ask(who, "catalogue_by_post", "post")[0] is True


def test_what_was_shown_is_what_is_on_record(site: Website) -> None:
    who = site.stranger()
    path = page_of(site, who) + "?lang=de"
    page = site.open.get(path)
    assert '<html lang="de">' in page.text
    site.open.post(path, data=filled(page.text, **{OFFERS: True}))
    details = site.events(who)[-1]["details"]
    assert (details["notice"], details["language"], details["method"]) == ("news-1", "de", "preference_centre")
    assert details["actor"] == "subject"
    [wording] = details["evidence"]["wording"]
    assert "Angebote und Neues" in wording
    assert wording.replace(" / per E-Mail / ", "|").split("|")[1] in page.text


def test_consent_that_must_be_explicit_says_so_beside_its_box(site: Website) -> None:
    who = site.stranger()
    path = page_of(site, who)
    page = site.open.get(path)
    assert page.text.count("I expressly agree.") == 1
    site.open.post(path, data=filled(page.text, **{CREDIT: True}))
    assert site.ask(who, "credit_offer", None) == (True, "consent_given")
    assert "I expressly agree." in site.events(who)[-1]["details"]["evidence"]["wording"][0]


def test_only_what_differs_from_what_was_shown_is_recorded(site: Website) -> None:
    """Saving an old page must not undo what was decided elsewhere since."""
    who = site.person()
    path = page_of(site, who)
    page = site.open.get(path).text
    site.choose(who, {"purpose": "offers", "channel": "email", "choice": "withdraw"})
    saved = site.open.post(path, data=filled(page, **{BY_POST: False}))
    assert boxes(saved.text)[OFFERS] is False
    assert site.ask(who) == (False, "consent_withdrawn")
    before = site.revision()
    unchanged = site.open.post(path, data=filled(saved.text))
    assert "Nothing was changed" in unchanged.text
    assert site.revision() == before


def test_stop_all_marketing_is_one_button(site: Website) -> None:
    who = site.person()
    path = page_of(site, who)
    page = site.open.get(path).text
    assert field(page, "stop") == "all"
    saved = site.open.post(path, data={"stop": "all"})
    assert "Off: All marketing" in saved.text
    shown = boxes(saved.text)
    assert not any(shown[name] for name in (OFFERS, "purpose:offers:sms", BY_POST, "purpose:recommendations:"))
    assert shown["purpose:improvement:"], "what is no marketing goes on"
    site.open.post(path, data=filled(saved.text, **{OFFERS: True}))
    assert site.ask(who) == (True, "consent_given")
    assert site.ask(who, "catalogue_by_post", "post") == (False, "objected_to_marketing"), "one yes is no yes to all"


def test_automated_profiling_can_be_turned_off_and_on(site: Website) -> None:
    who = site.person()
    path = page_of(site, who)
    saved = site.open.post(path, data=filled(site.open.get(path).text, **{"scope:automation": False})).text
    assert boxes(saved)["scope:automation"] is False
    assert site.ask(who, "recommendations", None) == (False, "automation_opt_out")
    site.open.post(path, data=filled(saved, **{"scope:automation": True}))
    assert site.ask(who, "recommendations", None)[0] is True


def test_a_page_from_before_a_new_notice_records_what_it_showed(site: Website, newsletter: dict[str, Any]) -> None:
    who = site.stranger()
    path = page_of(site, who)
    page = site.open.get(path).text
    form = filled(page, **{OFFERS: True}) | {"notice": "never-published"}
    site.open.post(path, data=form)
    assert site.events(who)[-1]["details"]["notice"] == "news-1", "what was really published"


def test_a_session_ends(site: Website) -> None:
    current, previous = settings_for("sqlite:///unused.db").key_bytes()
    secrets = Secrets(current, previous)
    who = site.person()
    token = page_of(site, who).rpartition("/")[2]
    session = read_session(secrets, token)
    assert session is not None
    left = session.expires_at - datetime.now(UTC)
    assert timedelta(minutes=25) < left <= timedelta(minutes=30)
    ended = write_session(secrets, session._replace(expires_at=datetime.now(UTC) - timedelta(seconds=2)))
    before = site.revision()
    for method in ("GET", "POST"):
        answer = site.open.request(method, f"/preferences/{ended}", data={"stop": "all"})
        assert answer.status_code == 410
        assert "This link has ended" in answer.text
    assert site.revision() == before


def test_a_session_ends_with_the_erasure(site: Website) -> None:
    who = site.person()
    path = page_of(site, who)
    site.post(f"/v1/subjects/{site.find(who)}/erasure", {"force": True}, 200)
    assert site.open.get(path).status_code == 410
    assert site.open.post(path, data={"stop": "all"}).status_code == 410


def test_tokens_of_other_features_do_not_work(site: Website) -> None:
    who = site.person()
    session = page_of(site, who).rpartition("/")[2]
    undo = field(site.open.post(site.path(who, "catalogue_by_post", "post"), data={"from": "page"}).text, "undo")
    before = site.revision()
    for path in (f"/u/{session}", f"/u/{undo}", f"/preferences/{undo}", f"/preferences/{site.find(who)}"):
        for method in ("GET", "POST", "HEAD"):
            assert site.open.request(method, path).status_code == 404, path
    assert site.revision() == before


def test_other_methods_change_nothing(site: Website) -> None:
    who = site.person()
    for path in (page_of(site, who), "/preferences/" + token_of(site.link(who))):
        for method, status in (("HEAD", 200), ("OPTIONS", 204), ("PUT", 405), ("DELETE", 405)):
            assert site.open.request(method, path, content=b"stop=all").status_code == status
    assert site.ask(who)[0] is True


def test_the_page_is_as_safe_as_the_other(site: Website) -> None:
    who = site.person()
    for path in (page_of(site, who), "/preferences/" + token_of(site.link(who))):
        answer = site.open.get(path)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert "set-cookie" not in answer.headers
        assert "script" not in answer.text.lower()


def test_a_link_for_a_stranger_makes_a_subject_that_can_be_reached(site: Website) -> None:
    """What is turned on must be found by an audience: the address came from the caller, not from the link."""
    who = site.stranger()
    path = page_of(site, who)
    site.open.post(path, data=filled(site.open.get(path).text, **{OFFERS: True}))
    held = site.api.get(f"/v1/subjects/{site.find(who)}").json()["identifiers"]
    assert [i["id"] for i in held] == [who["id"]]
    body = {"purpose": "offers", "channel": "email", "identifier_type": "email"}
    lines = site.api.post("/v1/audience/export", json=body, headers={"Accept": "application/x-ndjson"}).text
    assert who["id"] in lines


def test_an_address_that_only_a_link_knows_is_in_no_audience(site: Website) -> None:
    who = site.stranger()
    site.open.post(site.path(who))
    body = {"purpose": "catalogue_by_post", "channel": "post", "identifier_type": "email"}
    answer = site.api.post("/v1/audience/export", json=body, headers={"Accept": "application/x-ndjson"})
    assert answer.status_code == 200
    assert '"end":true' in answer.text.replace(" ", "")
    assert site.find(who) not in answer.text


def test_the_session_is_a_short_token() -> None:
    session = Session("sub_x", datetime.fromtimestamp(2e9, UTC), "de")
    token = write_session(Secrets(b"k" * 32), session)
    assert len(token) <= 120
    assert read_session(Secrets(b"k" * 32), token) == session
    assert read_session(Secrets(b"j" * 32), token) is None


def test_what_an_erasure_stops_is_off_until_it_is_turned_on(site: Website) -> None:
    who = site.person()
    erased = {"type": "customer", "id": site.stranger()["id"]}
    subject_id = site.post("/v1/subjects/find", who, 200)["subject_id"]
    site.post("/v1/facts", {"subject": erased, "facts": [{"fact": "enquiry", "reference": "question"}]}, 201)
    other = site.post("/v1/subjects/find", erased, 200)["subject_id"]
    site.post(f"/v1/subjects/{other}/erasure", {}, 200)
    assert boxes(site.open.get(page_of(site, who)).text)[OFFERS] is True
    site.post(f"/v1/subjects/{subject_id}/identifiers", erased, 200)
    path = page_of(site, who)
    page = site.open.get(path).text
    assert not any(boxes(page)[name] for name in (OFFERS, BY_POST))
    site.open.post(path, data=filled(page, **{OFFERS: True}))
    assert boxes(site.open.get(path).text)[OFFERS] is True
    assert site.post("/v1/check", {"subject": who, "purpose": "offers", "channel": "email"}, 200)["decision"] is True
