"""What commands have in common: the settings, the store, and saying plainly what stands in the way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from app import administering
from app.crypto import Secrets
from app.decision.refusal import Invalid, Refusal
from app.settings import Settings, SettingsError, load_settings
from app.storage import schema
from app.storage.database import Database, Unavailable
from app.storage.store import Store

_T = TypeVar("_T")


def settings_or_fail() -> Settings:
    """The settings of the environment."""
    try:
        return load_settings()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def with_store(work: Callable[[Store], Awaitable[_T]], settings: Settings | None = None) -> _T:
    """Run work on the configured database."""
    settings = settings or settings_or_fail()

    async def run() -> _T:
        current, previous = settings.key_bytes()
        database = Database(settings.database_url)
        try:
            return await work(Store(database, Secrets(current, previous)))
        finally:
            await database.close()

    require_schema(settings)
    try:
        return asyncio.run(run())
    except Invalid as invalid:
        lines = [f"{fault.pointer or '/'}: {fault.code}: {fault.detail}" for fault in invalid.faults]
        raise click.ClickException("\n".join(["refused:", *lines])) from None
    except Refusal as refusal:
        raise click.ClickException(refusal.detail) from None
    except Unavailable:
        raise click.ClickException("the database cannot be reached") from None


def require_schema(settings: Settings) -> None:
    """Fail unless the database is there and at the newest schema."""
    if settings.is_sqlite and not settings.sqlite_path.exists():
        raise click.ClickException("there is no database yet: run `maywe serve` or `maywe migrate` first")
    try:
        found = administering.schema_revision(settings.database_url)
    except Unavailable:
        raise click.ClickException("the database cannot be reached") from None
    if found != schema.head(settings.database_url):
        raise click.ClickException("the database is not at the newest schema: run `maywe migrate`")
