"""Which lines of a file belong to one record, compared with what the standard library's writer wrote."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.commands import records
from app.commands.records import read_records

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


class Counted(io.BytesIO):
    """Knows how many lines were read of it."""

    count = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        self.count += 1
        return super().readline(size)


@pytest.mark.parametrize("line", ['a","c', 'a,"b', 'a"', '","', '",","', ',"', '"', '""', 'a""b', '"a",b'])
@pytest.mark.parametrize("first", ["", 'x,"\n', 'x"\n'])
def test_each_line_is_read_some_times_however_many_there_are(first: str, line: str) -> None:
    opened = Counted((first + f"{line}\n" * 500).encode())
    assert sum(record.last - record.first + 1 for record in read_records(opened, is_csv=True)) >= 500
    assert opened.count < 5 * 500
