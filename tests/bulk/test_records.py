"""Which lines of a file belong to one record, compared with what the standard library's writer wrote."""

import csv
import io
from collections.abc import Callable
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.commands import records
from app.commands.records import read_records
from tests.harness.effort import effort

CELLS = st.text(alphabet='",\n\rxé ', max_size=12)
TABLES = st.lists(st.lists(CELLS, min_size=2, max_size=3), max_size=6)


def written(table: list[list[str]]) -> list[bytes]:
    """Each row as CSV."""
    rows = []
    for row in table:
        text = io.StringIO()
        csv.writer(text).writerow(row)
        rows.append(text.getvalue().encode())
    return rows


@pytest.mark.parametrize("limit", [4, 7, 1024])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=TABLES)
def test_what_was_written_as_one_row_is_read_as_one(
    monkeypatch: pytest.MonkeyPatch, limit: int, table: list[list[str]]
) -> None:
    """However long its lines are: of one that is too long nothing is read but where it ends."""
    monkeypatch.setattr(records, "LIMIT", limit)
    rows = written(table)
    read = list(read_records(io.BytesIO(b"".join(rows)), is_csv=True))
    lines = [row.count(b"\n") for row in rows]
    assert [record.last - record.first + 1 for record in read] == lines
    assert [record.reached for record in read] == [sum(map(len, rows[: n + 1])) for n in range(len(rows))]
    for record, row in zip(read, rows, strict=True):
        assert record.octets == row.rstrip(b"\r\n") or (record.octets is None and len(row) > limit)
        assert record.within is None


def _spaced(comma: str) -> Callable[[list[str]], str]:
    """Writes quotes doubled, around what needs them."""

    def write(row: list[str]) -> str:
        doubled = [cell.replace('"', '""') for cell in row]
        return comma.join(f'"{cell}"' if set(cell) & set('",\n') else cell for cell in doubled) + "\n"

    return write


def _escaped(quoting: Literal[0, 1]) -> Callable[[list[str]], str]:
    """Writes a backslash before quotes."""

    def write(row: list[str]) -> str:
        text = io.StringIO()
        csv.writer(text, doublequote=False, escapechar="\\", lineterminator="\n", quoting=quoting).writerow(row)
        return text.getvalue()

    return write


WRITERS = (_spaced(","), _spaced(", "), _spaced(" ,"), _escaped(csv.QUOTE_MINIMAL), _escaped(csv.QUOTE_ALL))


@pytest.mark.parametrize("limit", [4, 1024])
@settings(max_examples=effort(200, 20_000), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    write=st.sampled_from(WRITERS),
    table=st.lists(st.lists(st.text(alphabet='"\\,\n x', max_size=12), min_size=2, max_size=3), max_size=5),
)
def test_no_line_of_a_cell_is_a_row(
    monkeypatch: pytest.MonkeyPatch, limit: int, write: Callable[[list[str]], str], table: list[list[str]]
) -> None:
    """Whichever of these writers wrote it, whose quotes are not all clear: what is not clear is in doubt."""
    monkeypatch.setattr(records, "LIMIT", limit)
    rows = [write(row) for row in table]
    firsts = {1 + "".join(rows[:n]).count("\n") for n in range(len(rows))}
    for record in read_records(io.BytesIO("".join(rows).encode()), is_csv=True):
        assert record.first in firsts or record.within is not None or record.octets is None


class Counted(io.BytesIO):
    """Knows how many lines were read of it."""

    count = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        self.count += 1
        return super().readline(size)


@pytest.mark.parametrize(
    "line", ['a","c', 'a,"b', 'a"', '","', '",","', ',"', '"', '""', 'a""b', '"a",b', 'a, " "', '"a" ,b', ' ","']
)
@pytest.mark.parametrize("first", ["", 'x,"\n', 'x"\n'])
def test_each_line_is_read_some_times_however_many_there_are(first: str, line: str) -> None:
    opened = Counted((first + f"{line}\n" * 500).encode())
    assert sum(record.last - record.first + 1 for record in read_records(opened, is_csv=True)) >= 500
    assert opened.count < 5 * 500


def test_what_cannot_be_told_in_some_readings_stands_within_a_cell() -> None:
    """Whether a line is one of a cell is told far behind it, for each of many."""
    opened = Counted((b'a, " "\n' * 400 + b'"b"\n') * 3)
    records = list(read_records(opened, is_csv=True))
    assert opened.count < 25 * 1203
    assert records[-1].within is not None
