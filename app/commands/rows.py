"""Rows of a file to import, read one by one: whatever is wrong with one spoils no other."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, StrictStr, TypeAdapter, ValidationError

from app.addressing import Subject
from app.administering import OPERATOR
from app.commands.records import LIMIT, Record, read_records
from app.decision.refusal import Fault, Invalid, Unreadable
from app.documents import read_json
from app.doors.facts import AnyFact
from app.doors.problems import faults_of
from app.doors.words import Flag, Identifier, Instant, Key, Language, Method, Text
from app.importing import Row, faults_of_import, faults_told
from app.judging import Choice, ChoiceWord
from app.recording import Circumstances


class ImportRow(Identifier):
    """One choice of one person, under an identifier. `occurred_at`, when the person acted, makes it the same choice
    however often it is imported."""

    choice: ChoiceWord
    purpose: Key | None = None
    scope: Literal["all_marketing", "automation"] | None = None
    channel: Key | None = None
    explicit: Flag = False
    notice: Key | None = None
    method: Method = "import"
    language: Language | None = None
    occurred_at: Instant
    wording: StrictStr | None = Field(default=None, max_length=100_000)
    source: Text | None = None


_FACT: TypeAdapter[AnyFact] = TypeAdapter(AnyFact)
_OF_FACTS = (
    *("fact", "reference", "opt_out_offered", "own_similar_products", "data_categories", "until"),
    *("guardian_authorised", "grounds", "decided_by", "reason"),
)
_INSTANT = re.compile(r"(?<![^,])[ \t]*\d{4}-\d\d-\d\d[Tt]")
_FLAGS = ("explicit", "opt_out_offered", "own_similar_products", "guardian_authorised")
COLUMNS = (*ImportRow.model_fields, *_OF_FACTS)


class FactRow(Identifier):
    """One fact about one person, under an identifier; what else it says depends on the fact."""

    model_config = ConfigDict(extra="allow")
    fact: Key
    occurred_at: Instant
    source: Text | None = None


class Line(NamedTuple):
    """Where a row stands in the file: the number of its first line, the octets read up to its end, and the row, or what
    is wrong with it."""

    number: int
    octets: int
    row: Row | str


class WrongHeader(Exception):
    """The columns are not clear, so no row is; the message says why."""


def read_rows(file: Path) -> Iterator[Line]:
    """Every row of a CSV file with a header, or of newline-delimited JSON. Blank lines are no rows. Raises
    WrongHeader."""
    with file.open("rb") as opened:
        records = read_records(opened, is_csv=is_csv(file))
        columns = _header(next(records, None)) if is_csv(file) else None
        for record in records:
            if record.octets is None or record.octets.strip():
                yield Line(record.first, record.reached, _row(record, columns))


def is_taken(octets: bytes, columns: list[str] | None) -> bool:
    """Whether what was written as one row, in CSV of some columns or as JSON, is one that an import may bring."""
    records = list(read_records(io.BytesIO(octets), is_csv=columns is not None))
    row = _row(records[0], columns) if len(records) == 1 else ""
    return isinstance(row, Row) and not faults_of_import(row.said, row.how)


def is_csv(file: Path) -> bool:
    """Whether a file is read and written as CSV, by its name; else as newline-delimited JSON."""
    return file.suffix.lower() not in (".ndjson", ".jsonl")


def _header(first: Record | None) -> list[str]:
    try:
        columns = _columns(first.octets if first is not None else b"")
    except ValueError as error:
        raise WrongHeader(f"line 1 names the columns, and cannot be read: {error}") from None
    doubled = sorted({column for column in columns if columns.count(column) > 1 and column in COLUMNS})
    unknown = [f"column {n}" for n, column in enumerate(columns, start=1) if column not in COLUMNS]  # may be a person's
    missing = sorted({"type", "id", "occurred_at", *(() if "fact" in columns else ("choice",))} - set(columns))
    found = {"doubled": doubled, "unknown": unknown, "missing": missing}
    faults = [f"{what}: {', '.join(names)}" for what, names in found.items() if names]
    if faults:
        raise WrongHeader(f"line 1 names the columns; {'; '.join(faults)}. There are: {', '.join(COLUMNS)}")
    return columns


def _columns(line: bytes | None) -> list[str]:
    if line is None:
        raise ValueError(f"longer than {LIMIT} octets")
    return [column.strip() for column in _cells(_decoded(line))]


def _row(record: Record, columns: list[str] | None) -> Row | str:
    if record.octets is None:
        return _refused(record, f"longer than {LIMIT} octets")
    row = _parsed(record.octets, columns)
    if isinstance(row, str):
        return _refused(record, row)
    if record.within is not None:
        return _refused(record, f"a quote on line {record.within} is not in order, and this may stand within its cell")
    if columns is not None and _holds_another(record.octets):
        return _refused(record, "they hold another row: is a quote left open?")
    return row


def _refused(record: Record, why: str) -> str:
    where = f"lines {record.first} to {record.last}: " if record.last > record.first else ""
    return f"refused: {where}{why}"


def _holds_another(octets: bytes) -> bool:
    """Whether a cell of several lines holds what each row has: an instant that fills a cell, were there no quotes."""
    cells = (re.split(r"[\r\n]+", cell.replace('"', "")) for cell in _cells(_decoded(octets)))
    return any(len(lines) > 1 and any(map(_INSTANT.search, lines)) for lines in cells)


def _parsed(octets: bytes, columns: list[str] | None) -> Row | str:
    """The row, or what is wrong with it."""
    try:
        text = _decoded(octets)
        fields = _object(text) if columns is None else _named(_cells(text), columns)
    except ValueError as error:
        return str(error)
    try:
        return _fact_row(fields) if "fact" in fields else _as_row(ImportRow.model_validate(fields))
    except ValidationError as error:
        found = [{**e, "loc": ("body", *e["loc"])} for e in error.errors(include_input=False, include_url=False)]
        return faults_told(Invalid(*faults_of(found, fields)))
    except Invalid as invalid:
        return faults_told(invalid)


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None


def _object(text: str) -> dict[str, Any]:
    try:
        content = read_json(text.encode())
    except Unreadable:
        content = None
    if isinstance(content, dict):
        return content
    raise ValueError("not a JSON object")


def _cells(text: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        raise ValueError(
            "not CSV: a quote left open, or ended before the end of its cell, a line that ends with CR alone, or a cell"
            " too long"
        ) from None


def _named(cells: list[str], columns: list[str]) -> dict[str, Any]:
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells where there are {len(columns)} columns")
    named: dict[str, Any] = {column: cell for column, cell in zip(columns, cells, strict=True) if cell != ""}
    words = {"true": True, "false": False}
    for flag in _FLAGS:
        if flag in named:
            named[flag] = words.get(named[flag].lower(), named[flag])
    if "data_categories" in named:
        named["data_categories"] = named["data_categories"].split()
    return named


def _fact_row(fields: dict[str, Any]) -> Row:
    row = FactRow.model_validate(fields)
    fact = _FACT.validate_python(
        {name: value for name, value in fields.items() if name not in ("type", "id", "source")}
    )
    evidence = {"source": row.source} if row.source is not None else None
    how = Circumstances(key_id=OPERATOR, evidence=evidence, occurred_at=row.occurred_at)
    return Row(Subject(row.type, row.id, pointer=""), fact.as_fact(), how)


def _as_row(row: ImportRow) -> Row:
    if (row.purpose is None) == (row.scope is None):
        raise Invalid(Fault("/purpose", "purpose-or-scope", "A choice is about a purpose, or about a scope."))
    evidence = {name: value for name in ("wording", "source") if (value := getattr(row, name)) is not None}
    how = Circumstances(
        key_id=OPERATOR,
        method=row.method,
        notice=row.notice,
        language=row.language,
        evidence=evidence or None,
        occurred_at=row.occurred_at,
    )
    choice = Choice(row.choice, row.purpose, row.scope, row.channel, row.explicit)
    return Row(Subject(row.type, row.id, pointer=""), choice, how)
