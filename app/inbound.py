"""What people write back: a text message to the number, a mail to the mailbox. Which no it is, and what is recorded."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import parseaddr
from typing import Literal, NamedTuple

from app.addressing import Subject, address_of
from app.crypto import Secrets
from app.decision.catalogue import Catalogue
from app.decision.fold import standings
from app.decision.history import History
from app.decision.model import ALL_MARKETING, State
from app.decision.refusal import Fault, Invalid
from app.documents import read_message
from app.judging import Choice
from app.links import Token, read_token, resolve
from app.preferring import needs_explicit
from app.recording import Circumstances, Recorded, record_choices
from app.storage import subjects
from app.unsubscribing import choice_of, stop
from app.writing import Unit

Word = Literal["stop", "possible_stop", "start", "help"]

# Whole messages, as carriers list them, with those of Quebec, Germany, Sweden and Spain; without spaces and accents.
_STOP = frozenset(
    "stop stopall unsubscribe cancel end quit revoke optout remove arret td "
    "stopp alto baja abmelden abbestellen".split()
)
_START = frozenset(("start", "unstop"))
_HELP = frozenset(("help", "info", "hilfe"))
# What a reasonable person reads as a stop within a sentence (47 CFR 64.1200(a)(10)). End, quit and cancel are not here:
# within a sentence they are about something else.
_POSSIBLE_STOP = re.compile(
    r"\b(stopp?|unsubscribe|cancel (my |the )?subscription|opt ?(me )?out|"
    r"remove me|take me off|leave me alone|no more|(do not|don ?t) (text|send|contact|"
    r"message)|abmelden|abbestellen|austragen|keine? (sms|nachrichten|werbung)|nie wieder|nicht mehr|aufhoren|"
    r"arret|arretez|alto|baja)\b"
)
_ON_SMS = Choice("object", scope=ALL_MARKETING, channel="sms")

_TOKEN = re.compile(r"[A-Za-z0-9_-]{80,120}")
_LOOKED_AT = 200  # what looks like a token in one mail
_ADDRESSED = ("To", "Cc", "Delivered-To", "X-Original-To", "Envelope-To")
_AUTOMATIC = ("X-Autoreply", "X-Autorespond")
_PRECEDENCE = ("bulk", "junk", "list", "auto_reply", "auto-reply")


# Text messages


class Received(NamedTuple):
    """What a message was taken for, and what became of it."""

    word: Word | None
    events: list[Recorded]


def read_word(body: str, more: Sequence[str] = ()) -> Word | None:
    """What a text message says. `more` are stop words beside the known ones."""
    plain = _plain(body)
    whole = plain.replace(" ", "")
    if whole in _STOP or whole in {_plain(word).replace(" ", "") for word in more}:
        return "stop"
    if whole in _START:
        return "start"
    if whole in _HELP:
        return "help"
    return "possible_stop" if _POSSIBLE_STOP.search(plain) else None


def _plain(text: str) -> str:
    """Letters and digits in lower case, without accents; anything else parts words."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join(re.sub(r"[\W_]+", " ", letters).split())


def sender_of(number: str, catalogue: Catalogue) -> Subject:
    """The subject a phone number names. Raises Invalid if the catalogue knows no identifier for text messages."""
    types = catalogue.identifier_types.items()
    type = next((name for name, declared in types if declared.channel == "sms"), None)
    if type is None:
        detail = "The catalogue declares no identifier type with the channel sms."
        raise Invalid(Fault("/from", "unknown-identifier-type", detail))
    return Subject(type, number, pointer="/from", alone=True)


async def receive_text(unit: Unit, sender: Subject, word: Word | None, how: Circumstances) -> Received:
    """Record what a text message says. What may be a stop pauses marketing by text message like a stop: a start by the
    person, or an agent with a new consent, ends it. A start gives back only consents that a stop had ended."""
    if word in ("stop", "possible_stop"):
        return Received(word, (await record_choices(unit, sender, [_ON_SMS], how)).events)
    address = address_of(sender, unit.catalogue, unit.store.secrets)
    if word != "start" or await subjects.holder_of(unit.connection, address.digests) is None:
        return Received(word, [])
    choices = _ended_by_stop(await unit.hold(sender), unit)
    if not choices:
        return Received(word, [])
    given = how._replace(notice=unit.catalogue.version)
    return Received(word, (await record_choices(unit, sender, choices, given)).events)


