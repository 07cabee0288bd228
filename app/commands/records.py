"""The records of a file, each of one line or, in CSV, of as many as a quoted cell in it has. Memory is bounded."""

import os
import sys
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

LIMIT = 1024 * 1024  # octets of one record
_PASSES = 20  # as often a file may be read ahead of itself
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
    """A line with its end, None if it is too long, and for each way to begin it, whether a cell's quote is open after
    it; None where quotes on it are not in order."""

    length: int
    octets: bytes | None
    ends: tuple[bool | None, ...]


_BOTH: tuple[bool | None, bool | None] = False, True  # within no cell, or within one


def read_records(opened: BinaryIO, *, is_csv: bool) -> Iterator[Record]:
    """Every record of a file that is read from its beginning."""
    size = opened.seek(0, os.SEEK_END)
    opened.seek(0)
    reached = len(_BOM) if opened.read(len(_BOM)) == _BOM else 0
    opened.seek(reached)
    ahead = _Ahead(opened, _PASSES * size)
    last = doubted = 0
    within = None
    lines = _lines(opened, (False,) if is_csv else ())
    for line in lines:
        first = last = last + 1
        reached += line.length
        octets = _longer(bytearray(), line.octets)
        doubt = within if first <= doubted else None
        ahead.passes(line)
        if doubt is None and line.ends not in ((), (False,)):
            rest, doubtful = ahead.look(is_open=line.ends == (True,))
            for more in islice(lines, rest):
                last, reached = last + 1, reached + more.length
                octets = _longer(octets, more.octets)
                ahead.passes(more)
            doubt = None if rest else first
            within, doubted = first, last + doubtful
        yield Record(first, last, reached, None if octets is None else bytes(octets).rstrip(b"\r\n"), doubt)


def _longer(octets: bytearray | None, more: bytes | None) -> bytearray | None:
    if octets is None or more is None or len(octets) + len(more) > LIMIT:
        return None
    octets += more
    return octets


class _Ahead:
    """What comes after a line whose quotes are not in order. It is read so often at most that a file of many such lines
    takes no longer than its length lets one expect; after that nobody knows anything of the rest."""

    def __init__(self, opened: BinaryIO, allowed: int) -> None:
        self._opened = opened
        self._allowed = allowed  # octets
        self._as_row: bool | None = None  # once all is in order to the end, read as rows: whether a cell is open here

    def passes(self, line: _Line) -> None:
        """The next line is read for good."""
        if self._as_row is not None:
            self._as_row = None if line.octets is None else _is_open_after(line.octets, self._as_row, is_loose=True)

    def look(self, *, is_open: bool) -> tuple[int, int]:
        """How many lines more the open cell of a line has; else how many may stand within a cell."""
        if self._as_row is False:
            return 0, 0  # the same was found before
        here = self._opened.tell()
        rest = _rest(self._opened) if is_open else 0
        self._allowed -= self._opened.tell() - here
        self._opened.seek(here)
        if rest:
            return rest, 0
        doubtful, is_row_throughout = _doubtful(self._opened)
        self._allowed -= self._opened.tell() - here
        self._opened.seek(here)
        if is_row_throughout:
            self._as_row = False
        return 0, doubtful if self._allowed > 0 else sys.maxsize


def _rest(opened: BinaryIO) -> int:
    """How many lines an open cell has more; 0 if it does not end."""
    for n, line in enumerate(_lines(opened, (True,)), start=1):
        if line.ends != (True,):
            return n if line.ends == (False,) else 0
    return 0


def _doubtful(opened: BinaryIO) -> tuple[int, bool]:
    """How many lines may stand within a cell, where nobody knows whether the first does. It is read both ways, until in
    one of them a quote is not in order, or the file ends within a cell: then the other is right. Where neither is in
    order, nobody knows again. And whether to the end of the file all is in order that is read as rows."""
    n = doubtful = 0
    as_row, as_cell = _BOTH
    for n, line in enumerate(_lines(opened, _BOTH, is_loose=True), start=1):
        as_row = None if as_row is None else line.ends[as_row]
        as_cell = None if as_cell is None else line.ends[as_cell]
        if as_cell is None and as_row is not None:
            return doubtful, False
        if as_cell is None:
            doubtful = n
            as_row, as_cell = _BOTH
        elif as_row is None and not as_cell:
            return n, False
    return (doubtful, doubtful == 0) if as_row is False else (n, False)


def _lines(opened: BinaryIO, begins: tuple[bool | None, ...], *, is_loose: bool = False) -> Iterator[_Line]:
    """The lines, each begun within a cell or within none; `is_loose` allows spaces around the quotes of one."""
    begun = _Line(0, b"", begins)
    while piece := _piece(opened):
        line = _continued(begun, piece, is_loose=is_loose)
        while not piece.endswith(b"\n") and (piece := _piece(opened)):
            line = _continued(line, piece, is_loose=is_loose)._replace(octets=None)
        yield line


def _continued(line: _Line, piece: bytes, *, is_loose: bool) -> _Line:
    ends = line.ends
    if b'"' in piece:
        ends = tuple(_is_open_after(piece, end, is_loose=is_loose) for end in ends)
    return _Line(line.length + len(piece), piece, ends)


def _piece(opened: BinaryIO) -> bytes:
    """A line, or a part of one that is too long; no pair of quotes is torn apart, nor a quote from a backslash."""
    piece = opened.readline(LIMIT)
    if len(piece) < LIMIT:
        return piece
    before = piece.rstrip(b'"')
    quotes = len(piece) - len(before)
    torn = quotes % 2 + (quotes < 2 and before.endswith(b"\\"))
    opened.seek(-torn, os.SEEK_CUR)
    return piece[: len(piece) - torn]


def _is_open_after(octets: bytes, is_open: bool | None, *, is_loose: bool) -> bool | None:
    """Whether a cell's quote is open after more of a line; None once a quote stands where RFC 4180 has none: within a
    cell without quotes, or before anything else than a comma or the end of the line in one with quotes. Nor is one
    after a backslash in order: some writers escape it so."""
    if is_open is None or b'\\"' in octets:
        return None
    before, *parts = octets.replace(b'""', b"").split(b'"')  # of two quotes in a row, none opens or closes a cell
    for part in parts:
        if is_loose:
            before, part = before.rstrip(b" \t"), part.lstrip(b" \t")
        in_order = not part or part.startswith((b",", b"\r", b"\n")) if is_open else not before or before.endswith(b",")
        if not in_order:
            return None
        is_open = not is_open
        before = part
    return is_open
