"""Processes of the command line. Most are forked from one that has imported it all, which takes a fraction of the time
of starting anew; what they do from there on is the same."""

import multiprocessing
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

import uvicorn._subprocess

from app import retaining
from app.cli import main

retaining._START = 3600.0  # tests go round themselves, so that what a feed tells is theirs to say
_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.harness.processes", "app.main", "tests.harness.settled"])


class Process(Protocol):
    """As much of subprocess.Popen as the tests use."""

    @property
    def pid(self) -> int:
        """The id of the process."""

    def poll(self) -> int | None:
        """The exit status, negative if a signal ended it; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, waited for."""


class Started(subprocess.Popen[bytes]):
    """A process of `maywe` that starts as an operator starts it, in a session of its own. What is settled at an import
    (how metrics of several workers are counted) is settled only so."""

    def __init__(self, arguments: Sequence[str], env: dict[str, str], *, stdout: Path, stderr: Path) -> None:
        with stdout.open("ab") as out, stderr.open("ab") as err:
            super().__init__(maywe_command(*arguments), env=env, stdout=out, stderr=err, start_new_session=True)


class Forked:
    """A process of `maywe`, forked, in a session of its own."""

    def __init__(self, arguments: Sequence[str], env: dict[str, str], *, stdout: Path, stderr: Path) -> None:
        self._arguments = list(arguments)
        self._process: BaseProcess = _FORKING.Process(
            target=_run, args=(self._arguments, env, str(stdout), str(stderr)), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self._arguments, timeout or 0)
        return status


def _run(arguments: list[str], env: dict[str, str], stdout: str, stderr: str) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    for descriptor, path in ((1, stdout), (2, stderr)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    random.seed()
    # A worker of this server is forked like the server itself, and may therefore have one: it is no daemon's child.
    uvicorn._subprocess.spawn = multiprocessing.get_context("fork")  # type: ignore[assignment]  # typed as spawn
    multiprocessing.process.current_process()._config["daemon"] = False  # type: ignore[attr-defined]  # not public
    main.main(arguments, prog_name="maywe")


def maywe_command(*arguments: str) -> list[str]:
    """The command line, as installed beside this Python."""
    return [str(Path(sys.executable).with_name("maywe")), *arguments]
