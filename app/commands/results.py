"""What became of each row of an import, in a file beside it: written once a row is committed, and so the place from
which an interrupted import goes on."""

import fcntl
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from app.storage.ledger import Link

_HEADER = "line,result"
_FIRST = re.compile(rb"# ([0-9a-f]{64}) (-?[0-9]{19,20}) ([0-9a-f]{64})\n")
_FIRST_LIMIT = 256  # octets of the first line
_LAST = 2**63 - 1  # position of a ledger


class OtherImport(Exception):
    """The results are not of this import: they tell of another file or another version of it, of what this database
    does not hold, or of a dry run; or they are no results."""

    def __init__(self, path: Path) -> None:
        what = "another file, an import into another database, rows that this one lost, or a dry run"
        super().__init__(f"{path} tells of {what}: move it away, or name another with --results")


class Changed(Exception):
    """The file of rows is not what it was when the import began."""

    def __init__(self, path: Path) -> None:
        what = "changed while it was imported; what was recorded until then is on file"
        super().__init__(f"{path} {what}: import it again, with other --results")


class InUse(Exception):
    """Another process is writing a file."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"another import or export is writing {path}: wait for it, or name another file")


def lock(opened: BinaryIO, path: Path) -> None:
    """Keep other processes from writing a file until it is closed. Raises InUse, and closes it."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        opened.close()
        raise InUse(path) from None


class Results:
    """The results of one file. Each line is `number,result`; the first two name the file with the link of the chain at
    which the last of them were on file, and the columns."""

    def __init__(self, path: Path, source: Path) -> None:
        """Open, without regard to a line that was written half. Raises OtherImport, InUse, or OSError."""
        self.counts: Counter[str] = Counter()
        self.done = 0
        self.link: Link | None = None
        self.path = path
        self._rows, self._rows_were = source, _state(source)
        self._source = _fingerprint(source)
        self._file = path.open("r+b" if path.exists() else "x+b")
        lock(self._file, path)
        try:
            self._end = self._read()
        except ValueError:
            self._file.close()
            raise OtherImport(path) from None

    def _read(self) -> int:
        first = self._file.readline(_FIRST_LIMIT)
        if not first:
            return 0
        self.link = self._link_of(first)
        whole = len(first)
        for n, line in enumerate(self._file):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            if n > 0:
                number, _, result = line.decode().partition(",")
                self.done = int(number)
                self.counts[kind_of(result)] += 1
        return whole

    def _link_of(self, first: bytes) -> Link:
        found = _FIRST.fullmatch(first)
        if found is None or found[1].decode() != self._source or int(found[2]) > _LAST:
            raise ValueError("of another file")
        return Link(int(found[2]), bytes.fromhex(found[3].decode()))

    def add(self, results: Iterable[tuple[int, str]], link: Link) -> None:
        """Keep the results of rows that are committed, on disk; the link is the last of the chain then."""
        # As long whenever it is written, so that it is replaced in place.
        first = f"# {self._source} {link.position:020d} {link.digest.hex()}\n".encode()
        lines = [_HEADER] if self._end <= len(first) else []
        for number, result in results:
            self.done = number
            self.counts[kind_of(result)] += 1
            lines.append(f"{number},{result if result.isalpha() else _quoted(result)}")
        self._file.truncate(self._end)
        self._file.seek(0)
        self._file.write(first)
        self._file.seek(self._end or len(first))
        self._file.write("".join(f"{line}\n" for line in lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._end = self._file.tell()

    def require_unchanged(self) -> None:
        """Raises Changed where another file of rows is read by now than these are the results of."""
        if _state(self._rows) != self._rows_were:
            raise Changed(self._rows)

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


def are_results(path: Path) -> bool:
    """Whether a file looks like results, of whatever import."""
    if not path.is_file():
        return False
    with path.open("rb") as opened:
        return _FIRST.fullmatch(opened.readline(_FIRST_LIMIT)) is not None


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def kind_of(result: str) -> str:
    """created, unchanged or refused."""
    return result.strip().strip('"').partition(":")[0]


def _state(source: Path) -> tuple[int, int, int]:
    found = source.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _fingerprint(source: Path) -> str:
    with source.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
