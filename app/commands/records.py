"""The records of a file, each of one line or, in CSV, of as many as a quoted cell in it has. Memory is bounded."""

import os
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

LIMIT = 1024 * 1024  # octets of one record
_BOM = b"\xef\xbb\xbf"


class Record(NamedTuple):
    """The numbers of its first and last line, the octets of the file up to its end, and its own without the end of the
    line; None in the place of one that is too long. `within`: the line of a quote in whose cell it may stand."""

    first: int
    last: int
    reached: int
    octets: bytes | None
    within: int | None


class _Line(NamedTuple):
    """A line with its end, None if it is too long, and whether a cell's quote is open after it: if none was before, and
    if one was."""

    length: int
    octets: bytes | None
    alone: bool | None
    inside: bool | None


def read_records(opened: BinaryIO, *, is_csv: bool) -> Iterator[Record]:
    """Every record of a file that is read from its beginning."""
    reached = last = doubted = 0
    within = None
    lines = _lines(opened, is_csv=is_csv)
    for line in lines:
        first = last = last + 1
        reached += line.length
        octets = _longer(bytearray(), line.octets)
        doubt = within if first <= doubted else None
        if is_csv and line.alone is not False:
            rest, doubtful = _look_ahead(opened, is_open=line.alone is True)
            for more in islice(lines, rest):
                last, reached = last + 1, reached + more.length
                octets = _longer(octets, more.octets)
            doubt = None if rest else first
            within, doubted = first, last + doubtful
        yield Record(first, last, reached, None if octets is None else _stripped(bytes(octets), first), doubt)


def _longer(octets: bytearray | None, more: bytes | None) -> bytearray | None:
    if octets is None or more is None or len(octets) + len(more) > LIMIT:
        return None
    octets += more
    return octets


def _stripped(octets: bytes, first: int) -> bytes:
    return (octets.removeprefix(_BOM) if first == 1 else octets).rstrip(b"\r\n")


def _look_ahead(opened: BinaryIO, *, is_open: bool) -> tuple[int, int]:
    """After a line whose quotes are not in order: how many lines more its open cell has; else how many may stand within
    a cell, since a line comes after them whose quotes are not in order either, as in one that ends a cell they are not.
    If none comes, a quote was left open by mistake, and spoils only its own line."""
    here = opened.tell()
    rest, doubtful = 0, None
    for n, line in enumerate(_lines(opened), start=1):
        if is_open and line.inside is False:
            rest, doubtful = n, 0
            break
        is_open = is_open and line.inside is True
        if doubtful is None and line.alone is not False:
            doubtful = n - 1
        if doubtful is not None and not is_open:
            break
    opened.seek(here)
    return rest, doubtful or 0


def _lines(opened: BinaryIO, *, is_csv: bool = True) -> Iterator[_Line]:
    while piece := _piece(opened):
        line = _continued(_Line(0, b"", alone=False, inside=True), piece, is_csv=is_csv)
        while not piece.endswith(b"\n") and (piece := _piece(opened)):
            line = _continued(line, piece, is_csv=is_csv)._replace(octets=None)
        yield line


def _continued(line: _Line, piece: bytes, *, is_csv: bool) -> _Line:
    length = line.length + len(piece)
    if not is_csv or b'"' not in piece:
        return line._replace(length=length, octets=piece)
    return _Line(length, piece, _is_open_after(piece, line.alone), _is_open_after(piece, line.inside))


def _piece(opened: BinaryIO) -> bytes:
    """A line, or a part of one that is too long; no pair of quotes is torn apart."""
    piece = opened.readline(LIMIT)
    quotes = len(piece) - len(piece.rstrip(b'"'))
    if len(piece) == LIMIT and quotes % 2:
        opened.seek(-1, os.SEEK_CUR)
        return piece[:-1]
    return piece


def _is_open_after(octets: bytes, is_open: bool | None) -> bool | None:
    """Whether a cell's quote is open after more of a line; None once a quote stands where RFC 4180 has none: within a
    cell without quotes, or before anything else than a comma or the end of the line in one with quotes."""
    if is_open is None:
        return None
    before, *parts = octets.replace(b'""', b"").split(b'"')  # of two quotes in a row, none opens or closes a cell
    for part in parts:
        in_order = not part or part.startswith((b",", b"\r", b"\n")) if is_open else not before or before.endswith(b",")
        if not in_order:
            return None
        is_open = not is_open
        before = part
    return is_open
