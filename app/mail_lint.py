"""Whether a rendered mail can be unsubscribed from with one click (RFC 2369, RFC 8058), as mailbox providers ask."""

import re
from email.message import Message
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from app.crypto import Secrets
from app.decision.catalogue import Timeline
from app.documents import read_message
from app.links import read_token, resolve

_URIS = re.compile(r"<([^>]*)>")
_MERGE_TAG = re.compile(r"\{\{|\}\}|%%|\*\||\|\*|\$\{|<%|\[\[")
_BOTH = {"list-unsubscribe", "list-unsubscribe-post"}
_ONE_CLICK = "List-Unsubscribe=One-Click"


class Remark(NamedTuple):
    """One thing that was looked at."""

    level: Literal["ok", "warning", "error"]
    code: str
    text: str


def lint(raw: bytes, secrets: Secrets, timeline: Timeline, public_url: str) -> list[Remark]:
    """Everything that was looked at in a mail, in order."""
    return read_message(raw, lambda message: _lint(message, secrets, timeline, public_url))


def _lint(message: Message, secrets: Secrets, timeline: Timeline, public_url: str) -> list[Remark]:
    uris = _uris(message)
    remarks = [*_of_headers(message), *_of_uris(uris), *_of_signature(message)]
    https = next((uri for uri in uris if uri.lower().startswith(("https://", public_url))), None)
    if https is not None:
        remarks += [_of_token(https, secrets, timeline, public_url), _of_body(message, https)]
    return remarks


def _remark(holds: bool, code: str, good: str, bad: str, level: Literal["warning", "error"] = "error") -> Remark:
    return Remark("ok", code, good) if holds else Remark(level, code, bad)


def _uris(message: Message) -> list[str]:
    return [uri.strip() for value in message.get_all("List-Unsubscribe", []) for uri in _URIS.findall(_unfolded(value))]


def _unfolded(value: object) -> str:
    return re.sub(r"\r?\n[ \t]+", "", str(value))


def _of_headers(message: Message) -> list[Remark]:
    links, posts = message.get_all("List-Unsubscribe", []), message.get_all("List-Unsubscribe-Post", [])
    is_pair = [_unfolded(value).strip() for value in posts] == [_ONE_CLICK]
    folded = any("\n" in str(value) for value in [*links, *posts])
    return [
        _remark(
            len(links) == 1, "list-unsubscribe", "List-Unsubscribe is there, once", "there must be one List-Unsubscribe"
        ),
        _remark(
            is_pair,
            "list-unsubscribe-post",
            "List-Unsubscribe-Post is the one-click pair",
            f"there must be one List-Unsubscribe-Post, and it must say {_ONE_CLICK}",
        ),
        _remark(not folded, "one-line", "no header is folded", "folded headers break some mail clients", "warning"),
    ]


def _of_uris(uris: list[str]) -> list[Remark]:
    https = [uri for uri in uris if uri.lower().startswith("https://")]
    tag = any(_MERGE_TAG.search(uri) for uri in uris)
    return [
        _remark(len(https) == 1, "one-https", "there is one HTTPS address", "there must be exactly one HTTPS address"),
        _remark(bool(uris) and uris[0] in https, "https-first", "HTTPS comes first", "put the HTTPS address first"),
        _remark(
            not tag, "merge-tag", "nothing was left to fill in", "an address has a merge tag that was not filled in"
        ),
    ]


def _of_signature(message: Message) -> list[Remark]:
    signed = [_signed_headers(_unfolded(value)) for value in message.get_all("DKIM-Signature", [])]
    return [
        _remark(bool(signed), "dkim", "there is a DKIM signature", "there is no DKIM signature"),
        _remark(
            any(names >= _BOTH for names in signed),
            "dkim-covers",
            "a DKIM signature covers both headers",
            "no DKIM signature names both headers in h=, so one-click is not offered (RFC 8058, 4)",
        ),
    ]


def _signed_headers(signature: str) -> set[str]:
    tags = dict(part.strip().partition("=")[::2] for part in signature.split(";"))
    return {name.strip().lower() for name in tags.get("h", "").split(":")}


def _of_token(url: str, secrets: Secrets, timeline: Timeline, public_url: str) -> Remark:
    text = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    token = read_token(secrets, text)
    link = resolve(token, timeline) if token is not None else None
    if link is None:
        return Remark("error", "resolves", "the link was not made under this secret key and catalogue")
    if not url.startswith(f"{public_url}/u/"):
        return Remark("error", "resolves", "the link does not lead to MAYWE_PUBLIC_URL/u/")
    what = link.purpose or "all marketing"
    return Remark("ok", "resolves", f"the link stops {what}" + (f" by {link.channel}" if link.channel else ""))


def _of_body(message: Message, url: str) -> Remark:
    texts = [
        content.decode("latin-1")
        for part in message.walk()
        if part.get_content_maintype() == "text" and isinstance(content := part.get_payload(decode=True), bytes)
    ]
    preferences = url.replace("/u/", "/preferences/")
    seen = any(url in text or preferences in text for text in texts)
    return _remark(
        seen, "visible", "the body has the link too", "the body has no link to unsubscribe to see", "warning"
    )
