"""export: everybody's choices in force, and the facts beside them, into a file."""

import csv
import io
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.commands.rows import COLUMNS, is_taken
from app.commands.working import said_plainly, with_store
from app.exporting import Page, page_after
from app.placing import place
from app.storage import ledger, people
from app.storage.ledger import Link
from app.storage.store import Store

_PAGE = 500  # identifiers
_EXPORTED = tuple(column for column in COLUMNS if column != "source")


class _Place(msgspec.Struct):
    """How far an export got: after which identifier, with how much of the file written, and the last link of the chain
    of the database that it was read from."""

    after: str = ""
    octets: Annotated[int, msgspec.Meta(ge=0)] = 0
    rows: int = 0
    identifiers: int = 0
    without_wording: int = 0
    not_taken: int = 0
    position: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    digest: bytes = b""


class _Draft:
    """The file while it is written, and beside it the place from which an interrupted export goes on."""

    def __init__(self, file: Path) -> None:
        """Open. Raises OSError, also for a file that is in the way and no draft."""
        self._file = file
        self._path = file.with_name(f".{file.name}.part")
        self._beside = file.with_name(f".{file.name}.place")
        self._columns = None if file.suffix in (".ndjson", ".jsonl") else list(_EXPORTED)
        known = self._read()
        mine = 0 if known is not None else os.O_EXCL
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | mine, 0o600)  # it will be full of identifiers
        os.fchmod(descriptor, 0o600)
        self._out = os.fdopen(descriptor, "r+b")
        self._keep(known or _Place())

    @property
    def is_csv(self) -> bool:
        """Whether it has columns."""
        return self._columns is not None

    def _read(self) -> _Place | None:
        try:
            return msgspec.json.decode(self._beside.read_bytes(), type=_Place)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            return _Place()

    def _keep(self, place: _Place) -> None:
        self.place = place
        draft = self._beside.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(place))
        draft.replace(self._beside)

    async def begin(self, connection: AsyncConnection) -> None:
        """Go on from the place; anew if it tells of another database, or of more than the file has."""
        is_whole = self._out.seek(0, os.SEEK_END) >= self.place.octets
        if not is_whole or await ledger.digest_at(connection, self.place.position) != self.place.digest:
            self.place = _Place()
        self._out.truncate(self.place.octets)
        self._out.seek(self.place.octets)
        if self.place.octets == 0 and self._columns is not None:
            self._out.write(_as_csv(dict(zip(_EXPORTED, _EXPORTED, strict=True))))

    def add(self, page: Page, link: Link) -> None:
        """Write some rows; they and the place are on disk when this returns."""
        now = self.place
        for row in page.rows:
            octets = self._encoded(row)
            is_fit = is_taken(octets, self._columns)
            if not is_fit and row.get("wording"):  # no choice is lost over its wording
                octets = self._encoded({**row, "wording": None})
                is_fit = is_taken(octets, self._columns)
                now.without_wording += 1
            now.not_taken += not is_fit
            self._out.write(octets)
        self._out.flush()
        os.fsync(self._out.fileno())
        now.after, now.octets = page.last, self._out.tell()
        now.rows += len(page.rows)
        now.identifiers += page.identifiers
        now.position, now.digest = link
        self._keep(now)

    def _encoded(self, row: dict[str, Any]) -> bytes:
        return _as_line(row) if self._columns is None else _as_csv(row)

    def finish(self) -> bool:
        """Give the file its name. False if there is one by now."""
        self._out.close()
        if not place(self._path, self._file):
            return False
        self._path.unlink()
        self._beside.unlink(missing_ok=True)
        return True


def _as_line(row: dict[str, Any]) -> bytes:
    return msgspec.json.encode({name: value for name, value in row.items() if value is not None}) + b"\n"


def _as_csv(row: dict[str, Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([_cell(row.get(name)) for name in _EXPORTED])
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
    with said_plainly():
        _export_file(file)


def _export_file(file: Path) -> None:
    if file.exists():
        raise click.ClickException(f"{file} is there already; move it away, or name another")
    draft = _Draft(file)

    async def work(store: Store) -> people.Counts:
        async with store.database.view() as connection:
            counts = await people.count(connection)
            await draft.begin(connection)
        with click.progressbar(length=counts.known, label="exporting", file=sys.stderr) as bar:
            bar.update(draft.place.identifiers)
            await _export(store, draft, bar.update)
        return counts

    counts = with_store(work)
    if not draft.finish():
        raise click.ClickException(f"{file} is there by now; move it away, and start again")
    told = draft.place
    hint = " in this form (.ndjson says more than .csv)" if draft.is_csv else ""
    click.echo(f"{told.rows} rows under {told.identifiers} identifiers in {file}")
    missing = {
        "left out, their values not being known: {} identifiers that only a link named": counts.unknown,
        "left out, their values not being known: {} identifiers that were erased or unlinked": counts.erased,
        "left out, as import takes no such wording: that of {} rows": told.without_wording,
        f"written, though import refuses them{hint}: {{}} rows": told.not_taken,
    }
    for what, number in missing.items():
        if number:
            click.echo(what.format(number), err=True)


async def _export(store: Store, draft: _Draft, advance: Callable[[int], None]) -> None:
    after: str | None = draft.place.after
    while after is not None:
        async with store.database.view() as connection:
            page = await page_after(connection, store, after, limit=_PAGE, now=datetime.now(UTC))
            _, link = await ledger.chain_head(connection)
        draft.add(page, link)
        advance(page.identifiers)
        after = page.last if page.has_more else None
