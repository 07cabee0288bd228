"""The decision log, for whoever has to show what was answered: a person's adviser, an auditor, a regulator."""

from datetime import UTC, datetime

import click
import msgspec

from app.access import decision_of
from app.commands.working import settings_or_fail, with_store
from app.decision.period import END_OF_TIME
from app.storage import decisions as kept
from app.storage.store import Store

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"])


@click.command()
@click.option("--since", type=_DAY, help="From this day or instant on, in UTC.")
@click.option("--until", type=_DAY, help="Before this day or instant, in UTC.")
@click.option("--purpose", help="Only answers about this purpose.")
def decisions(since: datetime | None, until: datetime | None, purpose: str | None) -> None:
    """Write the decision log to standard output, a line of JSON per answer, oldest first.

    MAYWE_DECISION_LOG_DAYS says whether answers are kept, and how long.
    """
    start = since.replace(tzinfo=UTC) if since is not None else _EVER
    end = until.replace(tzinfo=UTC) if until is not None else END_OF_TIME

    async def work(store: Store) -> int:
        count = 0
        async with store.database.long_view() as connection:
            async for page in kept.between(connection, start, end, purpose):
                count += len(page)
                click.echo(b"\n".join(msgspec.json.encode(decision_of(told)) for told in page))
        return count

    settings = settings_or_fail()
    click.echo(f"{with_store(work, settings)} answers", err=True)
    if settings.decision_log_days == 0:
        click.echo("no more are kept: MAYWE_DECISION_LOG_DAYS is 0", err=True)
