"""Logs: what goes out, and above all what does not."""

import contextlib
import io
import json
import logging
import re
import traceback
from typing import Literal
from unittest import mock

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from app import telemetry
from app.telemetry import ALLOWED, SCRUBBED, configure_logging, describe, get_logger, scrub

PERSON = "ada@example.com"
PHONE = "+4915112345678"
TOKEN = "eyJzZWNyZXQtdG9rZW4"
KEY = f"mw_abcdefgh2345_{'x' * 43}"


class Log:
    """What was written to standard error."""

    def __init__(self) -> None:
        self._stream = io.StringIO()

    def configure(self, level: str, format: Literal["json", "console"]) -> None:
        with contextlib.redirect_stderr(self._stream):
            configure_logging(level, format)

    @property
    def handler(self) -> logging.StreamHandler:
        [found] = [one for one in logging.getLogger().handlers if type(one).__module__ == "app.telemetry"]
        return found

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def restored():
    """Leaves logging as it was."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    names = ("aiosqlite", "asyncio", "httpcore", "httpx", "sqlalchemy", "uvicorn", "uvicorn.error", "uvicorn.access")
    loggers = [(one, one.level, one.disabled, one.propagate) for one in map(logging.getLogger, names)]
    yield
    root.level, root.handlers[:] = before
    for one, level, disabled, propagate in loggers:
        one.setLevel(level)
        one.disabled, one.propagate = disabled, propagate
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def log(restored) -> Log:
    made = Log()
    made.configure("info", "json")
    return made


def fail(depth: int = 1) -> None:
    private = PERSON  # noqa: F841  a local that must not be shown
    if depth:
        fail(depth - 1)
    try:
        {}[PERSON]
    except KeyError as error:
        raise OperationalError(f"SELECT '{PHONE}'", {"id": PERSON}, Exception(KEY)) from error


def caught() -> BaseException:
    try:
        fail()
    except OperationalError as error:
        return error
    raise AssertionError


def assert_clean(text: str) -> None:
    for private in (PERSON, "ada", PHONE, PHONE[1:], TOKEN, KEY, "x" * 20, "hunter2"):
        assert private not in text


def test_an_event_is_one_line_of_json(log):
    structlog.contextvars.bind_contextvars(request_id="req_1")
    get_logger("maywe.access").info("request", method="GET", route="/u/{token}", status=200, duration_ms=1.25)
    [line] = log.lines
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "maywe.access",
        "request_id": "req_1",
        "method": "GET",
        "route": "/u/{token}",
        "status": 200,
        "duration_ms": 1.25,
    }


def test_only_what_is_allowed_goes_out(log):
    get_logger("maywe").info(
        "written",
        email=PERSON,
        path=f"/u/{TOKEN}",
        subject={"id": PERSON},
        purpose="offers",
        reason=["a", PERSON],
        count=3,
    )
    [line] = log.lines
    assert_clean(log.text)
    assert (line["purpose"], line["count"], line["scrubbed"]) == ("offers", 3, 3)
    assert line["reason"] == ["a", SCRUBBED]


@pytest.mark.parametrize("name", ["event", "reason", "route", "request_id", "error"])
@pytest.mark.parametrize(
    "value",
    [
        *(PERSON, f"for <{PERSON}>", PHONE, "to +49 151 1234-5678.", KEY, f"Bearer {KEY}", f"/u/{TOKEN}"),
        *(f"GET /preferences/{TOKEN}/x", "postgresql://maywe:hunter2@db/maywe", f"first\n{PERSON}", "x" * 2000),
    ],
)
def test_what_is_personal_is_masked_under_an_allowed_name_too(name, value):
    assert_clean(json.dumps(scrub({name: value})))


def test_an_object_is_never_written():
    shown = scrub(
        {"reason": {"id": PERSON}, "count": (PERSON,), "error": ValueError(PERSON), "purpose": PERSON.encode()}
    )
    assert set(shown.values()) == {SCRUBBED}
    assert scrub({"status": None, "decision": True, "position": 2**62}) == {
        "status": None,
        "decision": True,
        "position": 2**62,
    }


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(sorted(ALLOWED)) | st.text(), values, max_size=6))
def test_anything_can_be_scrubbed_and_becomes_one_line(event):
    shown = scrub(event)
    assert set(shown) <= ALLOWED
    for value in shown.values():
        assert value is None or isinstance(value, bool | int | float | str | list)
        assert not (isinstance(value, str) and len(value.splitlines()) > 1)
        assert not (isinstance(value, str) and "@" in value)


@given(st.text(max_size=200))
def test_scrubbing_twice_changes_nothing(text):
    once = scrub({"event": text})
    assert scrub(once) == once


PARTS = [*"@+/_ aé0\n\x85\u2028", "mw_a1_", "/u/", "/preferences/", "+49 15112", "postgresql://", "x" * 1000]


@given(st.lists(st.sampled_from(PARTS), max_size=8).map("".join))
@example("to postgresql://x")
@example("a mw_a1_b")
@example("GET /preferences/x")
@example("GET /u/x")
def test_what_is_let_through_at_once_would_come_out_the_same(text):
    shown = scrub({"event": text})
    with mock.patch.object(telemetry, "_SUSPECT", re.compile("")):
        assert scrub({"event": text}) == shown


@pytest.mark.parametrize("as_tuple", [False, True])
def test_an_error_is_told_without_its_message(log, as_tuple):
    error = caught()
    given_ = (type(error), error, error.__traceback__) if as_tuple else error
    get_logger("maywe").error("request_failed", exc_info=given_)
    [line] = log.lines
    assert_clean(log.text)
    assert line["error"] == "sqlalchemy.exc.OperationalError"
    assert line["frames"][-1].startswith("tests/unit/test_telemetry.py:")
    assert line["frames"][-1].endswith(" fail")
    assert line["causes"][0].startswith("KeyError tests/unit/test_telemetry.py:")


def test_the_error_being_handled_is_told(log):
    try:
        fail()
    except OperationalError:
        get_logger("maywe").exception("request_failed")
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    assert_clean(log.text)
    assert [line["error"] for line in log.lines] == ["sqlalchemy.exc.OperationalError"] * 2
    assert log.lines[1]["event"] == "Exception in ASGI application"


def test_codes_of_an_error_are_told():
    refused = ConnectionRefusedError(111, PERSON)
    assert describe(refused) == {"error": "ConnectionRefusedError", "frames": [], "errno": "ECONNREFUSED"}

    class Original(Exception):
        sqlstate = "40001"

    original = Original(PERSON)
    assert describe(OperationalError("", {}, original))["sqlstate"] == "40001"


def test_a_group_tells_its_members_and_a_loop_ends():
    one, other = ValueError(PERSON), TypeError(PERSON)
    one.__cause__, other.__cause__ = other, one
    told = describe(ExceptionGroup(PERSON, [one, other]))
    assert_clean(json.dumps(told))
    assert told["error"] == "ExceptionGroup"
    assert sorted(told["causes"]) == ["TypeError", "ValueError"]


def test_libraries_go_through_the_same_formatter(log):
    structlog.contextvars.bind_contextvars(request_id="req_2")
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 42, extra={"color_message": PERSON})
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" 403', "10.1.2.3", f"/u/{TOKEN}")
    logging.getLogger("sqlalchemy.engine").warning("[%s] %r", "cached", {"id": PERSON})
    logging.getLogger("alembic.runtime.migration").info("Running upgrade %s -> %s", "", "20261124_ledger")
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: <KeyError({PERSON})>")  # noqa: G004
    logging.getLogger("somebody.else").error(f"no such person as Ada Lovelace, born {TOKEN}")  # noqa: G004
    logging.getLogger("uvicorn.error").error(OSError(98, PERSON))
    logging.getLogger("psycopg").warning("%(id)s is wrong", {"id": PERSON})
    assert_clean(log.text)
    assert "Lovelace" not in log.text
    assert "10.1.2.3" not in log.text
    assert [line["event"] for line in log.lines] == [
        "Started server process [42]",
        f'{SCRUBBED} - "WebSocket {SCRUBBED}" 403',
        f"[{SCRUBBED}] '{SCRUBBED}'",
        "Running upgrade  -> 20261124_ledger",
        "Task exception was never retrieved",
        SCRUBBED,
        SCRUBBED,
        "%(id)s is wrong",
    ]
    assert {line["request_id"] for line in log.lines} == {"req_2"}
    assert log.lines[6]["errno"] == "EADDRINUSE"


def test_a_failed_start_is_told_without_its_message(log):
    """Starlette hands uvicorn the whole traceback as text."""
    try:
        fail()
    except OperationalError:
        logging.getLogger("uvicorn.error").error(traceback.format_exc())  # noqa: TRY400
    [line] = log.lines
    assert_clean(log.text)
    assert line["error"] == "sqlalchemy.exc.OperationalError"
    assert any(frame.endswith(" fail") for frame in line["frames"])


def test_requests_are_never_logged_with_their_path(log):
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', "10.1.2.3", "GET", f"/u/{TOKEN}", "1.1", 200)
    logging.getLogger("httpx").info(
        'HTTP Request: %s %s "%s %d %s"', "GET", f"http://a/u/{TOKEN}", "HTTP/1.1", 200, "OK"
    )
    logging.getLogger("uvicorn.error").info("seen")
    assert [line["event"] for line in log.lines] == ["seen"]


def test_libraries_keep_their_parameters_at_every_level(log):
    log.configure("debug", "json")
    logging.getLogger("sqlalchemy.engine.Engine").info("SELECT %s", PERSON)
    logging.getLogger("aiosqlite").debug("executing %s", PERSON)
    get_logger("maywe").debug("seen")
    assert [line["event"] for line in log.lines] == ["seen"]


def test_configured_twice_it_writes_once(log):
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(log.handler.stream))
    logging.getLogger().addHandler(logging.StreamHandler(log.handler.stream))
    log.configure("info", "json")
    get_logger("maywe").info("once")
    logging.getLogger("uvicorn").info("twice")
    assert [line["event"] for line in log.lines] == ["once", "twice"]


def test_levels_are_kept(log):
    get_logger("maywe").debug("unseen")
    log.configure("error", "json")
    get_logger("maywe").warning("unseen")
    get_logger("maywe").error("seen")
    assert [line["event"] for line in log.lines] == ["seen"]
    with pytest.raises(ValueError, match="LOUDEST"):
        configure_logging("loudest", "json")


def test_the_console_is_scrubbed_too(log):
    log.configure("info", "console")
    get_logger("maywe").error("request_failed", exc_info=caught(), email=PERSON, reason=PERSON)
    logging.getLogger("uvicorn.error").error("bad", exc_info=caught())
    assert_clean(log.text)
    assert "request_failed" in log.text
    assert "OperationalError" in log.text


def test_a_message_that_does_not_fit_its_arguments_is_written_without_them(log):
    record = logging.LogRecord("psycopg", logging.WARNING, "", 1, "%d is wrong", (PERSON,), None)
    assert json.loads(log.handler.format(record))["event"] == "%d is wrong"


def test_a_log_that_cannot_be_written_is_not_shown_elsewhere(log, capsys):
    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "disk full")

    written = log.handler.setStream(Broken())
    get_logger("maywe").error("lost", reason=PERSON)
    logging.getLogger("uvicorn.error").error("lost %s", PERSON)
    log.handler.setStream(written)
    assert log.text == ""
    assert capsys.readouterr() == ("", "")


def test_a_logger_scrubs_before_logging_is_configured(caplog):
    get_logger("maywe.early").warning("early", email=PERSON, exc_info=caught())
    assert "early" in caplog.text
    assert_clean(caplog.text)
