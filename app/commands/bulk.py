"""import: choices of many people from a file."""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from app.commands.results import OtherFile, Results
from app.commands.rows import Line, WrongHeader, read_rows
from app.commands.working import with_store
from app.importing import RolledBack, Row, import_rows
from app.storage.store import Store

_CHUNK = 1000  # rows of one unit of work


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to say what became of each row; FILE.results.csv by default.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would become of each row; keep nothing.")
def import_file(file: Path, results: Path | None, *, dry_run: bool) -> None:
    """Record choices from FILE (.csv, or .ndjson): a row per line.

    Interrupted, and started again with the same file, it goes on where it was. Exit status 1 if any row was refused."""
    suffix = ".dry-run.csv" if dry_run else ".results.csv"
    kept = results or file.with_name(file.name + suffix)
    if dry_run:
        kept.unlink(missing_ok=True)
    try:
        told = Results(kept, file)
    except (OtherFile, ValueError):
        raise click.ClickException(
            f"{kept} tells of another file; move it away, or name another with --results"
        ) from None
    try:
        with click.progressbar(length=file.stat().st_size, label="importing", file=sys.stderr) as bar:
            with_store(
                lambda store: _import(
                    store, read_rows(file), told, lambda at: bar.update(at - bar.pos), dry_run=dry_run
                )
            )
    except WrongHeader as error:
        raise click.ClickException(str(error)) from None
    finally:
        told.close()
    counts = ", ".join(f"{told.counts[kind]} {kind}" for kind in ("created", "unchanged", "refused"))
    click.echo(f"{counts}; each row in {kept}")
    if told.counts["refused"]:
        sys.exit(1)


async def _import(
    store: Store, lines: Iterator[Line], told: Results, advance: Callable[[int], None], *, dry_run: bool
) -> None:
    while chunk := list(islice(lines, _CHUNK)):
        left = [line for line in chunk if line.number > told.done]
        if left:
            results = await _record(store, left, dry_run=dry_run)
            told.add(zip([line.number for line in left], results, strict=True))
        advance(chunk[-1].octets)


async def _record(store: Store, lines: list[Line], *, dry_run: bool) -> list[str]:
    """What became of each line, once it is committed."""
    rows = [line.row for line in lines if isinstance(line.row, Row)]
    now = datetime.now(UTC)

    async def work(connection: AsyncConnection) -> list[str]:
        return await import_rows(connection, store, rows, now=now, dry_run=dry_run)

    try:
        recorded = iter(await store.database.write(work))
    except RolledBack as dry:
        recorded = iter(dry.results)
    return [line.row if isinstance(line.row, str) else next(recorded) for line in lines]
