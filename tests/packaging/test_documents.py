"""What the documents say is there is there: files, targets, commands, tests."""

import re
import subprocess
from pathlib import Path

import click
import pytest

from app.cli import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file(document: Path) -> None:
    missing = [link for link in LINK.findall(document.read_text("utf-8")) if not (document.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_and_target_exists(document: Path) -> None:
    text = document.read_text("utf-8")
    commands = set(re.findall(r"(?:`|\n|\(|exec maywe )maywe ([a-z-]+)", text))
    assert commands <= set(main.list_commands(click.Context(main)))
    targets = set(re.findall(r"(?:`|\n)make ([a-z-]+)", text))
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets <= set(re.findall(r"^make (\S+)", listed, re.MULTILINE))


def test_a_decision_names_the_test_that_guards_it() -> None:
    for decision in DECISIONS:
        named = re.findall(r"`(tests/[\w/-]+\.py)::(\w+)`", decision.read_text("utf-8"))
        assert named, decision
        for file, function in named:
            assert (ROOT / file).exists(), (decision, file)
            assert f"def {function}" in (ROOT / file).read_text("utf-8"), (decision, function)


def test_no_two_decisions_have_one_number() -> None:
    numbers = [path.name[:4] for path in DECISIONS]
    assert len(set(numbers)) == len(numbers)
