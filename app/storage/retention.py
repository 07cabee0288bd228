"""How far the round got that tells what is due for erasure."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.tables import retention_round


class Round(NamedTuple):
    """Up to which subject the round has come, "" before the first; and when the last one ended."""

    reached: str
    ended_at: datetime | None


async def round_now(connection: AsyncConnection) -> Round:
    """Where the round is."""
    statement = select(retention_round.c.reached, retention_round.c.ended_at)
    return Round(*(await connection.execute(statement)).one())


async def advance(connection: AsyncConnection, before: Round, after: Round) -> bool:
    """Let the round go on; False if somebody else did so meanwhile."""
    statement = update(retention_round).where(retention_round.c.reached == before.reached).values(after._asdict())
    return (await connection.execute(statement)).rowcount == 1
