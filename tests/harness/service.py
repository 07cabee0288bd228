"""Maywe as a test uses it: the application in process, or real processes on loopback."""

import base64
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
from click.testing import CliRunner, Result
from fastapi import FastAPI

from app import administering
from app.cli import main
from app.main import create_app
from app.scopes import SCOPES
from app.settings import Settings
from app.storage.store import Store
from tests.harness.processes import Forked, Process, Started

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # for loopback: to read whom else to trust takes httpx 20 ms a client
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]  # absent: httpx would look for it with each request
SECRET = base64.b64encode(b"a secret key for tests, 32 bytes").decode()


class Maywe:
    """A running application and a client whose key has every scope."""

    app: FastAPI

    def __init__(self, http: httpx.AsyncClient, store: Store, url: str) -> None:
        self.http = http
        self.store = store
        self.url = url

    async def key(self, *scopes: str, expires_at: datetime | None = None) -> str:
        """A new key with some scopes."""
        return await administering.create_key(
            self.store, "test", scopes or SCOPES, now=datetime.now(UTC), expires_at=expires_at
        )

    async def publish(self, document: dict[str, Any]) -> None:
        """Publish a catalogue."""
        answer = await self.http.put("/v1/catalogue", json=document)
        assert answer.status_code in (200, 201), answer.text

    async def choose(self, subject: dict[str, Any], *choices: dict[str, Any], status: int = 201, **more: Any) -> Any:
        """Record choices; `more` goes into the request."""
        body = {"subject": subject, "choices": list(choices), "method": "web_form", **more}
        answer = await self.http.post("/v1/choices", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def establish(self, subject: dict[str, Any], *facts: dict[str, Any], status: int = 201) -> Any:
        """Record facts."""
        answer = await self.http.post("/v1/facts", json={"subject": subject, "facts": list(facts)})
        assert answer.status_code == status, answer.text
        return answer.json()

    async def ask(self, subject: dict[str, Any], purpose: str, **more: Any) -> Any:
        """Ask one question."""
        answer = await self.http.post("/v1/check", json={"subject": subject, "purpose": purpose, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def find(self, subject: dict[str, Any]) -> str:
        """The subject_id of an identifier."""
        answer = await self.http.post("/v1/subjects/find", json=subject)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["subject_id"])


def utc_now() -> datetime:
    """The time now."""
    return datetime.now(UTC)


def settings_for(url: str, **more: Any) -> Settings:
    """Settings for a database, with the tests' secret key."""
    return Settings(**{"database_url": url, "secret_key": SECRET, **more})


@asynccontextmanager
async def in_process(url: str, *, clock: Callable[[], datetime] = utc_now, **more: Any) -> AsyncGenerator[Maywe]:
    """The application in this process, with real commits on a real database; `more` goes into its settings."""
    app = create_app(settings_for(url, **more), clock=clock)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://maywe.test", timeout=30) as http:
            maywe = Maywe(http, app.state.store, url)
            maywe.app = app
            http.headers["Authorization"] = f"Bearer {await maywe.key()}"
            yield maywe


def free_port() -> int:
    """A port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(url: str, **settings: str) -> dict[str, str]:
    """The environment of a process on a database."""
    more = {f"MAYWE_{name}": value for name, value in settings.items()}
    return {**os.environ, "MAYWE_DATABASE_URL": url, "MAYWE_SECRET_KEY": SECRET, **more}


def command(url: str, *arguments: str, status: int = 0) -> str:
    """Run the command line and return what it printed on standard output."""
    with tempfile.TemporaryDirectory() as folder:
        printed, complained = Path(folder, "stdout"), Path(folder, "stderr")
        done = Forked(arguments, environment(url), stdout=printed, stderr=complained)
        assert done.wait(60) == status, complained.read_text()
        return printed.read_text()


async def command_here(url: str, *arguments: str, secret: str = SECRET) -> Result:
    """Run the command line in a thread of this process, which is much faster than to start another."""
    settings = {"MAYWE_DATABASE_URL": url, "MAYWE_SECRET_KEY": secret}
    return await anyio.to_thread.run_sync(lambda: CliRunner().invoke(main, arguments, env=settings))


@contextmanager
def served(
    url: str, *, workers: int = 1, log: Path = Path(os.devnull), **settings: str
) -> Generator[tuple[str, Process]]:
    """A real server on loopback; yields its address and its process, and stops it, workers included. Its standard error
    goes to `log`; `settings` are named as in the environment, without MAYWE_."""
    port = free_port()
    arguments = ("serve", "--port", str(port), "--workers", str(workers))
    start = Started if "METRICS_ADDRESS" in settings else Forked
    process = start(arguments, environment(url, **settings), stdout=Path(os.devnull), stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_live(address, process)
        yield address, process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_live(address: str, process: Process) -> None:
    """Return once the server answers."""
    for _ in range(3000):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/livez", timeout=1):  # noqa: S310  ours
            return
        assert process.poll() is None, "the server ended before it was up"
        time.sleep(0.01)
    raise AssertionError("the server did not come up")
