"""export: everybody's choices in force, and the facts beside them, into a file."""

import csv
import io
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from app.commands.rows import COLUMNS
from app.commands.working import with_store
from app.exporting import page_after
from app.placing import place
from app.storage import people
from app.storage.store import Store

_PAGE = 500  # identifiers
_EXPORTED = tuple(column for column in COLUMNS if column != "source")


class _Place(msgspec.Struct):
    """How far an export got: after which identifier, with how much of the file written."""

    after: str = ""
    octets: int = 0
    rows: int = 0
    identifiers: int = 0


class _Draft:
    """The file while it is written, and beside it the place from which an interrupted export goes on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._path = file.with_name(f".{file.name}.part")
        self._beside = file.with_name(f".{file.name}.place")
        self._encode = _as_lines if file.suffix in (".ndjson", ".jsonl") else _as_csv
        self.place = self._read()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)  # it will be full of identifiers
        self._out = os.fdopen(descriptor, "r+b")
        self._out.truncate(self.place.octets)
        self._out.seek(self.place.octets)
        if self.place.octets == 0 and self._encode is _as_csv:
            self._out.write(f"{','.join(_EXPORTED)}\r\n".encode())

    def _read(self) -> _Place:
        try:
            return msgspec.json.decode(self._beside.read_bytes(), type=_Place)
        except (OSError, msgspec.DecodeError):
            return _Place()

    def add(self, rows: list[dict[str, Any]], *, after: str, identifiers: int) -> None:
        """Write some rows; they and the place are on disk when this returns."""
        self._out.write(self._encode(rows))
        self._out.flush()
        os.fsync(self._out.fileno())
        now = self.place
        self.place = _Place(
            after,
            self._out.tell(),
            now.rows + len(rows),
            now.identifiers + identifiers,
        )
        draft = self._beside.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(self.place))
        draft.replace(self._beside)

    def finish(self) -> bool:
        """Give the file its name. False if there is one by now."""
        self._out.close()
        if not place(self._path, self._file):
            return False
        self._path.unlink()
        self._beside.unlink(missing_ok=True)
        return True


def _as_lines(rows: list[dict[str, Any]]) -> bytes:
    told = ({name: value for name, value in row.items() if value is not None} for row in rows)
    return b"".join(msgspec.json.encode(row) + b"\n" for row in told)


def _as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(row.get(name)) for name in _EXPORTED] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(value) if isinstance(value, tuple) else str(value or "")


@click.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_file(file: Path) -> None:
    """Write everybody's choices in force, and the facts that answers depend on, into FILE (.csv, or .ndjson), in the
    form that import takes.

    Each person as of the moment they are read. Interrupted, and started again with the same file, it goes on where it
    was."""
    if file.exists():
        raise click.ClickException(f"{file} is there already; move it away, or name another")
    draft = _Draft(file)

    async def work(store: Store) -> people.Counts:
        async with store.database.view() as connection:
            counts = await people.count(connection)
        with click.progressbar(length=counts.known, label="exporting", file=sys.stderr) as bar:
            bar.update(draft.place.identifiers)
            await _export(store, draft, bar.update)
        return counts

    counts = with_store(work)
    if not draft.finish():
        raise click.ClickException(f"{file} is there by now; move it away, and start again")
    told = draft.place
    click.echo(f"{told.rows} rows under {told.identifiers} identifiers in {file}")
    left_out = {"that only a link named": counts.unknown, "that were erased or unlinked": counts.erased}
    for what, number in left_out.items():
        if number:
            click.echo(f"left out, their values not being known: {number} identifiers {what}", err=True)


async def _export(store: Store, draft: _Draft, advance: Callable[[int], None]) -> None:
    after: str | None = draft.place.after
    while after is not None:
        async with store.database.view() as connection:
            page = await page_after(connection, store, after, limit=_PAGE, now=datetime.now(UTC))
        draft.add(page.rows, after=page.last, identifiers=page.identifiers)
        advance(page.identifiers)
        after = page.last if page.has_more else None
