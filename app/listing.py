"""Where everybody stands at one moment, in the rows of the change feed: list, then watch."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app.changes import names
from app.decision import fold
from app.decision.catalogue import Timeline
from app.decision.history import History
from app.decision.model import SCOPES, State
from app.documents import instant
from app.storage import ledger, subjects
from app.storage.ledger import Entry
from app.storage.store import Store
from app.telling import Filter, Row, bare_row, row_of, rows_of

_CHUNK = 200  # subjects whose rows are in memory at once


class Listing:
    """Reads, on a connection that holds one moment, everything a copy needs to begin with."""

    def __init__(
        self, store: Store, timeline: Timeline, wanted: Filter, identifier_type: str | None, now: datetime
    ) -> None:
        self._store = store
        self._timeline = timeline
        self._wanted = wanted
        self._identifier_type = identifier_type
        self._now = now

    async def read(self, connection: AsyncConnection) -> AsyncIterator[list[tuple[Row, dict[str, str] | None]]]:
        """Rows with the identifier of the person, if asked for; of everybody who was not erased. Before them the
        catalogue versions that are yet to come into force: at that time answers change, and nobody is told again."""
        yield [(row, None) for row in self._upcoming() if self._wanted.passes(row)]
        chunk: list[State] = []
        async for state in subjects.states(connection):
            if state.erased_at is None:
                chunk.append(state)
            if len(chunk) == _CHUNK:
                yield await self._told(connection, chunk)
                chunk = []
        yield await self._told(connection, chunk)

    def _upcoming(self) -> Iterator[Row]:
        for catalogue in self._timeline.versions:
            start = catalogue.effective_from
            if start is not None and start > self._now:
                details = {
                    "version": catalogue.version,
                    "effective_from": instant(start),
                    "material_changes": list(catalogue.material_changes),
                }
                yield bare_row("catalogue.published", subject_id=None, details=details)

    async def _told(self, connection: AsyncConnection, chunk: list[State]) -> list[tuple[Row, dict[str, str] | None]]:
        ids = [state.subject_id for state in chunk]
        named = await names(connection, self._store, ids, self._identifier_type)
        drafts = [draft for state in chunk for draft in self._drafts(state)]
        entries = await ledger.named(connection, sorted({draft.event_id for draft in drafts if draft.event_id}))
        rows = [_row(draft, entries) for draft in drafts]
        attached, merged = await subjects.relations_of(connection, ids)
        rows += [bare_row("subject.linked", subject_id=one, details={"attached": other}) for one, other in attached]
        rows += [bare_row("subject.merged", subject_id=other, merged_into=one) for one, other in merged]
        rows += [
            bare_row("subject.linked", subject_id=state.subject_id, details={"suppressed_since": instant(since)})
            for state in chunk
            if (since := state.suppressed_since) is not None
        ]
        return [(row, named.get(row.subject_id or "")) for row in rows if self._wanted.passes(row)]

    def _drafts(self, state: State) -> Iterator["_Draft"]:
        history = History(state, self._timeline, None)
        for scope in SCOPES:
            newest = {e.channel: e for e in sorted(history.scope_objections_in_force(scope), key=lambda e: e.order)}
            for channel, event in newest.items():
                yield _Draft(state, event.id, {"scope": scope, "channel": channel, "status": "objected"})
        yield from self._standings(state)
        for event in state.events():
            if event.type.startswith("fact."):
                yield _Draft(state, event.id, None)

    def _standings(self, state: State) -> Iterator["_Draft"]:
        for (purpose, channel), standing in fold.standings_told(state, self._timeline, self._now).items():
            told = {name: getattr(standing, name) for name in ("status", "objected", "version", "basis")}
            yield _Draft(state, standing.event_id, {"purpose": purpose, "channel": channel, **told})


class _Draft(NamedTuple):
    """A row to be: the event it rests on, if any, and what it tells; a fact tells what its entry does."""

    state: State
    event_id: str | None
    told: dict[str, Any] | None


def _row(draft: _Draft, entries: dict[str, Entry]) -> Row:
    subject_id, told = draft.state.subject_id, draft.told or {}
    if draft.event_id is None:
        return bare_row("standing", subject_id=subject_id, **told)
    entry = entries[draft.event_id]
    row = row_of(entry, **told) if draft.told else rows_of(entry)[0]
    return row._replace(subject_id=subject_id)
