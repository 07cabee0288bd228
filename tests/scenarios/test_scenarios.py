"""Every scenario file beside this one, over HTTP, on both engines."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import catalogue
from tests.harness.documents import read_yaml
from tests.harness.scenarios import Scenario, Step
from tests.harness.stages import Stages

HERE = Path(__file__).parent


def _scenarios() -> list[Any]:
    files = sorted(path for path in HERE.glob("*.yaml") if "catalogue" not in path.stem)
    suites = [(path.stem, read_yaml(path.read_text(encoding="utf-8"))) for path in files]
    return [
        pytest.param(suite["catalogue"], scenario["steps"], id=f"{name}-{scenario['id']}")
        for name, suite in suites
        for scenario in suite["scenarios"]
    ]


@pytest.mark.parametrize(("base", "steps"), _scenarios())
async def test_scenario(base: str, steps: list[Step], stages: Stages, engine: str) -> None:
    publishes = any("publish" in step for step in steps)
    async with stages.stage(engine, catalogue(f"scenarios/{base}"), alone=publishes) as stage:
        await Scenario(stage, "scenario").play(steps)
