"""The 96 statements of the notice, each a test, on the bundled catalogue, on both engines. What a later issue covers is
expected to fail until it does."""

import csv
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import reviewed
from tests.harness.documents import read_yaml
from tests.harness.scenarios import Step, merged
from tests.harness.stages import Stages
from tests.notice.statement import Statement

HERE = Path(__file__).parent
TABLE: dict[str, Any] = read_yaml(reviewed((HERE / "statements.yaml").read_text(encoding="utf-8")))
ROWS: list[dict[str, Any]] = TABLE["rows"]

with (HERE / "statements.csv").open(encoding="utf-8", newline="") as file:
    STATEMENTS = {int(row["no"]): row for row in csv.DictReader(file)}


def _cases() -> list[Any]:
    cases = []
    for row in ROWS:
        name = f"{int(row['no']):03}-{row['name']}"
        if "steps" in row:
            cases.append(pytest.param(row["steps"], id=name))
        for rest in row.get("later", ()):
            expected = pytest.mark.xfail(strict=True, reason=f"{rest['issue']}: {rest['why']}", raises=AssertionError)
            cases.append(pytest.param(rest["steps"], id=f"{name}-{rest['name']}", marks=expected))
    return cases


@pytest.mark.parametrize("steps", _cases())
async def test_statement(steps: list[Step], stages: Stages, engine: str) -> None:
    publishes = any("publish" in step for step in steps)
    async with stages.stage(engine, _base(), alone=publishes) as stage:
        await Statement(stage, "statement").play(steps)


@cache
def _base() -> dict[str, Any]:
    document = read_yaml((HERE / TABLE["catalogue"]).read_text(encoding="utf-8"))
    base: dict[str, Any] = merged(document, TABLE["patch"])
    return base


def test_every_statement_has_its_row_and_its_lines() -> None:
    assert sorted(row["no"] for row in ROWS) == sorted(STATEMENTS) == list(range(1, 97))
    for row in ROWS:
        assert row["lines"] == [int(line) for line in STATEMENTS[row["no"]]["lines"].split(",")]
