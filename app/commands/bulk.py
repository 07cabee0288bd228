"""import: choices of many people from a file."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from app.addressing import Subject
from app.commands.results import Changed, InUse, OtherImport, Results, are_results
from app.commands.rows import Line, WrongHeader, read_rows
from app.commands.working import said_plainly, with_store
from app.importing import Row, import_rows
from app.storage import ledger
from app.storage.ledger import Link
from app.storage.store import Store

_CHUNK, _CHUNK_OCTETS = 1000, 4 * 1024**2  # rows of one unit of work; fewer where they are long
_CHUNK_SAME = 20  # of one person: each is judged by all before it, and who is written about waits
_NOWHERE = Link(-1, bytes(32))  # in no chain


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to say what became of each row; FILE.results.csv by default.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would become of each row; keep nothing.")
def import_file(file: Path, results: Path | None, *, dry_run: bool) -> None:
    """Record choices and facts from FILE: a row per record of CSV (RFC 4180), or per line of JSON (.ndjson).

    Interrupted, and started again with the same file, it goes on where it was. Exit status 1 if any row was refused."""
    if not file.is_file():
        raise click.ClickException(f"{file} is no regular file: an import reads it more than once")
    suffix = ".dry-run.csv" if dry_run else ".results.csv"
    kept = results or file.with_name(file.name + suffix)
    if kept.exists() and not kept.is_file():
        raise click.ClickException(f"{kept} is no regular file: an import that goes on reads what it told")
    try:
        with said_plainly():
            if dry_run and results is None and are_results(kept):
                kept.unlink()
            with (
                closing(Results(kept, file)) as told,
                click.progressbar(length=file.stat().st_size, label="importing", file=sys.stderr) as bar,
            ):
                with_store(
                    lambda store: _import(
                        store, read_rows(file), told, lambda at: bar.update(at - bar.pos), dry_run=dry_run
                    )
                )
    except (OtherImport, InUse, Changed, WrongHeader) as error:
        raise click.ClickException(str(error)) from None
    counts = ", ".join(f"{told.counts[kind]} {kind}" for kind in ("created", "unchanged", "refused"))
    click.echo(f"{counts}; each row in {kept}")
    if told.counts["refused"]:
        sys.exit(1)


async def _import(
    store: Store, lines: Iterator[Line], told: Results, advance: Callable[[int], None], *, dry_run: bool
) -> None:
    async with store.database.read() as connection:
        if told.link and (dry_run or await ledger.digest_at(connection, told.link.position) != told.link.digest):
            raise OtherImport(told.path)
    for chunk in _chunks(lines):
        left = [line for line in chunk if line.number > told.done]
        told.require_unchanged()
        if left:
            results, link = await _record(store, left, dry_run=dry_run)
            told.add(zip([line.number for line in left], results, strict=True), link)
        advance(chunk[-1].octets)


def _chunks(lines: Iterator[Line]) -> Iterator[list[Line]]:
    chunk: list[Line] = []
    named = Counter[Subject | None]()
    begun = 0
    for line in lines:
        chunk.append(line)
        subject = line.row.subject if isinstance(line.row, Row) else None
        named[subject] += subject is not None
        if named[subject] == _CHUNK_SAME or len(chunk) == _CHUNK or line.octets - begun > _CHUNK_OCTETS:
            yield chunk
            chunk, begun = [], line.octets
            named.clear()
    if chunk:
        yield chunk


class _RolledBack(Exception):
    """What would have become of some rows; nothing is kept."""

    def __init__(self, results: list[str]) -> None:
        super().__init__()
        self.results = results


async def _record(store: Store, lines: list[Line], *, dry_run: bool) -> tuple[list[str], Link]:
    """What became of each line, once it is committed, and the link of the chain at which it is on file."""
    rows = [line.row for line in lines if isinstance(line.row, Row)]
    now = datetime.now(UTC)

    async def work(connection: AsyncConnection) -> tuple[list[str], Link]:
        recorded = await import_rows(connection, store, rows, now=now)
        if dry_run:
            raise _RolledBack(recorded)
        _, link = await ledger.chain_head(connection)
        return recorded, link

    try:
        recorded, link = await store.database.write(work)
    except _RolledBack as dry:
        recorded, link = dry.results, _NOWHERE
    told = iter(recorded)
    return [line.row if isinstance(line.row, str) else next(told) for line in lines], link
