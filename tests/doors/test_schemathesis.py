"""Schemathesis makes up requests for everything in the OpenAPI document, good and bad, and finds no answer that the
document does not describe, and no 5xx."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.scopes import SCOPES
from tests.conftest import catalogue
from tests.harness.databases import Databases
from tests.harness.effort import effort
from tests.harness.service import command, served

ROOT = Path(__file__).parents[2]
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.parametrize(
    ("engine", "phases", "examples"),
    [
        ("sqlite", effort("examples,fuzzing", "examples,coverage,fuzzing,stateful"), effort(1, 3)),
        ("postgresql", effort("examples", "examples,fuzzing"), 2),
    ],
)
def test_no_request_gets_an_answer_that_is_not_described(
    databases: Databases, tmp_path: Path, engine: str, phases: str, examples: int
) -> None:
    url = databases.make(engine)
    (tmp_path / "catalogue.json").write_text(json.dumps(catalogue("scenarios/catalogue.yaml")))
    command(url, "catalogue", "publish", str(tmp_path / "catalogue.json"))
    key = command(url, "keys", "create", "all", *[word for scope in SCOPES for word in ("--scope", scope)]).strip()
    with served(url) as (address, _):
        run = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("st")), "--config-file", str(CONFIGURATION), "run"),
                *(f"{address}/openapi.json", "-H", f"Authorization: Bearer {key}", "--checks", "all"),
                *("--phases", phases, "--max-examples", str(examples), "--no-color"),
            ],
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.doors.mail_hooks", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "No issues found" in run.stdout, run.stdout
