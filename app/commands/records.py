"""The records of a file, each of one line or, in CSV, of as many as a quoted cell in it has. Memory is bounded."""

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

LIMIT = 1024 * 1024  # octets of one record
_BOM = b"\xef\xbb\xbf"


class Record(NamedTuple):
    """The numbers of its first and last line, the octets of the file up to its end, and its own without the end of the
    line; None in the place of one that is too long."""

    first: int
    last: int
    reached: int
    octets: bytes | None


class _Line(NamedTuple):
    """A line with its end, None if it is too long, and whether a cell's quote is open after it."""

    length: int
    octets: bytes | None
    is_open: bool | None


def read_records(opened: BinaryIO, *, is_csv: bool) -> Iterator[Record]:
    """Every record of a file that is read from its beginning. A quote left open spoils only its own line."""
    reached = last = 0
    lines = _lines(opened)
    for line in lines:
        first = last = last + 1
        octets = line.octets.removeprefix(_BOM) if first == 1 and line.octets is not None else line.octets
        reached += line.length
        for _ in range(_rest_of_cell(opened) if is_csv and line.is_open else 0):
            more = next(lines)
            last, reached = last + 1, reached + more.length
            octets = None if octets is None or more.octets is None else octets + more.octets
            octets = None if octets is None or len(octets) > LIMIT else octets
        yield Record(first, last, reached, None if octets is None else octets.rstrip(b"\r\n"))


def _rest_of_cell(opened: BinaryIO) -> int:
    """How many lines more there are of a cell whose quote is open here. None, if it was left open by mistake: then what
    follows either never closes it, or has quotes that stand in no cell."""
    here = opened.tell()
    count: int = 0
    is_open: bool | None = True
    for line in _lines(opened, is_open=True):
        count, is_open = count + 1, line.is_open
        if not is_open:
            break
    opened.seek(here)
    return count if is_open is False else 0


def _lines(opened: BinaryIO, *, is_open: bool = False) -> Iterator[_Line]:
    """The lines from here on, each looked at as if a cell's quote were open before it, or none."""
    while piece := _piece(opened):
        line = _Line(len(piece), piece, _is_open_after(piece, is_open))
        while not piece.endswith(b"\n") and (piece := _piece(opened)):
            line = _Line(line.length + len(piece), None, _is_open_after(piece, line.is_open))
        yield line


def _piece(opened: BinaryIO) -> bytes:
    """A line, or a part of one that is too long; no pair of quotes is torn apart."""
    piece = opened.readline(LIMIT)
    quotes = len(piece) - len(piece.rstrip(b'"'))
    if len(piece) == LIMIT and quotes % 2:
        opened.seek(-1, os.SEEK_CUR)
        return piece[:-1]
    return piece


def _is_open_after(octets: bytes, is_open: bool | None) -> bool | None:
    """Whether a cell's quote is open after more of a line; None once a quote ended a cell in its middle, which in CSV
    (RFC 4180) it never does."""
    if is_open is None or b'"' not in octets:
        return is_open
    before, *parts = octets.replace(b'""', b"").split(b'"')  # of two quotes in a row, none opens or closes a cell
    for part in parts:
        if is_open and part and not part.startswith((b",", b"\r", b"\n")):
            return None
        is_open = not is_open and (not before or before.endswith(b","))
        before = part
    return is_open
