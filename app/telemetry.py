"""Logs on standard error, scrubbed: only what is on a list goes out, and errors without their messages, which carry
parameters. Loggers of libraries go through the same formatter."""

import errno
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec
import structlog
from structlog.contextvars import get_contextvars
from structlog.stdlib import BoundLogger
from structlog.typing import Processor

SCRUBBED = "[scrubbed]"
ALLOWED = frozenset(
    {
        *("event", "level", "timestamp", "logger", "request_id", "trace_id", "span_id"),
        *("method", "route", "status", "duration_ms", "key_id", "scope"),
        *("decision_id", "decision", "reason", "basis", "purpose", "channel", "catalogue_version"),
        *("event_id", "revision", "position", "count", "attempt", "version", "pid", "scrubbed"),
        "webhook_id",
        *("error", "errno", "sqlstate", "frames", "causes"),
    }
)
_LONGEST = 1024  # characters; what is longer was not made for a log
_DEEPEST = 40  # frames of an error, the innermost
# The second line of defence, for values under an allowed key: addresses, phone numbers, API keys, tokens, databases.
_PERSONAL = re.compile(
    r"\S*@\S*|\+[0-9][0-9 ()/.-]{5,}[0-9]|mw_[a-z0-9]+_\S*|(?<![\w.])/(?:u|preferences)/[^{\s]\S*|postgres\w*://\S*"
)
# What every one of them has in it: text without is let through at once.
_SUSPECT = re.compile(r"[@+]|mw_|/u/|/preferences/|postgres")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FRAME = re.compile(r'^  File "([^"\n]+)", line (\d+), in ([\w<>]+)$', re.MULTILINE)
_ERROR_TYPE = re.compile(r"^([A-Za-z_][\w.]*)(?::|$)", re.MULTILINE)
_KNOWN = {"alembic", "asyncio", "aiosqlite", "psycopg", "sqlalchemy", "uvicorn"}  # whose messages are templates
_QUIET = ("aiosqlite", "asyncio", "httpcore", "httpx", "sqlalchemy")  # below a warning they tell of parameters and URLs

_Event = MutableMapping[str, Any]


class _Scrubbed(dict[str, Any]):
    """An event that went through `scrub`."""


def configure_logging(level: str, format: Literal["json", "console"]) -> None:
    """Send every log from this level on to standard error, in this format. May be called again. Raises ValueError
    for an unknown level."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # nothing is told of them
    for old in root.handlers[:]:
        if type(old) in (logging.StreamHandler, _Handler):
            root.removeHandler(old)
    handler = _Handler()
    handler.setFormatter(_Formatter(format))
    root.addHandler(handler)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # raw paths: the doors log their requests themselves
    structlog.configure(_PROCESSORS, wrapper_class=BoundLogger, logger_factory=structlog.stdlib.LoggerFactory())


def get_logger(name: str) -> BoundLogger:
    """A logger that scrubs, whether or not logging was configured."""
    logger: BoundLogger = structlog.wrap_logger(
        logging.getLogger(name), _PROCESSORS, BoundLogger, cache_logger_on_first_use=True
    )
    return logger


def tell(logger: logging.Logger, event: str, *, request_id: str, **more: Any) -> None:
    """Log an event for information, of which only the request's id came from outside: the rest is known to be allowed
    and to tell of nobody."""
    if logger.isEnabledFor(logging.INFO):
        told = _Scrubbed(
            event=event,
            request_id=_mask(request_id),
            **more,
            logger=logger.name,
            level="info",
            timestamp=datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        )
        logger.handle(logging.LogRecord(logger.name, logging.INFO, "", 0, told, None, None))


def scrub(event: _Event) -> dict[str, Any]:
    """What of an event may be written: allowed keys, simple values. `scrubbed` counts the keys that were left out."""
    kept = _Scrubbed((key, _clean(value)) for key, value in event.items() if key in ALLOWED)
    left_out = len(event) - len(kept)
    return _Scrubbed(kept, scrubbed=left_out) if left_out else kept


def describe(error: BaseException) -> dict[str, Any]:
    """An error without its message and without values: type, codes, frames (`file:line function`, the innermost last),
    and the same in short for what caused it."""
    told: dict[str, Any] = {"error": _type(error), "frames": _frames(error.__traceback__)}
    if isinstance(error, OSError) and error.errno is not None:
        told["errno"] = errno.errorcode.get(error.errno, SCRUBBED)
    sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None)
    if isinstance(sqlstate, str) and re.fullmatch(r"[0-9A-Z]{5}", sqlstate):
        told["sqlstate"] = sqlstate
    causes = [" ".join([_type(cause), *_frames(cause.__traceback__)[-1:]]) for cause in _causes(error)]
    return told | {"causes": causes} if causes else told


def _type(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _frames(trace: TracebackType | None) -> list[str]:
    frames = [_frame(frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in traceback.walk_tb(trace)]
    return frames[-_DEEPEST:]


def _frame(file: str, line: int | str, function: str) -> str:
    return f"{'/'.join(Path(file).parts[-3:])}:{line} {function}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What caused an error, and the members of a group, each once."""
    seen: set[int] = {id(error)}
    waiting = [error]
    while waiting and len(seen) < _DEEPEST:
        current = waiting.pop()
        context = None if current.__suppress_context__ else current.__context__
        members = current.exceptions if isinstance(current, BaseExceptionGroup) else ()
        for cause in (current.__cause__ or context, *members):
            if cause is not None and id(cause) not in seen:
                seen.add(id(cause))
                waiting.append(cause)
                yield cause