def _ended_by_stop(state: State, unit: Unit) -> list[Choice]:
    """The consents to text messages that a start gives again: given before, not said no to one by one or by an
    objection to all marketing, and not in force now."""
    history = History(state, unit.timeline, None)
    now = standings(state, list(state.by_purpose), unit.timeline, unit.now)
    return [
        Choice("give", key, channel="sms")
        for key, purpose in unit.catalogue.purposes.items()
        if purpose.enabled and "sms" in (purpose.channels or ()) and purpose.rests_on("consent")
        if not needs_explicit(purpose)
        and history.latest_give(key, "sms") is not None
        and not history.noes_in_force(key, "sms")
        and all(objection.channel == "sms" for objection in history.marketing_objections_in_force(key, "sms"))
        and now[key, "sms"].status != "given"
    ]


# Mails


class Mail(NamedTuple):
    """What matters of a mail to the unsubscribe mailbox. `sender` is what it claims, and proves nothing."""

    is_automatic: bool
    token: Token | None
    found_in: Literal["subject", "address", "body"] | None
    sender: str


def read_mail(raw: bytes, secrets: Secrets) -> Mail:
    """Read a mail as it came in. The token is looked for in the subject, the address it was sent to, and the body."""
    return read_message(raw, lambda message: _read(message, secrets))


def _read(message: Message, secrets: Secrets) -> Mail:
    sender = _claimed_sender(message)
    looked_at = 0
    for place, text in _places(message):
        for found in _TOKEN.findall(text):
            token = read_token(secrets, found)
            looked_at += 1
            if token is not None:
                return Mail(_is_automatic(message), token, place, sender)
            if looked_at >= _LOOKED_AT:
                break
    return Mail(_is_automatic(message), None, None, sender)


def _claimed_sender(message: Message) -> str:
    try:
        return parseaddr(_header(message, "From"))[1]
    except RecursionError:  # comments within comments without end
        return ""


def _places(message: Message) -> Iterator[tuple[Literal["subject", "address", "body"], str]]:
    yield "subject", _header(message, "Subject")
    for name in _ADDRESSED:
        yield "address", _header(message, name)
    for part in message.walk():
        content = part.get_payload(decode=True) if part.get_content_maintype() == "text" else None
        if isinstance(content, bytes):
            yield "body", content.decode("latin-1")


def _header(message: Message, name: str) -> str:
    """A header, all of its lines together, decoded if that can be done."""
    lines = []
    for value in message.get_all(name, []):
        unfolded = re.sub(r"\r?\n[ \t]", " ", str(value))
        try:
            lines.append(str(make_header(decode_header(unfolded))))
        except (HeaderParseError, LookupError, ValueError):
            lines.append(unfolded)
    return " ".join(lines)


def _is_automatic(message: Message) -> bool:
    """Whether no person sent it: an answer of a machine, a bounce (RFC 3834)."""
    submitted = _header(message, "Auto-Submitted").partition(";")[0].strip().lower()
    return (
        submitted not in ("", "no")
        or _header(message, "Precedence").strip().lower() in _PRECEDENCE
        or any(name in message for name in _AUTOMATIC)
        or _header(message, "Return-Path").strip() == "<>"
        or message.get_content_type() == "multipart/report"
    )


async def receive_mail(unit: Unit, token: Token, how: Circumstances) -> list[Recorded]:
    """Stop what the token of a mail stands for."""
    link = resolve(token, unit.timeline)
    if link is None:
        return []
    told = {**(how.evidence or {}), **({"campaign": link.campaign} if link.campaign else {})}
    return (await stop(unit, link.subject, [choice_of(link)], how._replace(evidence=told))).events
