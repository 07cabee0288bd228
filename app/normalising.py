"""The one form of an identifier, whichever way it is written: what is hashed and sealed."""

import re
import unicodedata
from functools import lru_cache
from typing import Literal

import idna

_LONGEST = 512  # characters of an identifier
# The Unicode property White_Space. str.strip() would also take the separators U+001C to U+001F, which are controls.
_WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
    "\u205f\u3000"
)
_REFUSED = {"Cc", "Cs"}  # controls and lone surrogates
_REFUSED_IN_LOCAL_PART = _REFUSED | {"Cf", "Zl", "Zp", "Zs"}  # what nobody sees would hide a no from its next look-up
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


class IdentifierError(ValueError):
    """An identifier that does not normalise. The message never contains it."""


def normalise(kind: Literal["exact", "email", "phone"], text: str) -> str:
    """The one form of an identifier that is hashed and sealed.

    exact: NFC, trimmed. email: lower case too, the domain in ASCII (UTS #46, non-transitional); dots and plus tags
    stay. phone: E.164, and nothing else. Normalising twice changes nothing. Raises IdentifierError.
    """
    if len(text) > _LONGEST:
        raise IdentifierError("An identifier has 512 characters at most.")
    trimmed = unicodedata.normalize("NFC", text).strip(_WHITE_SPACE)
    if not 1 <= len(trimmed) <= _LONGEST:
        raise IdentifierError("An identifier has 1 to 512 characters, not counting white space around it.")
    if _has(trimmed, _REFUSED):
        raise IdentifierError("An identifier has no control characters and no lone surrogates.")
    if kind == "email":
        return _email(trimmed)
    if kind == "phone" and not _PHONE.fullmatch(trimmed):
        raise IdentifierError("A phone number is in E.164 form: +, the country code and the number, 7 to 15 digits.")
    return trimmed


def _has(text: str, categories: set[str]) -> bool:
    if text.isascii() and text.isprintable() and " " not in text:
        return False
    return any(unicodedata.category(character) in categories for character in text)


def _email(text: str) -> str:
    local, _, domain = text.rpartition("@")
    if not local or not domain or "@" in local:
        raise IdentifierError("An e-mail address has one @, with something before and after it.")
    if _has(local, _REFUSED_IN_LOCAL_PART):
        raise IdentifierError("An e-mail address has no spaces and no invisible characters before its @.")
    host = _host(domain)
    if host is None:
        raise IdentifierError("The part of an e-mail address after its @ is a host name.")
    lowered = unicodedata.normalize("NFC", local.lower())  # lower case can compose where upper case could not
    if len(lowered) + 1 + len(host) > _LONGEST:
        raise IdentifierError("An identifier has 512 characters at most.")
    return f"{lowered}@{host}"


@lru_cache(maxsize=4096)
def _host(domain: str) -> str | None:
    """A domain in ASCII (RFC 5891, UTS #46); None if it is no host name."""
    try:
        host = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:  # of which IDNAError is one
        return None
    return host if _HOST.fullmatch(host) else None
