"""The command line as an operator meets it: what it does, and one plain sentence for each thing that can go wrong."""

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.storage import schema
from tests.harness import sql
from tests.harness.databases import Databases
from tests.harness.processes import maywe_command
from tests.harness.service import NO_TLS, SECRET, free_port, served, settings_for

SHOP = Path(__file__).parents[1] / "scenarios" / "catalogue.yaml"


class Shell:
    """A folder to work in, and the environment for the commands in it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = environment

    def run(self, *arguments: str) -> Result:
        with contextlib.chdir(self.folder):
            return CliRunner().invoke(main, arguments, env=self.environment)

    def says(self, *arguments: str) -> str:
        """What a command that succeeds prints."""
        done = self.run(*arguments)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    def fails(self, *arguments: str, status: int = 1) -> str:
        """The sentence of a command that fails; any error but a plain exit would be a traceback."""
        done = self.run(*arguments)
        assert isinstance(done.exception, SystemExit), done.exception
        assert (done.exit_code, done.stdout) == (status, "")
        return done.stderr


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def operator(tmp_path: Path, database_url: str) -> Shell:
    """A shell on a database that is migrated and empty."""
    return Shell(tmp_path, MAYWE_DATABASE_URL=database_url, MAYWE_SECRET_KEY=SECRET)


def test_a_day_of_an_operator(operator: Shell, database_url: str) -> None:
    """Keys, catalogue, ledger: each command once, on both engines."""
    key = operator.says("keys", "create", "shop", "--scope", "check", "--scope", "choices", "--expires", "P90D")
    key_id = key.split("_")[1]
    assert key.startswith("mw_")
    assert key.count("\n") == 1
    listed = operator.says("keys", "list")
    assert listed.split()[:2] == [key_id, "valid"]
    assert listed.endswith("shop  check choices\n")
    assert key.strip() not in listed
    assert "no catalogue" in operator.fails("catalogue", "show").lower()
    document = operator.folder / "shop.yaml"
    document.write_text(SHOP.read_text().replace("REVIEWED", "2026-10-01"))
    assert operator.says("catalogue", "publish", str(document)) == "conformance-1 published\n"
    assert operator.says("catalogue", "publish", str(document)) == "conformance-1 was published before\n"
    document.write_text(document.read_text().replace("Offers and news", "Offers"))
    assert "was published with other content" in operator.fails("catalogue", "publish", str(document))
    assert json.loads(operator.says("catalogue", "show"))["version"] == "conformance-1"
    assert operator.says("keys", "revoke", key_id) == ""
    assert "there is no valid key with this id" in operator.fails("keys", "revoke", key_id)
    assert "revoked" in operator.says("keys", "list")
    assert "whole" in operator.says("verify")
    assert operator.says("rebuild", "--check") == "state and ledger agree\n"
    assert sql.rows(database_url, "SELECT count(*) FROM ledger") == [(1,)]


def test_damage_is_told_and_mended(operator: Shell, database_url: str) -> None:
    sql.execute(database_url, "INSERT INTO attachments VALUES ('sub_a', 'sub_b')")
    assert "1 rows differ" in operator.fails("rebuild", "--check")
    assert operator.says("rebuild") == "1 rows rebuilt\n"
    assert sql.rows(database_url, "SELECT * FROM attachments") == []


WRONG_ENVIRONMENTS = {
    "a short key": ({"MAYWE_SECRET_KEY": "c2hvcnQ="}, "MAYWE_SECRET_KEY: a key is shorter than 32 octets"),
    "no base64": ({"MAYWE_SECRET_KEY": "!" * 44}, "MAYWE_SECRET_KEY: a key is not base64"),
    "no key on PostgreSQL": ({"MAYWE_DATABASE_URL": "postgresql:///maywe"}, "MAYWE_SECRET_KEY: required on PostgreSQL"),
    "another database": ({"MAYWE_DATABASE_URL": "mysql://localhost/maywe"}, "MAYWE_DATABASE_URL: give sqlite:///"),
    "a driver in the URL": ({"MAYWE_DATABASE_URL": "postgresql+psycopg://h/d"}, "MAYWE_DATABASE_URL: give sqlite:///"),
    "a URL libpq cannot read": (
        {"MAYWE_DATABASE_URL": "postgresql://u:p%zz@h/d", "MAYWE_SECRET_KEY": SECRET},
        "MAYWE_DATABASE_URL: this is no URL of PostgreSQL",
    ),
    "nobody listens": (
        {"MAYWE_DATABASE_URL": "postgresql://u:hush@127.0.0.1:1/maywe", "MAYWE_SECRET_KEY": SECRET},
        "the database cannot be used: ",
    ),
    "no such folder of sockets": (
        {"MAYWE_DATABASE_URL": "postgresql://u:hush@/maywe?host=/nowhere", "MAYWE_SECRET_KEY": SECRET},
        "the database cannot be used: ",
    ),
    "no database yet": ({}, "there is no database yet: run `maywe serve` or `maywe migrate` first"),
    "a folder": ({"MAYWE_DATABASE_URL": "sqlite:////tmp"}, " is no file that can be read and written"),
    "a typing error": ({"MAYWE_DATABSE_URL": "sqlite:///x.db"}, "did you mean MAYWE_DATABASE_URL?"),
}


@pytest.mark.parametrize("name", WRONG_ENVIRONMENTS)
def test_a_wrong_environment(tmp_path: Path, name: str) -> None:
    environment, sentence = WRONG_ENVIRONMENTS[name]
    said = Shell(tmp_path, **environment).fails("keys", "list")
    assert sentence in said
    assert "hush" not in said
    assert "p%zz" not in said


WRONG_ARGUMENTS = {
    "no duration": (("keys", "create", "n", "--scope", "check", "--expires", "nonsense"), "give an ISO 8601 duration"),
    "a duration beyond measure": (
        ("keys", "create", "n", "--scope", "check", "--expires", "P9999999999999D"),
        "give an ISO 8601 duration",
    ),
    "no time at all": (("keys", "create", "n", "--scope", "check", "--expires", "P0D"), "never be valid"),
    "a name too long": (("keys", "create", "n" * 129, "--scope", "check"), "give 1 to 128 printable characters"),
    "a name of two lines": (("keys", "create", "a\nb", "--scope", "check"), "give 1 to 128 printable characters"),
    "an unknown scope": (("keys", "create", "n", "--scope", "everything"), "'everything' is not one of"),
    "no scope": (("keys", "create", "n"), "Missing option '--scope'"),
    "an unknown file": (("catalogue", "lint", "nowhere.yaml"), "'nowhere.yaml' does not exist"),
    "a port that is none": (("serve", "--port", "70000"), "is not in the range"),
}


@pytest.mark.parametrize("name", WRONG_ARGUMENTS)
def test_wrong_arguments(shell: Shell, name: str) -> None:
    arguments, sentence = WRONG_ARGUMENTS[name]
    said = shell.fails(*arguments, status=2)
    assert sentence in said.replace("\n", " ")
    assert not (shell.folder / "var").exists()


def test_a_file_that_is_no_catalogue(shell: Shell) -> None:
    for content, sentence in (("[1, 2", "nothing.yaml: "), ("- 1", "nothing.yaml: ")):
        (shell.folder / "nothing.yaml").write_text(content)
        assert sentence in shell.fails("catalogue", "publish", "nothing.yaml")


def test_a_file_that_is_no_database(shell: Shell) -> None:
    shell.environment["MAYWE_DATABASE_URL"] = f"sqlite:///{shell.folder}/text.db"
    (shell.folder / "text.db").write_text("This is no database, but long enough to be looked at. " * 20)
    assert "the database cannot be used: file is not a database" in shell.fails("verify")


def test_a_folder_that_cannot_be_made(shell: Shell) -> None:
    shell.environment["MAYWE_DATABASE_URL"] = "sqlite:////dev/null/maywe.db"
    assert "/dev/null" in shell.fails("migrate")
    shell.environment["MAYWE_SECRET_KEY"] = SECRET
    assert "/dev/null: " in shell.fails("migrate")


def test_an_address_in_use(shell: Shell) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert (
            shell.fails("serve", "--port", port)
            == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n"
        )
    assert not (shell.folder / "var").exists()


# The schema


@pytest.fixture
def unmigrated(tmp_path: Path, databases: Databases, engine: str) -> Iterator[Shell]:
    url = databases.empty(engine)
    if engine == "sqlite":
        sql.execute(url, "CREATE TABLE of_somebody_else (id INTEGER)")
    yield Shell(tmp_path, MAYWE_DATABASE_URL=url, MAYWE_SECRET_KEY=SECRET)
    databases.drop(url)


def test_no_command_changes_the_schema_but_migrate(unmigrated: Shell) -> None:
    sentence = "the database is not at the newest schema: run `maywe migrate`"
    assert sentence in unmigrated.fails("serve", "--port", str(free_port()))
    assert sentence in unmigrated.fails("keys", "list")
    assert unmigrated.says("migrate") == unmigrated.says("keys", "list") == ""
    url = unmigrated.environment["MAYWE_DATABASE_URL"]
    assert sql.rows(url, "SELECT count(*) FROM catalogues") == [(0,)]
    with served(url) as (address, _):  # migrated by hand, it stays without a catalogue
        ready = httpx.get(f"{address}/readyz", verify=NO_TLS)
        assert (ready.status_code, ready.json()["missing"]) == (503, ["catalogue"])
    sql.execute(url, "UPDATE alembic_version SET version_num = 'of_tomorrow'")
    for arguments in (("migrate",), ("verify",)):
        assert "a schema that this version does not know" in unmigrated.fails(*arguments)


def test_every_form_of_the_url_of_postgresql(databases: Databases, tmp_path: Path) -> None:
    """Socket folders and options, as libpq takes them."""
    url = databases.make("postgresql")
    joined = "&" if "?" in url else "?"
    forms = (
        f"{url}{joined}application_name=shop&connect_timeout=3",
        f"{url}{joined}options=-c%20search_path%3Dpublic",
        url.replace("postgresql://", "postgres://"),
    )
    for form in forms:
        settings = settings_for(form)
        shell = Shell(tmp_path, MAYWE_DATABASE_URL=settings.database_url, MAYWE_SECRET_KEY=SECRET)
        assert shell.says("keys", "list") == ""
    assert schema.head() == sql.rows(url, "SELECT version_num FROM alembic_version")[0][0]


# The first start


def test_the_first_start(shell: Shell) -> None:
    """Makes everything, says the key once; its three commands work when pasted; SIGTERM ends it in peace; the second
    start makes nothing."""
    port = str(free_port())
    log = shell.folder / "log"
    with Serving(shell, log, "--port", port, "--workers", "2", "--demo"):
        welcome = log.read_text()
        key = next(line.strip() for line in welcome.splitlines() if line.startswith("    mw_"))
        check, unsubscribe, poll = [
            f"curl -s {rest}" for rest in welcome.partition("Three commands")[2].split("curl -s ")[1:]
        ]
        assert json.loads(_paste(check))["decision"] is True
        assert json.loads(_paste(unsubscribe))["events"][0]["status"] == "withdrawn"
        assert json.loads(_paste(check))["reason"] == "consent_withdrawn"
        assert json.loads(_paste(poll))["changes"][-1]["type"] == "choice.withdraw"
    var = shell.folder / "var"
    assert oct((var / "secret.key").stat().st_mode & 0o777) == "0o600"
    assert (var / "maywe.db").exists()
    with Serving(shell, log, "--port", port, "--demo"):
        assert json.loads(_paste(check))["reason"] == "consent_withdrawn"
    assert "No sample people were added" in log.read_text()
    assert "mw_" not in log.read_text()
    assert key not in log.read_text()


class Serving:
    """`maywe serve` until the block ends, stopped by SIGTERM as an init system does it."""

    def __init__(self, shell: Shell, log: Path, *arguments: str) -> None:
        self._shell, self._log, self._arguments = shell, log, arguments

    def __enter__(self) -> None:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                maywe_command("serve", *self._arguments),
                cwd=self._shell.folder,
                env={**os.environ, **self._shell.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        port = self._arguments[1]
        transport = httpx.HTTPTransport(retries=10)
        with httpx.Client(transport=transport) as http:
            assert http.get(f"http://127.0.0.1:{port}/readyz").status_code == 200, self._log.read_text()

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(20) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
        assert "Traceback" not in self._log.read_text()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{self._arguments[1]}/livez", verify=NO_TLS)


def _paste(command: str) -> str:
    text = command.split("\n\n")[0]
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout
