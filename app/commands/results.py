"""What became of each row of an import, in a file beside it: written once a row is committed, and so the place from
which an interrupted import goes on."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from app.storage.ledger import Link

_HEADER = "line,result"


class OtherFile(Exception):
    """The results belong to another file, or to another version of it; or they are no results."""


class Results:
    """The results of one file. Each line is `number,result`; the first two name the file with the link of the chain at
    which the last of them were on file, and the columns."""

    def __init__(self, path: Path, source: Path) -> None:
        """Open, and forget a line that was written half. Raises OtherFile."""
        self.counts: Counter[str] = Counter()
        self.done = 0
        self.link: Link | None = None
        self._source = _fingerprint(source)
        self._file = path.open("r+b" if path.exists() else "x+b")
        try:
            self._end = self._read()
        except ValueError:
            self._file.close()
            raise OtherFile from None
        self._file.truncate(self._end)

    def _read(self) -> int:
        whole = 0
        for n, line in enumerate(self._file):
            if n == 0:
                self.link = self._link_of(line.decode())
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            if n > 1:
                number, _, result = line.decode().partition(",")
                self.done = int(number)
                self.counts[kind_of(result)] += 1
        return whole

    def _link_of(self, first: str) -> Link:
        _, source, position, digest = first.split()
        if source != self._source:
            raise ValueError("of another file")
        return Link(int(position), bytes.fromhex(digest))

    def add(self, results: Iterable[tuple[int, str]], link: Link) -> None:
        """Keep the results of rows that are committed, on disk; the link is the last of the chain then."""
        first = (
            f"# {self._source} {link.position:020d} {link.digest.hex()}\n".encode()
        )  # as long whenever it is written
        lines = [_HEADER] if self._end <= len(first) else []
        for number, result in results:
            self.done = number
            self.counts[kind_of(result)] += 1
            lines.append(f"{number},{result if result.isalpha() else _quoted(result)}")
        first = (
            f"# {self._source} {link.position:020d} {link.digest.hex()}\n".encode()
        )  # as long whenever it is written
        self._file.seek(0)
        self._file.write(first)
        self._file.seek(self._end or len(first))
        self._file.write("".join(f"{line}\n" for line in lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._end = self._file.tell()

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
