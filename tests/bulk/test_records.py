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
