"""export: everybody's choices in force, and the facts beside them, into a file."""

import csv
import errno
import io
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import click
import msgspec

from app.commands.results import InUse, lock
from app.commands.rows import COLUMNS, is_csv, is_taken
from app.commands.working import said_plainly, with_store
from app.exporting import page_after, page_since
from app.placing import place
from app.storage import ledger, people
from app.storage.ledger import Link
from app.storage.store import Store
from app.writing import no_catalogue

_PAGE = 500  # identifiers
_LEFT_OUT = {"wording": None, "grounds": None, "decided_by": None, "reason": "left out"}  # free text; a reason must be
_EXPORTED = tuple(column for column in COLUMNS if column != "source")


class _Place(msgspec.Struct):
    """How far an export got: after which identifier, or through all of them and now with those to whom something
    happened meanwhile, `since` a position of the ledger; with how much of the file written; and the last link of the
    chain of the database that it was read from."""

    after: str = ""
    is_through: bool = False
    since: int = 0
    octets: Annotated[int, msgspec.Meta(ge=0)] = 0
    rows: int = 0
    identifiers: int = 0
    again: int = 0
    gone: int = 0
    without_text: int = 0
    not_taken: int = 0
    position: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    digest: bytes = b""


class _Draft:
    """The file while it is written, and beside it the place from which an interrupted export goes on."""

    def __init__(self, file: Path) -> None:
        """Open. Raises InUse, or OSError, also for a file that is in the way and no draft."""
        self._file = file
        self._path = file.with_name(f".{file.name}.part")
        self._beside = file.with_name(f".{file.name}.place")
        self._columns = list(_EXPORTED) if is_csv(file) else None
        self._out = self._opened()
        self._keep(self._read())

    def _opened(self) -> BinaryIO:
        """The file, which nobody else is writing now."""
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)  # it will be full of identifiers
            out = os.fdopen(descriptor, "r+b")
            lock(out, self._file)
            here = os.fstat(descriptor)
            is_there = self._path.exists() and os.path.samestat(self._path.stat(), here)
            if is_there and here.st_nlink == 1:
                if here.st_size and not self._beside.exists():
                    out.close()
                    raise FileExistsError(errno.EEXIST, "is there, and no draft of an export", str(self._path))
                os.fchmod(descriptor, 0o600)
                return out
            if is_there:  # who wrote it was killed once it had its name: it is an export of then
                self._remove()
            out.close()

    @property
    def is_csv(self) -> bool:
        """Whether it has columns."""
        return self._columns is not None

    def _read(self) -> _Place:
        try:
            return msgspec.json.decode(self._beside.read_bytes(), type=_Place)
        except (FileNotFoundError, msgspec.DecodeError):
            return _Place()

    def _remove(self) -> None:
        """Place first: of a draft without one, nothing is gone on with."""
        self._beside.unlink(missing_ok=True)
        self._path.unlink()

    def _keep(self, place: _Place) -> None:
        self.place = place
        draft = self._beside.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(place))
        draft.replace(self._beside)

    def begin(self, since: int, *, goes_on: bool) -> None:
        """Go on from the place, if its database is this one; if not, or if it tells of more than the file has, begin
        anew, at a position of the ledger."""
        if not goes_on or self._out.seek(0, os.SEEK_END) < self.place.octets:
            self.place = _Place(since=since)
        self._out.truncate(self.place.octets)
        self._out.seek(self.place.octets)
        if self.place.octets == 0 and self._columns is not None:
            self._out.write(_as_csv(dict(zip(_EXPORTED, _EXPORTED, strict=True))))

    def add(self, rows: Iterable[dict[str, Any]], link: Link, **progress: Any) -> None:
        """Write some rows; they and the place are on disk when this returns."""
        now = msgspec.structs.replace(self.place, position=link.position, digest=link.digest, **progress)
        for row in rows:
            octets = self._encoded(row)
            is_fit = is_taken(octets, self._columns)
            if not is_fit and (texts := {name: _LEFT_OUT[name] for name in _LEFT_OUT if row.get(name)}):
                octets = self._encoded(row | texts)  # nothing is lost over what was said beside it
                is_fit = is_taken(octets, self._columns)
                now.without_text += is_fit
            if is_fit:
                self._out.write(octets)
            now.rows += is_fit
            now.not_taken += not is_fit  # and would spoil others
        self._out.flush()
        os.fsync(self._out.fileno())
        now.octets = self._out.tell()
        self._keep(now)

    def _encoded(self, row: dict[str, Any]) -> bytes:
        return _as_line(row) if self._columns is None else _as_csv(row)

    def finish(self) -> bool:
        """Give the file its name. False if there is one by now."""
        with self._out:
            if not place(self._path, self._file):
                return False
            self._remove()
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

    As of its end: what happens while it is written is in it. Interrupted, and started again with the same file, it goes
    on where it was."""
    with said_plainly():
        _export_file(file)


def _export_file(file: Path) -> None:
    if file.exists():
        raise click.ClickException(f"{file} is there already; move it away, or name another")

    async def work(store: Store) -> tuple[_Draft, people.Counts]:
        async with store.database.view() as connection:
            known, head = (await people.count(connection)).known, await ledger.head(connection)
            if not await store.timeline(connection, head):
                raise no_catalogue()
        draft = _Draft(file)
        async with store.database.view() as connection:
            passed = await ledger.digest_at(connection, draft.place.position)
        draft.begin(head.position, goes_on=passed == draft.place.digest)
        with click.progressbar(length=known, label="exporting", file=sys.stderr) as bar:
            bar.update(draft.place.identifiers)
            await _read_through(store, draft, bar.update)
        await _catch_up(store, draft)
        async with store.database.view() as connection:
            return draft, await people.count(connection)

    try:
        draft, counts = with_store(work)
    except InUse as error:
        raise click.ClickException(str(error)) from None
    if not draft.finish():
        raise click.ClickException(f"{file} is there by now; move it away, and start again")
    told = draft.place
    meanwhile = f", {told.again} of them of people to whom something happened meanwhile" if told.again else ""
    click.echo(f"{told.rows} rows under {told.identifiers} identifiers in {file}{meanwhile}")
    hint = " (.ndjson takes more than .csv)" if draft.is_csv else ""
    missing = (
        (counts.unknown, "left out, their values not being known: {} identifiers that only a link named"),
        (counts.erased, "left out, their values not being known: {} identifiers that were erased or unlinked"),
        (counts.linked, "taken apart, as a row has one identifier: {} people known under several; link them again"),
        (
            told.gone,
            "perhaps in it all the same: {} people or identifiers erased or unlinked meanwhile; export again",
        ),
        (told.without_text, "left out, as import takes no such text: that of {} rows"),
        (told.not_taken, f"left out, as import takes no such rows{hint}: {{}} rows"),
    )
    for number, what in missing:
        if number:
            click.echo(what.format(number), err=True)


async def _read_through(store: Store, draft: _Draft, advance: Callable[[int], None]) -> None:
    """Everybody once, in the order of their identifiers."""
    while not draft.place.is_through:
        async with store.database.view() as connection:
            page = await page_after(connection, store, draft.place.after, limit=_PAGE, now=datetime.now(UTC))
            _, link = await ledger.chain_head(connection)
        found = len(page.identifier_ids)
        last = page.identifier_ids[-1] if found else draft.place.after
        draft.add(page.rows, link, after=last, is_through=found < _PAGE, identifiers=draft.place.identifiers + found)
        advance(found)


async def _catch_up(store: Store, draft: _Draft) -> None:
    """Whoever came since the export began, or something happened to, once more: a no said meanwhile is in it."""
    while True:
        async with store.database.view() as connection:
            since, now = draft.place.since, datetime.now(UTC)
            found = await page_since(connection, store, since, limit=_PAGE, now=now)
            _, link = await ledger.chain_head(connection)
        if found.reached == since:
            return
        again, gone = draft.place.again + len(found.rows), draft.place.gone + found.gone
        draft.add(found.rows, link, since=found.reached, again=again, gone=gone)
