"""webhooks: endpoints to which the change feed is pushed, for operators."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.commands.working import said_plainly, settings_or_fail, with_store
from app.destinations import Destinations
from app.storage.store import Store
from app.telling import TYPES, Filter
from app.webhooks import Desk, Wanted, require_url

_ID = click.argument("webhook_id")


@click.group()
def webhooks() -> None:
    """Webhooks: the change feed pushed to endpoints."""


def _do(work: Callable[[Desk], Awaitable[Any]]) -> Any:
    """Do work on the endpoints in one unit, and return what it returns."""
    now = datetime.now(UTC)

    async def run(store: Store) -> Any:
        async def in_unit(connection: AsyncConnection) -> Any:
            return await work(Desk(connection, store, now))

        return await store.database.write(in_unit)

    return with_store(run)


def _print(told: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(told)).decode())


def _require(url: str) -> None:
    settings = settings_or_fail()
    with said_plainly():
        require_url(Destinations(settings.webhook_networks), url)


@webhooks.command("create")
@click.argument("url")
@click.option("--purpose", multiple=True, help="Rows of this purpose, and those of none; may be repeated.")
@click.option("--channel", multiple=True, help="The same for a channel.")
@click.option("--type", "types", multiple=True, type=click.Choice(TYPES), help="Rows of this type.", metavar="TYPE")
@click.option("--identifier-type", help="Tell each person's identifier of this type too.")
@click.option("--after", help="Begin at a cursor of the feed; without it, now.")
def create(url: str, purpose: list[str], channel: list[str], types: list[str], **more: str | None) -> None:
    """Push the feed to a URL. Prints the endpoint with its secret, which is shown this once."""
    _require(url)
    wanted = Wanted(Filter(tuple(purpose), tuple(channel), tuple(types)), more["identifier_type"])
    _print(_do(lambda desk: desk.create(url, wanted, more["after"])))


@webhooks.command("list")
def list_webhooks() -> None:
    """List the endpoints, without secrets and URLs."""
    for told in _do(Desk.every):
        counts = f"{told['waiting']} waiting  {told['dead_letters']} dead"
        click.echo(f"{told['webhook_id']}  {told['state']:8}  {told['reason'] or '-':14}  {counts}")


@webhooks.command("show")
@_ID
def show(webhook_id: str) -> None:
    """Print one endpoint, without its secret."""
    _print(_do(lambda desk: desk.one(webhook_id)))


@webhooks.command("move")
@_ID
@click.argument("url")
def move(webhook_id: str, url: str) -> None:
    """Give an endpoint another URL."""
    _require(url)
    _print(_do(lambda desk: desk.change(webhook_id, url, None)))


@webhooks.command("delete")
@_ID
def delete(webhook_id: str) -> None:
    """Forget an endpoint, its place in the feed and its dead letters."""
    _do(lambda desk: desk.delete(webhook_id))
    click.echo("deleted", err=True)


@webhooks.command("pause")
@_ID
def pause(webhook_id: str) -> None:
    """Deliver nothing until it is resumed; nothing is lost."""
    _print(_do(lambda desk: desk.pause(webhook_id)))


@webhooks.command("resume")
@_ID
@click.option("--after", help="Go on from a cursor of the feed, or now; what waits or is dead is then forgotten.")
def resume(webhook_id: str, after: str | None) -> None:
    """Go on after a pause, or after what disabled it was mended."""
    _print(_do(lambda desk: desk.resume(webhook_id, after)))


@webhooks.command("rotate")
@_ID
@click.option("--overlap", default=24, show_default=True, type=click.IntRange(0, 168), help="Hours with both secrets.")
def rotate(webhook_id: str, overlap: int) -> None:
    """Make a new secret, shown this once."""
    _print(_do(lambda desk: desk.rotate(webhook_id, timedelta(hours=overlap))))


@webhooks.command("dead-letters")
@_ID
@click.option("--after", help="The id of the last one read.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
def dead_letters(webhook_id: str, after: str | None, limit: int) -> None:
    """Print what was given up."""
    _print(_do(lambda desk: desk.dead_letters(webhook_id, after, limit)))


@webhooks.command("replay")
@_ID
@click.argument("ids", nargs=-1)
def replay(webhook_id: str, ids: tuple[str, ...]) -> None:
    """Deliver dead letters after all: those of some rows, or all."""
    _print(_do(lambda desk: desk.replay(webhook_id, ids or None)))
