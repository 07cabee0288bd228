"""The schema: up, down and up again on both engines, one process or several, and the same as the tables say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory

from app.settings import Settings
from app.storage import schema
from app.storage.database import Unavailable
from tests.harness import sql
from tests.harness.databases import Databases
from tests.harness.processes import maywe_command
from tests.harness.service import in_process

ROOT = Path(__file__).parents[2]
TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type IN ('table', 'index', 'trigger') AND name NOT LIKE 'sqlite_%'",
    "postgresql": "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
    "UNION SELECT tgname FROM pg_trigger UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
}
OF_ALEMBIC = {"alembic_version", "alembic_version_pkc"}


def things(url: str, engine: str) -> set[str]:
    """Every table, index, trigger and function."""
    return {str(name) for (name,) in sql.rows(url, TABLES[engine])} - OF_ALEMBIC


def alembic(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command of Alembic itself; it needs the address of the database, and no secret."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAYWE_")}
    return subprocess.run(
        [str(Path(sys.executable).with_name("alembic")), *arguments],
        cwd=ROOT,
        env={**environment, "MAYWE_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_up_down_and_up_again(databases: Databases, engine: str) -> None:
    url = databases.empty(engine)
    configuration = schema.config(url)
    revisions = [s.revision for s in ScriptDirectory.from_config(configuration).walk_revisions()][::-1]
    after_each = []
    for revision in revisions:
        command.upgrade(configuration, revision)
        after_each.append(things(url, engine))
    assert "ledger" in after_each[-1]
    for expected in after_each[-2::-1]:
        command.downgrade(configuration, "-1")
        assert things(url, engine) == expected
    command.downgrade(configuration, "base")
    assert things(url, engine) == set()
    command.upgrade(configuration, "head")
    assert things(url, engine) == after_each[-1]


async def test_alembic_itself_migrates_and_finds_nothing_to_add(databases: Databases, engine: str) -> None:
    url = databases.empty(engine)
    upgraded = alembic(url, "upgrade", "head")
    assert upgraded.returncode == 0, upgraded.stderr
    checked = alembic(url, "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "No new upgrade operations detected" in checked.stdout + checked.stderr
    async with in_process(url) as maywe:  # and the application works on it
        assert (await maywe.http.get("/readyz")).json()["missing"] == ["catalogue"]


def test_a_column_too_many_is_noticed(databases: Databases, engine: str) -> None:
    url = databases.make(engine)
    sql.execute(url, "ALTER TABLE subjects ADD COLUMN note VARCHAR(20)")
    assert alembic(url, "check").returncode != 0


def test_two_processes_migrate_at_the_same_time(databases: Databases, engine: str) -> None:
    url = databases.empty(engine)
    environment = {**os.environ, "MAYWE_DATABASE_URL": url, "MAYWE_SECRET_KEY": "c" * 44}
    both = [
        subprocess.Popen(maywe_command("migrate"), env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert things(url, engine) == things(databases.make(engine), engine)


def test_a_migration_that_fails_leaves_nothing(databases: Databases, engine: str) -> None:
    url = databases.empty(engine)
    sql.execute(url, "CREATE TABLE idempotency (in_the_way INTEGER)")
    before = things(url, engine)
    with pytest.raises(Unavailable):
        schema.upgrade(url)
    assert things(url, engine) == before


async def test_readyz_names_what_is_missing(databases: Databases, engine: str) -> None:
    url = databases.empty(engine)
    command.upgrade(schema.config(url), "head")
    sql.execute(url, "UPDATE alembic_version SET version_num = 'other'")
    async with in_process(url) as maywe:
        answer = await maywe.http.get("/readyz")
        assert (answer.status_code, answer.json()["missing"]) == (503, ["migrations"])
        sql.execute(url, f"UPDATE alembic_version SET version_num = '{schema.head()}'")
        answer = await maywe.http.get("/readyz")
        assert (answer.status_code, answer.json()["missing"]) == (503, ["catalogue"])


def test_no_secret_is_needed_to_name_the_database() -> None:
    assert Settings(database_url="postgresql:///maywe").secret_key is None
