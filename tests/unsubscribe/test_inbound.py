"""What people write back: text messages, mails to the mailbox, and what they tell an agent."""

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from app.inbound import read_word
from tests.unsubscribe.website import Website, token_of

STOP = (
    *("STOP", "stop", " Stop. ", "STOP!", "StopAll", "stop all", "UNSUBSCRIBE", "cancel", "End", "quit", "revoke"),
    *("OPTOUT", "opt out", "Opt-Out", "remove", "ARRET", "Arr\xeat", "TD", "STOPP", "alto", "baja", "\xabstop\xbb"),
    *("STOP \U0001f6d1", "\uff33\uff34\uff2f\uff30"),
)
POSSIBLE_STOP = (
    *("please stop texting me", "Stop sending this!!", "can you take me off your list", "don't text me"),
    *("Cancel my subscription!", "opt me out of this"),
    *("unsubscribe me please", "no more messages", "Bitte keine Werbung mehr", "bitte abmelden danke"),
    *("nie wieder schreiben", "kein Werbung!", "Schreiben Sie mir nicht mehr"),
)
NOTHING = (
    *("", "cancel my order from Tuesday", "at the end of the week", "thanks!", "YES", "subscribe", "\U0001f44d"),
    *("stopwatch", "when will you quit?"),
)


@pytest.mark.parametrize("body", STOP)
def test_stop_as_a_whole_message(body: str) -> None:
    assert read_word(body) == "stop"


@pytest.mark.parametrize("body", POSSIBLE_STOP)
def test_what_may_be_a_stop(body: str) -> None:
    assert read_word(body) == "possible_stop"


@pytest.mark.parametrize("body", NOTHING)
def test_what_is_none(body: str) -> None:
    assert read_word(body) is None


def test_other_words() -> None:
    assert read_word("start") == read_word("UNSTOP") == "start"
    assert read_word("help?") == read_word("INFO") == "help"
    assert read_word("Pare!") is None
    assert read_word("Pare!", ["pare"]) == "stop"


# Text messages

_NUMBERS = iter(range(100_000))


def texter(site: Website, *, consents: bool = True) -> dict[str, str]:
    who = {"type": "phone", "id": f"+4915110{next(_NUMBERS):06}"}
    if consents:
        site.choose(who, {"purpose": "offers", "channel": "sms", "choice": "give"})
    return who


def text(site: Website, who: dict[str, str], body: str, **more: Any) -> Any:
    return site.post("/v1/inbound/sms", {"from": who["id"], "body": body, **more}, 200)


def test_stop_stops_all_marketing_by_text_message(site: Website) -> None:
    who = texter(site)
    site.choose(who, {"purpose": "offers", "channel": "email", "choice": "give"})
    site.post("/v1/facts", {"subject": who, "facts": [{"fact": "contract_started", "reference": "order"}]}, 201)
    answer = text(site, who, "Stop.")
    assert answer["recognised"] == "stop"
    assert answer["reply"].startswith("Little Shop: ")
    assert [e["type"] for e in answer["events"]][:1] == ["choice.object"]
    assert site.ask(who, channel="sms") == (False, "objected_to_marketing")
    assert site.ask(who)[0] is True, "other channels go on"
    assert site.ask(who, "order_updates", "sms")[0] is True
    details = site.events(who)[-1]["details"]
    assert (details["method"], details["evidence"]) == ("sms", {"body": "Stop."})
    again = text(site, who, "STOP")
    assert (again["recognised"], again["reply"]) == ("stop", None), "answered once"


def test_start_gives_back_what_a_stop_ended(site: Website) -> None:
    who = texter(site)
    text(site, who, "STOP")
    answer = text(site, who, "START", language="de")
    assert answer["recognised"] == "start"
    assert "Antworten Sie STOP" in answer["reply"]
    assert site.ask(who, channel="sms") == (True, "consent_given")
    details = site.events(who)[-1]["details"]
    assert (details["method"], details["notice"], details["evidence"]) == ("sms", "news-1", {"body": "START"})


@pytest.mark.parametrize("before", ["nothing", "only-e-mail", "withdrawn-elsewhere", "all-marketing", "still-on"])
def test_start_gives_nothing_else(site: Website, before: str) -> None:
    who = texter(site, consents=before not in ("nothing", "only-e-mail"))
    if before == "only-e-mail":
        site.choose(who, {"purpose": "offers", "channel": "email", "choice": "give"})
    elif before == "withdrawn-elsewhere":
        site.choose(who, {"purpose": "offers", "channel": "sms", "choice": "withdraw"})
        text(site, who, "STOP")
    elif before == "all-marketing":
        site.choose(who, {"scope": "all_marketing", "choice": "object"})
    answer = text(site, who, "start")
    assert (answer["recognised"], answer["events"]) == ("start", [])
    assert site.ask(who, channel="sms")[0] is (before == "still-on")
    if before == "nothing":
        assert site.api.post("/v1/subjects/find", json=who).status_code == 404


def test_what_may_be_a_stop_pauses(site: Website) -> None:
    who = texter(site)
    answer = text(site, who, "please stop texting me")
    assert answer["recognised"] == "possible_stop"
    assert answer["events"]
    assert answer["reply"]
    assert site.ask(who, channel="sms")[0] is False
    text(site, who, "START")
    assert site.ask(who, channel="sms")[0] is True


def test_help_and_anything_else_record_nothing(site: Website) -> None:
    who = texter(site)
    before = site.revision()
    answer = text(site, who, "HELP")
    assert answer["recognised"] == "help"
    assert "privacy@shop.example" in answer["reply"]
    assert text(site, who, "cancel Tuesday") == {"recognised": None, "reply": None, "events": []}
    assert site.revision() == before


