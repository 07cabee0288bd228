"""What commands have in common: the settings, the store, and saying plainly what stands in the way."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from app import administering
from app.crypto import Secrets
from app.decision.refusal import Invalid, Refusal, Unreadable
from app.documents import read_document
from app.settings import Settings, SettingsError, load_settings
from app.storage import schema
from app.storage.database import Database, Unavailable
from app.storage.store import Store

_T = TypeVar("_T")


@contextmanager
def said_plainly() -> Iterator[None]:
    """Say in a sentence what stands in the way of a command, and end it."""
    try:
        yield
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    except Invalid as invalid:
        lines = [f"{fault.pointer or '/'}: {fault.code}: {fault.detail}" for fault in invalid.faults]
        raise click.ClickException("\n".join(["refused:", *lines])) from None
    except Refusal as refusal:
        raise click.ClickException(refusal.detail) from None
    except Unavailable as unavailable:
        raise click.ClickException(f"the database cannot be used: {unavailable.reason}") from None
    except schema.Unfamiliar:
        detail = "the database is at a schema that this version does not know: use the version that migrated it"
        raise click.ClickException(detail) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from None


def settings_or_fail() -> Settings:
    """The settings of the environment."""
    with said_plainly():
        return load_settings()


def with_store(work: Callable[[Store], Awaitable[_T]], settings: Settings | None = None) -> _T:
    """Run work on the configured database."""
    settings = settings or settings_or_fail()

    async def run() -> _T:
        current, previous = settings.key_bytes()
        database = Database(settings.database_url)
        try:
            store = Store(database, Secrets(current, previous))
            await store.confirm_secrets()
            return await work(store)
        finally:
            await database.close()

    require_schema(settings)
    with said_plainly():
        return asyncio.run(run())


def read_catalogue(file: Path) -> dict[str, Any]:
    """The document in a file: JSON if its name says so, else YAML."""
    return read_object(file, is_yaml=file.suffix != ".json")


def read_object(file: Path, *, is_yaml: bool) -> dict[str, Any]:
    """The object in a file."""
    try:
        return read_document(file.read_bytes(), is_yaml=is_yaml)
    except Unreadable as unreadable:
        raise click.ClickException(f"{file}: {unreadable.detail}") from None


def require_schema(settings: Settings) -> None:
    """Fail unless the database is there and at the newest schema."""
    if settings.is_sqlite and not settings.sqlite_path.exists():
        raise click.ClickException("there is no database yet: run `maywe serve` or `maywe migrate` first")
    _require_usable(settings)
    with said_plainly():
        found = administering.schema_revision(settings.database_url)
        if found is not None and found not in schema.known():
            raise schema.Unfamiliar
    if found != schema.head():
        raise click.ClickException("the database is not at the newest schema: run `maywe migrate`")


def migrate_schema(settings: Settings) -> None:
    """Bring the database to the newest schema."""
    _require_usable(settings)
    with said_plainly():
        schema.upgrade(settings.database_url)


def _require_usable(settings: Settings) -> None:
    """Fail if the embedded database is there, but no file that can be read and written."""
    if not settings.is_sqlite or not settings.sqlite_path.exists():
        return
    if not settings.sqlite_path.is_file() or not os.access(settings.sqlite_path, os.R_OK | os.W_OK):
        raise click.ClickException(f"{settings.sqlite_path} is no file that can be read and written")
