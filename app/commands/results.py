"""What became of each row of an import, in a file beside it: written once a row is committed, and so the place from
which an interrupted import goes on."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

_HEADER = "line,result"


class OtherFile(Exception):
    """The results belong to another file, or to another version of it."""


class Results:
    """The results of one file. Each line is `number,result`, the first two name the file and the columns."""

    def __init__(self, path: Path, source: Path) -> None:
        """Open, and forget a line that was written half. Raises OtherFile."""
        first = f"# {_fingerprint(source)}"
        self.counts: Counter[str] = Counter()
        self.done = 0
        if path.exists():
            self._read(path, first)
        self._file = path.open("a", encoding="utf-8", newline="")
        if self._file.tell() == 0:
            self._write([first, _HEADER])

    def _read(self, path: Path, first: str) -> None:
        with path.open("r+b") as opened:
            whole = 0
            for n, line in enumerate(opened):
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                if n == 0 and line.decode().rstrip("\n") != first:
                    raise OtherFile
                if n > 1:
                    number, _, result = line.decode().partition(",")
                    self.done = int(number)
                    self.counts[kind_of(result)] += 1
            opened.truncate(whole)

    def add(self, results: Iterable[tuple[int, str]]) -> None:
        """Keep the results of rows that are committed, on disk."""
        lines = []
        for number, result in results:
            self.done = number
            self.counts[kind_of(result)] += 1
            lines.append(f"{number},{result if result.isalpha() else _quoted(result)}")
        self._write(lines)

    def _write(self, lines: list[str]) -> None:
        self._file.write("".join(f"{line}\n" for line in lines))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def kind_of(result: str) -> str:
    """created, unchanged or refused."""
    return result.strip().strip('"').partition(":")[0]


def _fingerprint(source: Path) -> str:
    with source.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
