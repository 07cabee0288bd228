"""The first start, all or nothing: killed at any moment, or twice at once."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.harness.processes import Forked
from tests.harness.service import NO_TLS, environment, free_port, served


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the embedded database will be."""
    return tmp_path / "var" / "maywe.db"


def start(place: Path, log: Path) -> Forked:
    arguments = ("serve", "--port", str(free_port()))
    return Forked(arguments, environment(f"sqlite:///{place}"), stdout=Path(os.devnull), stderr=log)


def wait_until_begun(folder: Path) -> None:
    """Return once a database is being written there."""
    for _ in range(10_000):
        if any(file.stat().st_size for file in folder.glob("*maywe.db*")):
            return
        time.sleep(0.002)
    raise AssertionError("no database was begun")


def keys_said(*logs: Path) -> list[str]:
    lines = [line.strip() for log in logs for line in log.read_text().splitlines()]
    return [line for line in lines if line.startswith("mw_")]


def assert_works(place: Path, key: str) -> None:
    """The key opens a server on the database, and a catalogue is in force."""
    with served(f"sqlite:///{place}") as (address, _):
        answer = httpx.get(f"{address}/v1/catalogue", headers={"Authorization": f"Bearer {key}"}, verify=NO_TLS)
        assert answer.status_code == 200
        assert answer.json()["version"]


def test_killed_it_leaves_nothing_and_the_next_one_begins_anew(place: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start(place, log)
    wait_until_begun(place.parent)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert not place.exists()
    assert keys_said(log) == []
    with served(f"sqlite:///{place}", log=log):
        pass
    (key,) = keys_said(log)
    assert_works(place, key)


def test_of_two_at_once_one_makes_the_database(place: Path, tmp_path: Path) -> None:
    logs = [tmp_path / "one", tmp_path / "other"]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda log: _serve_once(place, log), logs))
    (key,) = keys_said(*logs)
    assert_works(place, key)
    assert list(place.parent.glob(".*")) == []


def _serve_once(place: Path, log: Path) -> None:
    with served(f"sqlite:///{place}", log=log):
        """Until it is up."""
