"""Puts the parts together: settings, store, doors."""

import gc
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI

from app import background
from app.crypto import Secrets
from app.decision_log import DecisionLog
from app.destinations import Destinations
from app.dispatching import Dispatcher
from app.doors import (
    audience,
    catalogue,
    changes,
    check,
    choices,
    docs,
    facts,
    health,
    inbound,
    links,
    notice,
    openapi,
    preferences,
    problems,
    proof,
    retention,
    subjects,
    unsubscribe,
    webhooks,
)
from app.doors.edge import Edge
from app.doors.hot import Application
from app.doors.later import InTurn
from app.doors.visits import Failures
from app.group_commit import GroupCommit
from app.retaining import tell_for_ever
from app.settings import Settings, load_settings
from app.storage import schema
from app.storage.database import Database
from app.storage.store import Store
from app.sweeping import sweep_for_ever
from app.telemetry import configure_logging
from app.watching import Watch


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _decision_log(settings: Settings, database: Database) -> DecisionLog | None:
    if settings.decision_log_days == 0:
        return None
    keep = timedelta(days=settings.decision_log_days)
    return DecisionLog(database, keep=keep, yeses=settings.decision_log_yeses)


def create_app(settings: Settings, *, clock: Callable[[], datetime] = _utc_now) -> FastAPI:
    """The application for these settings. Connects to nothing until it is started."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        current, previous = settings.key_bytes()
        database = Database(settings.database_url)
        app.state.store = store = Store(database, Secrets(current, previous))
        app.state.schema_head = schema.head()
        app.state.clock = clock
        app.state.running = set()
        app.state.group_commit = group_commit = GroupCommit(store)
        app.state.settings = settings
        app.state.destinations = Destinations(settings.webhook_networks)
        app.state.failures = Failures()
        log = app.state.decision_log = _decision_log(settings, database)
        app.state.watch = watch = Watch(database)
        database.after_commit.append(watch.committed)
        dispatcher = Dispatcher(store, watch, app.state.destinations, settings.webhook_retries)
        work: list[background.Work] = [
            watch.run,
            partial(sweep_for_ever, store),
            partial(tell_for_ever, store),
            dispatcher.run,
        ]
        if log is not None:
            work.append(log.run)
        if not settings.is_sqlite:
            work += [watch.say, partial(watch.listen, settings.database_url)]
        try:
            await store.confirm_secrets()
            async with background.kept_up(*work):
                with background.told_of_the_end(watch.stop):
                    yield
        finally:
            await group_commit.close()
            if log is not None:
                await log.write()
            await store.close()

    app = Application(
        title="Maywe",
        version=version("maywe"),
        summary="May we use this for that, about this person, now?",
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # they tell of raw paths and of bodies
    )
    problems.install(app)
    for door in (
        check,
        audience,
        choices,
        facts,
        subjects,
        proof,
        retention,
        changes,
        webhooks,
        links,
        notice,
        unsubscribe,
        preferences,
        inbound,
        catalogue,
        health,
        docs,
    ):
        # As they are: FastAPI would build each route once more to include it, and at its first request.
        app.router.routes.extend(door.router.routes)
    openapi.install(app)
    app.add_middleware(InTurn, paths=frozenset({changes.router.prefix}))
    app.add_middleware(Edge, store=lambda: app.state.store)
    return app


def serve() -> FastAPI:
    """The application as `maywe serve` starts it in each worker: settings from the environment."""
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    app = create_app(settings)
    _spare_garbage_collection()
    return app


def _spare_garbage_collection() -> None:
    """What is here now stays until the end. A thousand answers made at once would have it looked over for garbage
    several times."""
    gc.collect()
    gc.freeze()
