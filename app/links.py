"""Links to unsubscribe: what a token says, how one is made, what it stands for. Making one needs the secret key and the
catalogue, and no call.

    minter = Minter(catalogue, secrets, public_url="https://consent.example.com", mailbox="unsubscribe@example.com")
    made = minter.mint(Wanted(Subject("email", "ada@example.com"), purpose="offers", channel="email"))
    made.url, made.headers
"""

import hashlib
import struct
from functools import cache
from typing import NamedTuple

from app.addressing import Subject, address_hash
from app.crypto import Secrets
from app.decision.catalogue import CHANNELS, MARKETING, OBJECTABLE, Catalogue, Purpose, Timeline
from app.decision.refusal import Fault, Invalid

KIND = "link"
# version, identifier_hash, type, purpose, channel, language; then the campaign
_TOKEN = struct.Struct(">B32s3s5sB2s")
_VERSION = 1
CAMPAIGN_LENGTH = 30  # octets in UTF-8: what a token of 120 characters has left
_ALL_MARKETING = bytes(5)


class Token(NamedTuple):
    """What a token says: about whom, what to stop, and for the record how it came. No identifier and no name in it."""

    hashed: bytes
    type_reference: bytes
    purpose_reference: bytes
    channel: str | None
    language: str | None
    campaign: str | None


class Link(NamedTuple):
    """What a token stands for: the identifier, and what to stop. Without a purpose: all marketing on the channel."""

    subject: Subject
    purpose: str | None
    channel: str | None
    language: str | None
    campaign: str | None


class Wanted(NamedTuple):
    """A link to make. `pointer` is where the request asks for it."""

    subject: Subject
    purpose: str | None = None
    channel: str | None = None
    campaign: str | None = None
    language: str | None = None  # ISO 639-1, of the pages
    pointer: str = ""


class Made(NamedTuple):
    """A link, the link to the preference page, and both headers for the mail (RFC 2369, RFC 8058)."""

    url: str
    preferences_url: str
    headers: dict[str, str]


class Minter:
    """Makes links under one catalogue and the current secret key. The same link is always the same token."""

    def __init__(self, catalogue: Catalogue, secrets: Secrets, *, public_url: str, mailbox: str | None) -> None:
        self.catalogue = catalogue
        self._secrets = secrets
        self._public_url = public_url
        self._mailbox = mailbox

    def mint(self, wanted: Wanted) -> Made:
        """Make a link. Raises Invalid for one that could not say whom it is about, or would stop nothing."""
        fault = _fault_of(wanted.purpose, wanted.channel, self.catalogue) or _fault_of_words(wanted)
        if fault is not None:
            raise Invalid(fault._replace(pointer=wanted.pointer + fault.pointer))
        token = write_token(self._secrets, wanted, address_hash(wanted.subject, self.catalogue))
        url = f"{self._public_url}/u/{token}"
        mailto = f", <mailto:{self._mailbox}?subject={token}>" if self._mailbox else ""
        headers = {"List-Unsubscribe": f"<{url}>{mailto}", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
        return Made(url, f"{self._public_url}/preferences/{token}", headers)


def write_token(secrets: Secrets, wanted: Wanted, hashed: bytes) -> str:
    """The token that says so about the identifier of that hash."""
    content = _TOKEN.pack(
        _VERSION,
        hashed,
        _reference(wanted.subject.type or "", 3),
        _reference(wanted.purpose, 5) if wanted.purpose is not None else _ALL_MARKETING,
        CHANNELS.index(wanted.channel) + 1 if wanted.channel is not None else 0,
        (wanted.language or "").encode(),
    )
    return secrets.write_token(KIND, content + (wanted.campaign or "").encode())


def read_token(secrets: Secrets, text: str) -> Token | None:
    """What a token says; None unless it was made here, as a link. Asks nothing of a database."""
    content = secrets.read_token(KIND, text)
    if content is None or content[0] != _VERSION:
        return None
    _, hashed, type_reference, purpose_reference, channel, language = _TOKEN.unpack_from(content)
    return Token(
        hashed,
        type_reference,
        purpose_reference,
        CHANNELS[channel - 1] if channel else None,
        language.rstrip(b"\0").decode() or None,
        content[_TOKEN.size :].decode() or None,
    )


def resolve(token: Token, timeline: Timeline) -> Link | None:
    """What a token stands for under the catalogues published by now. None if none ever declared its identifier type. A
    purpose that none has stands for all marketing on the channel: to stop too much is better than to stop nothing."""
    types = {name for catalogue in timeline.versions for name in catalogue.identifier_types}
    purposes = {name for catalogue in timeline.versions for name in catalogue.purposes}
    type = next((name for name in sorted(types) if _reference(name, 3) == token.type_reference), None)
    if type is None:
        return None
    purpose = next((name for name in sorted(purposes) if _reference(name, 5) == token.purpose_reference), None)
    return Link(Subject(type, hashed=token.hashed), purpose, token.channel, token.language, token.campaign)


@cache
def _reference(name: str, octets: int) -> bytes:
    """What stands in a token for a name of the catalogue, which may be long."""
    return hashlib.sha256(name.encode()).digest()[:octets]


# What may be stopped


def can_be_stopped(purpose: Purpose) -> bool:
    """Whether a no of the person stops anything of a purpose: it rests on consent, or can be objected to, and is not
    of the kind that goes on because of legal claims."""
    objectable = purpose.rests_on(*OBJECTABLE) and purpose.kind != "legal"
    return purpose.enabled and purpose.personal and (purpose.rests_on("consent") or objectable)


def _fault_of(key: str | None, channel: str | None, catalogue: Catalogue) -> Fault | None:
    if key is None:
        return _fault_of_all_marketing(channel, catalogue)
    purpose = catalogue.purposes.get(key)
    if purpose is None:
        return Fault("/purpose", "unknown-purpose", "The catalogue in force does not declare this purpose.")
    if not purpose.enabled:
        return Fault("/purpose", "purpose-disabled", "The purpose is disabled, so nothing is sent for it.")
    if not can_be_stopped(purpose):
        detail = "The purpose rests neither on consent nor on a ground that can be objected to: nothing would stop."
        return Fault("/purpose", "nothing-to-stop", detail)
    if channel is not None and channel not in (purpose.channels or ()):
        return Fault("/channel", "channel-not-declared", "The purpose does not declare this channel.")
    return None


def _fault_of_all_marketing(channel: str | None, catalogue: Catalogue) -> Fault | None:
    if channel is None:
        return Fault("/channel", "channel-required", "Without a purpose, name the channel on which marketing ends.")
    on_channel = [p for p in catalogue.purposes.values() if p.kind in MARKETING and channel in (p.channels or ())]
    if not any(purpose.enabled for purpose in on_channel):
        return Fault("/channel", "nothing-to-stop", "The catalogue has no marketing on this channel.")
    return None


def _fault_of_words(wanted: Wanted) -> Fault | None:
    if wanted.campaign is not None and len(wanted.campaign.encode()) > CAMPAIGN_LENGTH:
        detail = f"A campaign has at most {CAMPAIGN_LENGTH} octets in UTF-8, so that the token stays short."
        return Fault("/campaign", "campaign-too-long", detail)
    if wanted.language is not None and not is_language(wanted.language):
        return Fault("/language", "invalid-language", "A language of the pages is two letters, such as de.")
    return None


def is_language(text: str) -> bool:
    """Whether a text has the form of a language of the pages (ISO 639-1)."""
    return len(text) == 2 and text.isascii() and text.isalpha() and text.islower()