def test_a_number_that_is_none_is_refused_without_echo(site: Website) -> None:
    answer = site.post("/v1/inbound/sms", {"from": "0151 secret", "body": "STOP"}, 422)
    assert [(e["pointer"], e["code"]) for e in answer["errors"]] == [("/from", "invalid-identifier")]
    assert "secret" not in str(answer)


@pytest.mark.parametrize("language", ["\0", "e" * 5000, "<b>"])
def test_a_language_that_is_none_loses_no_stop(site: Website, language: str) -> None:
    who = texter(site, consents=False)
    answer = site.post("/v1/inbound/sms", {"from": who["id"], "body": "STOP", "language": language}, 200)
    assert answer["recognised"] == "stop"
    assert "You will get no more advertising" in answer["reply"]
    assert site.events(who)[-1]["details"].get("language") is None


# Mails


def mail(subject: str = "", to: str = "unsub@shop.example", body: str = "", **headers: str) -> bytes:
    message = EmailMessage()
    message["From"] = "Somebody Else <mallory@example.com>"
    message["To"] = to
    message["Subject"] = subject
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(body)
    return message.as_bytes()


def hand_on(site: Website, raw: bytes, status: int = 200) -> Any:
    answer = site.api.post("/v1/inbound/email", content=raw, headers={"Content-Type": "message/rfc822"})
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.mark.parametrize("place", ["subject", "address", "body", "html", "encoded-subject"])
def test_the_token_of_a_mail_says_whom_it_is_about(site: Website, place: str) -> None:
    who = site.person()
    link = site.link(who, campaign="spring")
    token = token_of(link)
    raw = {
        "subject": mail(subject=token),
        "encoded-subject": mail(subject=f"bitte k\xfcndigen: {token}"),
        "address": mail(to=f"Unsubscribe <unsub+{token}@shop.example>"),
        "body": mail(body=f"I want out.\n> Unsubscribe: {link['url']}\n"),
        "html": mail(body="x")
        .replace(b"text/plain", b"text/html")
        .replace(b"x\n", f'<a href="{link["url"]}">'.encode()),
    }[place]
    answer = hand_on(site, raw)
    assert answer["recognised"] == "stop"
    assert answer["found_in"] == {"encoded-subject": "subject", "html": "body"}.get(place, place)
    assert site.ask(who) == (False, "consent_withdrawn")
    details = site.events(who)[-1]["details"]
    assert (details["method"], details["evidence"]["campaign"]) == ("email", "spring")
    assert site.api.post("/v1/subjects/find", json={"type": "email", "id": "mallory@example.com"}).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "auto-generated; x=y"},
        {"Precedence": "bulk"},
        {"Precedence": "auto_reply"},
        {"X_Autoreply": "yes"},
        {"Return_Path": "<>"},
    ],
)
def test_machines_are_not_people(site: Website, headers: dict[str, str]) -> None:
    who = site.person()
    answer = hand_on(site, mail(subject=token_of(site.link(who)), **headers))
    assert (answer["recognised"], answer["reply"], answer["events"]) == ("automatic", None, [])
    assert site.ask(who)[0] is True


def test_a_person_s_mail_may_say_that_no_machine_sent_it(site: Website) -> None:
    who = site.person()
    hand_on(site, mail(subject=token_of(site.link(who)), Auto_Submitted="no"))
    assert site.ask(who)[0] is False


def test_from_is_never_trusted(site: Website) -> None:
    """Without a token nothing is recorded; the claimed sender gets a link, which only the real one can open."""
    who = site.person()
    raw = mail(subject="unsubscribe").replace(b"mallory@example.com", who["id"].encode())
    before = site.revision()
    answer = hand_on(site, raw)
    assert (answer["recognised"], answer["events"]) == (None, [])
    assert site.revision() == before
    path = "/u/" + answer["reply"].rpartition("/u/")[2].split()[0]
    site.open.post(path)
    assert site.ask(who) == (False, "objected_to_marketing")


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe\x00", b"Subject: =?utf-8?b?x?=\nFrom: =?x?q?\n\n", b"From" * 1000])
def test_a_broken_mail_is_no_error(site: Website, raw: bytes) -> None:
    assert hand_on(site, raw)["events"] == []


@pytest.mark.parametrize(
    "endless",
    [b"Content-Type: message/rfc822\n\n" * 3000, b"From: " + b"(" * 5000 + b"\n\nhi"],
    ids=["parts within parts", "comments within comments"],
)
def test_a_mail_without_end_is_read_as_far_as_it_can_be(site: Website, endless: bytes) -> None:
    assert hand_on(site, endless)["events"] == []
    who = site.person()
    token = token_of(site.link(who))
    assert hand_on(site, f"Subject: {token}\n".encode() + endless)["found_in"] == "subject"
    assert not site.ask(who)[0]


def test_only_a_raw_message_is_taken(site: Website) -> None:
    assert site.api.post("/v1/inbound/email", json={}).status_code == 415


# An agent


def test_what_was_told_to_an_agent_counts_from_when_it_was_written(site: Website) -> None:
    """Notice l.39: "contact our customer support"."""
    who = site.person()
    written = datetime.now(UTC) - timedelta(hours=5)
    site.choose(
        who,
        {"scope": "all_marketing", "choice": "object"},
        method="email",
        actor={"kind": "agent", "reference": "ticket 4711"},
        occurred_at=written.isoformat(),
        notice=None,
    )
    last = site.events(who)[-1]
    assert datetime.fromisoformat(last["occurred_at"]) == written
    assert (last["details"]["actor"], last["details"]["actor_reference"]) == ("agent", "ticket 4711")
    assert site.ask(who, "catalogue_by_post", "post") == (False, "objected_to_marketing")
    assert site.ask(who) == (True, "consent_given"), "the consent came after the mail to support"
