"""Cursors: places in the change feed as opaque, authenticated text, tied to one history and one filter."""

import hashlib
import struct
from typing import NamedTuple

from app import crypto
from app.crypto import Secrets

EVERYTHING = b"\x00" * 4  # the fingerprint of no filter at all
ALL_ROWS = 0xFFFF  # an entry told in full, however many rows it has

_VERSION = 1
_PLACE = struct.Struct(">BQH4s4s")
_TAG = 12  # octets of the tag that are kept


class Cursor(NamedTuple):
    """A place in the feed: everything up to a row of the entry at a position was told. `digest` is the beginning of the
    chain's digest there, so that another history at the same position is noticed; `fingerprint` names the filter."""

    epoch: str
    position: int
    row: int
    digest: bytes
    fingerprint: bytes


def write_cursor(secrets: Secrets, cursor: Cursor) -> str:
    """A cursor as text, at most 90 characters, safe in URLs."""
    place = _PLACE.pack(_VERSION, cursor.position, cursor.row, cursor.digest[:4], cursor.fingerprint)
    message = place + cursor.epoch.encode()
    return crypto.to_base64url(secrets.cursor_tags(message)[0][:_TAG] + message)


def read_cursor(secrets: Secrets, text: str) -> Cursor:
    """The cursor a text stands for. Raises ValueError for any text not written here under a configured key."""
    octets = crypto.from_base64url(text)
    tag, message = octets[:_TAG], octets[_TAG:]
    if len(message) <= _PLACE.size or not any(
        crypto.same_digest(tag, known[:_TAG]) for known in secrets.cursor_tags(message)
    ):
        raise ValueError("not written here")
    version, position, row, digest, fingerprint = _PLACE.unpack_from(message)
    if version != _VERSION:
        raise ValueError("another version")
    return Cursor(message[_PLACE.size :].decode(), position, row, digest, fingerprint)


def fingerprint(*parts: tuple[str, ...]) -> bytes:
    """What names a filter in a cursor: four octets of a digest, or EVERYTHING for an empty one."""
    if not any(parts):
        return EVERYTHING
    written = crypto.canonical_json([sorted(set(part)) for part in parts])
    return hashlib.sha256(b"maywe filter v1\0" + written).digest()[:4]
