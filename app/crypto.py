"""Identifiers, digests, seals, tokens, API keys, opaque ids. Pure: keys are arguments, randomness is from `secrets`."""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

GENESIS = b"\x00" * 32  # what the first entry of the chain follows
TOKEN_LENGTH = 120  # characters: a header with a longer one might be folded

_MIN_KEY = 32  # octets of a secret key
_API_KEY = re.compile(r"mw_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")

_FIVE_BITS = b"abcdefghijklmnopqrstuvwxyz234567" * 8  # of each octet, as a letter or digit (RFC 4648, 6)
_SEAL_VERSION = b"\x01"
_SEAL_HEADER = 1 + 8 + 12  # octets: version, fingerprint of the key, nonce
_REVISION = struct.Struct(">BQ")
_REVISION_VERSION = 1
_LAST_POSITION = 2**63 - 1  # as a database keeps it


class SealBroken(Exception):
    """Sealed under no configured key, for another context, or altered since."""


# Secret keys


@dataclass(frozen=True, slots=True, repr=False)
class _Keys:
    """What is derived from one secret key: a key for each use, and a name that gives nothing away."""

    identifier: bytes
    reference: bytes
    link: AESSIV
    cursor: bytes
    sealing: AESGCM
    signing: Ed25519PrivateKey
    fingerprint: bytes


def _derive(key: bytes) -> _Keys:
    """A key for each use (HKDF-SHA256, RFC 5869)."""

    def use(label: str, length: int = 32) -> bytes:
        return HKDF(SHA256(), length, salt=None, info=label.encode()).derive(key)

    return _Keys(
        identifier=use("maywe identifier v1"),
        reference=use("maywe reference v1"),
        link=AESSIV(use("maywe link v1", 64)),
        cursor=use("maywe cursor v1"),
        sealing=AESGCM(use("maywe sealing v1")),
        signing=Ed25519PrivateKey.from_private_bytes(use("maywe signing v1")),
        fingerprint=use("maywe fingerprint v1", 8),
    )


class Secrets:
    """The secret keys in use: new things are made under the current one, old things are known under every one."""

    __slots__ = ("_all",)

    def __init__(self, current: bytes, previous: Sequence[bytes] = ()) -> None:
        keys = dict.fromkeys([current, *previous])
        if any(len(key) < _MIN_KEY for key in keys):
            raise ValueError("a secret key has at least 32 octets")
        self._all = [_derive(key) for key in keys]

    def __repr__(self) -> str:
        return f"Secrets({len(self._all)} keys)"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("secret keys are not copied or pickled")

    @property
    def fingerprints(self) -> list[str]:
        """A public name for each key, the current one first: to notice that a database was written under another."""
        return [keys.fingerprint.hex() for keys in self._all]

    def identifier_digests(self, type: str, normalised: str) -> list[bytes]:
        """What an identifier is looked up by: HMAC-SHA-256 under the current key, then under each previous one."""
        return self.digests_of(identifier_hash(type, normalised))

    def digests_of(self, hashed: bytes) -> list[bytes]:
        """The same for an identifier of which only its `identifier_hash` is known."""
        return [_mac(keys.identifier, hashed) for keys in self._all]

    def reference_digests(self, text: str) -> list[str]:
        """What stands in the ledger for free text, in hex: under the current key, then under each previous one."""
        return [_mac(keys.reference, text.encode()).hex() for keys in self._all]

    def cursor_tags(self, message: bytes) -> list[bytes]:
        """What proves that a cursor was made here: 32 octets under the current key, then under each previous one."""
        return [_mac(keys.cursor, message) for keys in self._all]

    @property
    def signing_keys(self) -> list[Ed25519PrivateKey]:
        """What checkpoints are signed with: the current key, then each previous one."""
        return [keys.signing for keys in self._all]

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt (AES-256-GCM) under the current key so that only `unseal` with the same context opens it.

        Nonces are random: one key seals 2^32 times at most (NIST SP 800-38D, 8.3).
        """
        nonce = secrets.token_bytes(12)
        current = self._all[0]
        return _SEAL_VERSION + current.fingerprint + nonce + current.sealing.encrypt(nonce, plaintext, context)

    def write_token(self, kind: str, content: bytes, context: str = "") -> str:
        """What goes into a URL or a form: authentic and unreadable (AES-256-SIV, RFC 5297), the same for the same
        content. One made as another kind, or for another context, does not read. 1 to 74 octets give at most 120
        characters."""
        return to_base64url(self._all[0].link.encrypt(content, [kind.encode(), context.encode()]))

    def read_token(self, kind: str, text: str, context: str = "") -> bytes | None:
        """The content of a token made under any of the keys; None for every other text."""
        if len(text) > TOKEN_LENGTH:
            return None
        try:
            octets, about = from_base64url(text), [kind.encode(), context.encode()]
        except ValueError:
            return None
        return next((content for keys in self._all if (content := _opened(keys.link, octets, about))), None)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed for this context, under whichever key. Raises SealBroken."""
        fingerprint, nonce = sealed[1:9], sealed[9:_SEAL_HEADER]
        found = next((keys for keys in self._all if keys.fingerprint == fingerprint), None)
        if found is None or sealed[:1] != _SEAL_VERSION or len(nonce) != 12:
            raise SealBroken("sealed under no configured key, or no seal")
        try:
            return found.sealing.decrypt(nonce, sealed[_SEAL_HEADER:], context)
        except InvalidTag:
            raise SealBroken("sealed for another context, or altered since") from None