def _clean(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _mask(value)
    if isinstance(value, list):
        return [_mask(item) if isinstance(item, str) else SCRUBBED for item in value[:_DEEPEST]]
    return SCRUBBED


def _mask(text: str) -> str:
    if len(text) > _LONGEST:
        return SCRUBBED
    if text.isprintable() and not _SUSPECT.search(text):
        return text
    first = next(iter(text.splitlines()), "")  # libraries put what they were handed on the lines after it
    return _CONTROL.sub(" ", _PERSONAL.sub(SCRUBBED, first))


# Own events


def _tell_error(_logger: Any, _method: str, event: _Event) -> _Event:
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()[1]
    error = given[1] if isinstance(given, tuple) else given
    return {**event, **describe(error)} if isinstance(error, BaseException) else event


def _scrub(_logger: Any, _method: str, event: _Event) -> _Event:
    return scrub(event)


def _hand_over(_logger: Any, _method: str, event: _Event) -> tuple[tuple[_Event], dict[str, Any]]:
    return (event,), {}


_PROCESSORS: list[Processor] = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _tell_error,
    _scrub,
    _hand_over,
]


# Everybody's events


class _Handler(logging.StreamHandler[Any]):
    """Standard error as it is now."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the name is logging's
        """Stay silent: logging would print the message and its arguments as they are."""


def _as_json(_logger: Any, _method: str, event: _Event) -> str:
    try:
        return msgspec.json.encode(event).decode()
    except UnicodeEncodeError:  # a lone surrogate; standard error writes it as an escape
        return json.dumps(event, ensure_ascii=False)


class _Formatter(logging.Formatter):
    """Writes events; makes them of what libraries log."""

    def __init__(self, format: Literal["json", "console"]) -> None:
        super().__init__()
        self._render: Processor = _as_json if format == "json" else structlog.dev.ConsoleRenderer(colors=False)

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        event = record.msg if isinstance(record.msg, _Scrubbed) else _foreign(record)
        return str(self._render(None, "", event if self._render is _as_json else dict(event)))


def _foreign(record: logging.LogRecord) -> dict[str, Any]:
    """An event of what a library logged."""
    event: dict[str, Any] = {
        **get_contextvars(),
        "event": _message(record),
        "level": record.levelname.lower(),
        "logger": record.name,
        "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
    }
    error = record.msg if isinstance(record.msg, BaseException) else (record.exc_info or (None, None))[1]
    if error is not None:
        event |= describe(error)
    elif isinstance(record.msg, str) and "Traceback (most recent call last)" in record.msg:
        event |= _read_traceback(record.msg)
    return scrub(event)


def _read_traceback(text: str) -> dict[str, Any]:
    """What `describe` tells, of an error that a library logs as text: the framework does when it cannot start."""
    frames = [_frame(*found.groups()) for found in _FRAME.finditer(text)]
    types = _ERROR_TYPE.findall(text.rpartition("\n  File ")[2])
    return {"error": types[0] if types else SCRUBBED, "frames": frames[-_DEEPEST:]}


def _message(record: logging.LogRecord) -> str:
    """The template of a message; of what was to be filled in, numbers only. Migrations and the address that is listened
    on tell of nobody: in full."""
    library = record.name.partition(".")[0]
    if library not in _KNOWN or not isinstance(record.msg, str):
        return SCRUBBED
    if not isinstance(record.args, tuple) or not record.args:
        return record.msg.partition("\n")[0]
    if library == "alembic" or record.msg.startswith("Uvicorn running on "):
        return record.getMessage()
    shown = tuple(value if isinstance(value, int | float) else SCRUBBED for value in record.args)
    try:
        return record.msg % shown
    except (TypeError, ValueError):
        return record.msg
