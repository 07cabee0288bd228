"""The published catalogues, in the order of their publication."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.tables import catalogues, ledger_head


class Published(NamedTuple):
    """A published version: its document as JSON, with the `effective_from` it got."""

    serial: int
    version: str
    content_digest: str
    effective_from: datetime
    published_at: datetime
    document: str


async def published(connection: AsyncConnection, *, after: int = 0) -> list[Published]:
    """Every version published after a serial, oldest first."""
    statement = select(*(catalogues.c[name] for name in Published._fields))
    rows = await connection.execute(statement.where(catalogues.c.serial > after).order_by(catalogues.c.serial))
    return [Published(*row) for row in rows]


async def take_head(connection: AsyncConnection) -> int:
    """Hold the head until commit, so that publications come one by one; returns the last serial."""
    statement = select(ledger_head.c.catalogue_serial).with_for_update()
    serial: int = (await connection.execute(statement)).scalar_one()
    return serial


async def add(connection: AsyncConnection, version: Published) -> None:
    """Add a version, and let every process notice it."""
    await connection.execute(insert(catalogues).values(version._asdict()))
    await connection.execute(update(ledger_head).values(catalogue_serial=version.serial))