def identifier_hash(type: str, normalised: str) -> bytes:
    """SHA-256 of an identifier: all that its keyed digests are made of. Whoever sees it can guess at identifiers, so
    it is kept nowhere, and travels only within a token."""
    if "\0" in type:
        raise ValueError("an identifier type has no NUL")
    return hashlib.sha256(f"{type}\0{normalised}".encode()).digest()


def _opened(key: AESSIV, octets: bytes, about: list[bytes]) -> bytes | None:
    try:
        return key.decrypt(octets, about)
    except (InvalidTag, ValueError):  # the latter: too short to be one
        return None


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


# API keys


def new_api_key() -> tuple[str, str, bytes]:
    """A new API key: its public id, its full text `mw_<key id>_<secret>` (256 bits), and the digest that is stored."""
    key_id, secret = _base32(secrets.token_bytes(8))[:12], secrets.token_urlsafe(32)
    return key_id, f"mw_{key_id}_{secret}", api_key_digest(secret)


def read_api_key(text: str) -> tuple[str, str] | None:
    """The id and the secret of an API key; None if the text is none."""
    found = _API_KEY.fullmatch(text)
    return (found[1], found[2]) if found else None


def api_key_digest(secret: str) -> bytes:
    """SHA-256 of the secret of an API key; 256 random bits need no slower hash."""
    return hashlib.sha256(secret.encode()).digest()


def same_digest(one: bytes, other: bytes) -> bool:
    """Whether two digests are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)


# The chain


def chain_digest(previous: bytes, entry: bytes) -> bytes:
    """The digest of an entry of the ledger: SHA-256 over the digest before it (32 octets) and its own octets."""
    if len(previous) != len(GENESIS):
        raise ValueError("the previous digest has 32 octets")
    return hashlib.sha256(b"maywe chain v1\0" + previous + entry).digest()


def canonical_json(value: Any) -> bytes:
    """A JSON value as its one sequence of octets: keys sorted by code point, no spaces, UTF-8.

    Raises ValueError for NaN, infinities and lone surrogates, TypeError for what JSON has no form for.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


# Opaque ids


class _Letters:
    """Random letters and digits, 26 at a time, of which many are fetched from the system at once: one by one, that
    would be most of what an id costs. Of two threads none gets what the other gets, nor of two forks."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._drawn: Iterator[str] = iter(())

    def draw(self) -> str:
        """The next 26."""
        while (drawn := next(self._drawn, None)) is None:
            text = secrets.token_bytes(26 * 64).translate(_FIVE_BITS).decode()
            self._drawn = iter([text[n : n + 26] for n in range(0, len(text), 26)])
        return drawn


_letters = _Letters()


def new_id(prefix: str = "") -> str:
    """A new id: the prefix and 130 random bits as 26 lower-case letters and digits, safe in URLs."""
    return prefix + _letters.draw()


@lru_cache(maxsize=64)
def write_revision(epoch: str, position: int) -> str:
    """A position of the ledger of one epoch, as the opaque text callers get. Raises ValueError."""
    if not epoch or not 0 <= position <= _LAST_POSITION:
        raise ValueError("a revision has an epoch, and a position from 0")
    return to_base64url(_REVISION.pack(_REVISION_VERSION, position) + epoch.encode())


def read_revision(text: str) -> tuple[str, int]:
    """The epoch and position of a revision. Raises ValueError for any text that `write_revision` did not make."""
    octets = from_base64url(text)
    if len(octets) <= _REVISION.size:
        raise ValueError("too short for a revision")
    version, position = _REVISION.unpack_from(octets)
    if version != _REVISION_VERSION or position > _LAST_POSITION:
        raise ValueError("no revision")
    return octets[_REVISION.size :].decode(), position


def _base32(octets: bytes) -> str:
    return base64.b32encode(octets).decode().rstrip("=").lower()


def to_base64url(octets: bytes) -> str:
    """Octets as base64url without padding (RFC 4648, 5)."""
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """Base64url without padding, in its canonical form only (RFC 4648, 3.5). Raises ValueError."""
    octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64url(octets) != text:
        raise ValueError("not canonical base64url")
    return octets
