"""The command line: serve, migrate, keys, catalogue, verify, rebuild, openapi. Thin over the same functions as the
doors."""

import json
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name

import click
import uvicorn

from app import administering, metrics, publishing
from app.commands.first_start import make_embedded
from app.commands.working import (
    migrate_schema,
    read_catalogue,
    said_plainly,
    settings_or_fail,
    with_store,
)
from app.decision.period import after, parse_period
from app.decision.refusal import Invalid
from app.scopes import SCOPES
from app.storage.keys import KEY_NAME_LENGTH
from app.storage.store import Store
from app.telemetry import configure_logging

_ELSEWHERE = {  # where the other commands are
    "decisions": "app.commands.decisions:decisions",
    "explain": "app.commands.explain:explain",
    "export": "app.commands.bulk_export:export_file",
    "import": "app.commands.bulk:import_file",
    "links": "app.commands.mailing:links",
    "lint-mail": "app.commands.mailing:lint_mail",
    "openapi": "app.commands.openapi:openapi",
    "verify": "app.commands.proof:verify",
    "webhooks": "app.commands.webhooks:webhooks",
}
_NO_SAMPLES = """\
No sample people were added: only a new embedded database gets them. A key for the one that is there:
maywe keys create NAME --scope check --scope choices"""


class _Group(click.Group):
    """Commands of which some are imported when they are called, so that the rest, `serve` too, starts in half the
    time."""

    def list_commands(self, context: click.Context) -> list[str]:
        """The names of all commands."""
        return sorted([*super().list_commands(context), *_ELSEWHERE])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of a name."""
        if name not in _ELSEWHERE:
            return super().get_command(context, name)
        found: click.Command = resolve_name(_ELSEWHERE[name])
        return found


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="maywe", prog_name="maywe")
def main() -> None:
    """Maywe answers other services' question: may we use this for that, about this person, now?"""


# Serving


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes.")
@click.option("--demo", is_flag=True, help="Add sample people to a new embedded database.")
def serve(host: str, port: int, workers: int, *, demo: bool) -> None:
    """Serve. Creates an embedded database that does not exist yet, with the Belkcase catalogue and a first key."""
    settings = settings_or_fail()
    _require_free(host, port)
    if settings.is_sqlite and not settings.sqlite_path.exists():
        make_embedded(settings, f"http://{host}:{port}", demo=demo)
    elif demo:
        click.echo(_NO_SAMPLES, err=True)
    with_store(_nothing, settings)
    configure_logging(settings.log_level, settings.log_format)
    try:
        with metrics.exposed(settings.metrics_address, workers=workers):
            uvicorn.run(
                "app.main:serve",
                factory=True,
                host=host,
                port=port,
                workers=workers,
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=True,
                timeout_graceful_shutdown=10,
            )
    except metrics.NotBound as error:
        raise click.ClickException(str(error)) from None


async def _nothing(_: Store) -> None:
    """Only to make sure, before workers start, that there is a database that can be worked on."""


def _require_free(host: str, port: int) -> None:
    """Fail unless the address can be listened on: better now than after a database was made."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from None


@main.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    settings = settings_or_fail()
    with said_plainly():
        settings.key_bytes()
    migrate_schema(settings)
    click.echo("the database is at the newest schema", err=True)


# Keys


@main.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="May be repeated.")
@click.option("--expires", metavar="DURATION", help="An ISO 8601 duration from now, such as P90D.")
def create_key(name: str, scopes: tuple[str, ...], expires: str | None) -> None:
    """Make a key and print it, this once, alone on standard output."""
    now = datetime.now(UTC)
    if not (1 <= len(name) <= KEY_NAME_LENGTH and name.isprintable()):
        raise click.BadParameter(f"give 1 to {KEY_NAME_LENGTH} printable characters", param_hint="NAME")
    try:
        expires_at = None if expires is None else after(now, parse_period(expires))
    except (ValueError, OverflowError):
        raise click.BadParameter("give an ISO 8601 duration such as P90D", param_hint="--expires") from None
    if expires_at is not None and expires_at <= now:
        raise click.BadParameter("the key would never be valid", param_hint="--expires")
    click.echo(with_store(lambda store: administering.create_key(store, name, scopes, now=now, expires_at=expires_at)))


@keys.command("list")
def list_keys() -> None:
    """List the keys, without their secrets."""
    found = with_store(administering.list_keys)
    now = datetime.now(UTC)
    for key in found:
        state = "revoked" if key.revoked_at else "expired" if key.expires_at and key.expires_at <= now else "valid"
        until = key.expires_at.isoformat(timespec="seconds") if key.expires_at else "-"
        click.echo(f"{key.key_id}  {state:8}  {until:25}  {key.name}  {' '.join(sorted(key.scopes))}")


@keys.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """End a key at once, on every instance."""
    if not with_store(lambda store: administering.revoke_key(store, key_id, now=datetime.now(UTC))):
        raise click.ClickException("there is no valid key with this id")
    click.echo("revoked", err=True)


# Catalogue


@main.group()
def catalogue() -> None:
    """The catalogue: the privacy notice as data."""


_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@catalogue.command("lint")
@_FILE
def lint_catalogue(file: Path) -> None:
    """Say what is wrong with a catalogue; exit status 1 if it would be refused. Needs no database."""
    try:
        found = publishing.findings(publishing.parse(read_catalogue(file)), None, set())
    except Invalid as invalid:
        for fault in invalid.faults:
            click.echo(f"error    {fault.pointer or '/'}  {fault.code}: {fault.detail}")
        sys.exit(1)
    for finding in found:
        click.echo(f"{finding.level:8} {finding.pointer}  {finding.code}: {finding.detail}")
    if any(finding.level == "error" for finding in found):
        sys.exit(1)
    click.echo("no refusals", err=True)


@catalogue.command("diff")
@_FILE
def diff_catalogue(file: Path) -> None:
    """Say what publishing a catalogue would change."""
    document = read_catalogue(file)
    run = with_store(lambda store: administering.dry_run(store, document, now=datetime.now(UTC)))
    for name, keys_changed in run.difference._asdict().items():
        if keys_changed:
            click.echo(f"{name.replace('_', ' ')}: {', '.join(keys_changed)}")
    click.echo(f"given consents that would become outdated: {run.consents_outdated}")


@catalogue.command("publish")
@_FILE
def publish_catalogue(file: Path) -> None:
    """Publish a catalogue as the next version."""
    document = read_catalogue(file)
    published = with_store(lambda store: administering.publish(store, document, now=datetime.now(UTC)))
    for warning in published.warnings:
        click.echo(f"warning  {warning.pointer}  {warning.code}: {warning.detail}", err=True)
    click.echo(f"{published.version} {'published' if published.created else 'was published before'}")


@catalogue.command("show")
def show_catalogue() -> None:
    """Print the catalogue in force as JSON."""
    document = with_store(lambda store: administering.catalogue_in_force(store, now=datetime.now(UTC)))
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


# Ledger


@main.command()
@click.option("--check", is_flag=True, help="Only compare; exit status 1 if anything differs.")
def rebuild(*, check: bool) -> None:
    """Rebuild all state from the ledger: subjects, tombstones, attachments."""
    differing = with_store(lambda store: administering.rebuild(store, only_compare=check))
    if check and differing:
        raise click.ClickException(f"{differing} rows differ from what the ledger tells: run `maywe rebuild`")
    click.echo("state and ledger agree" if not differing else f"{differing} rows rebuilt")
