"""links and lint-mail: for those who send mail."""

import csv
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import click

from app import mail_lint, publishing
from app.addressing import Subject
from app.commands.working import read_catalogue, settings_or_fail, with_store
from app.crypto import Secrets
from app.csv_links import Unreadable, write_links
from app.decision.catalogue import Catalogue, Timeline
from app.decision.refusal import Invalid
from app.links import Minter, Wanted
from app.settings import Settings
from app.storage import ledger
from app.storage.store import Store

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_CATALOGUE = click.option("--catalogue", type=_FILE, help="A catalogue file; by default that of the database.")


@click.command()
@click.argument("recipients", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--purpose", help="What the links stop; without it, all marketing on the channel.")
@click.option("--channel", help="On which channel.")
@click.option("--campaign", help="For the record, up to 30 octets.")
@click.option("--language", help="Of the pages: en or de.")
@click.option("--type", "identifier_type", help="The type of the identifiers in the column id.")
@_CATALOGUE
def links(recipients: Path, identifier_type: str | None, catalogue: Path | None, **all_rows: Any) -> None:
    """Write a CSV of RECIPIENTS (- is standard input) to standard output, with the links behind each row.

    Needs the secret key and the catalogue only. The recipients stand in a column named as their type, such as email; or
    in id, with --type or a column type. Columns purpose, channel, campaign and language outweigh the options. A row
    that is refused has the reason in its column error; the exit status is then 1.
    """
    settings = settings_or_fail()
    minter = Minter(
        _catalogue(settings, catalogue),
        _secrets(settings),
        public_url=settings.public_url,
        mailbox=settings.unsubscribe_mailbox,
    )
    wanted = Wanted(Subject(identifier_type), **all_rows)
    with click.open_file(str(recipients), "rb") as source:
        try:
            counted = write_links(_lines(source, recipients), sys.stdout, minter, wanted=wanted)
        except Unreadable as unreadable:
            raise click.ClickException(str(unreadable)) from None
        except UnicodeDecodeError:
            raise click.ClickException("the recipients are not UTF-8") from None
        except csv.Error as error:
            raise click.ClickException(f"the recipients are no CSV: {error}") from None
    click.echo(f"{counted.made} links made, {counted.refused} rows refused", err=True)
    if counted.refused:
        sys.exit(1)


def _lines(source: IO[bytes], path: Path) -> Iterator[str]:
    """The lines, with a bar on standard error that says how far it is."""
    size = path.stat().st_size if str(path) != "-" else None
    with click.progressbar(length=size or 0, label="links", file=sys.stderr, hidden=size is None) as bar:
        for n, line in enumerate(source):
            bar.update(len(line))
            yield line.decode("utf-8-sig" if n == 0 else "utf-8")


def _secrets(settings: Settings) -> Secrets:
    current, previous = settings.key_bytes()
    return Secrets(current, previous)


def _catalogue(settings: Settings, file: Path | None) -> Catalogue:
    found = _timeline(settings, file).judging(datetime.now(UTC))
    if found is None:
        raise click.ClickException("no catalogue is published yet: name one with --catalogue")
    return found


def _timeline(settings: Settings, file: Path | None) -> Timeline:
    """The catalogue of a file alone, or those of the database."""
    if file is None:
        return with_store(_published, settings)
    try:
        catalogue = publishing.parse(read_catalogue(file))
    except Invalid as invalid:
        raise click.ClickException(f"{file}: {invalid.faults[0].pointer}: {invalid.faults[0].detail}") from None
    return Timeline([replace(catalogue, effective_from=catalogue.effective_from or datetime.now(UTC))])


async def _published(store: Store) -> Timeline:
    async with store.database.read() as connection:
        return await store.timeline(connection, await ledger.head(connection))


@click.command("lint-mail")
@click.argument("mail", type=_FILE)
@_CATALOGUE
def lint_mail(mail: Path, catalogue: Path | None) -> None:
    """Say whether a rendered mail (.eml) can be unsubscribed from with one click; exit status 1 if not.

    Both headers there and right, HTTPS first, a DKIM signature that covers both, a link that was made under this secret
    key and stops something.
    """
    settings = settings_or_fail()
    timeline = _timeline(settings, catalogue)
    found = mail_lint.lint(mail.read_bytes(), _secrets(settings), timeline, settings.public_url)
    for remark in found:
        click.echo(f"{remark.level:8} {remark.code}: {remark.text}")
    if any(remark.level == "error" for remark in found):
        sys.exit(1)
