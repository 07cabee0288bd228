"""The configuration: what it takes, what it refuses, where the secret key comes from."""

import base64
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.settings import Settings, SettingsError, load_settings

KEY = bytes(range(200, 232))
SECRET = base64.b64encode(KEY).decode()
POSTGRES = "postgresql://maywe:hunter2@db.internal/maywe?sslmode=verify-full"


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No settings but the test's own, in a folder of its own."""
    for name in [name for name in os.environ if name.upper().startswith("MAYWE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def load(monkeypatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"MAYWE_{name}", value)
    return load_settings()


def refusal(monkeypatch, **variables: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(monkeypatch, **variables)
    assert not any(len(value) > 12 and value in str(refused.value) for value in variables.values())
    return str(refused.value)


def test_defaults():
    settings = load_settings()
    assert settings.is_sqlite
    assert settings.sqlite_path == Path("var/maywe.db")
    assert settings.public_url == "http://127.0.0.1:8000"
    assert (settings.log_level, settings.log_format) == ("info", "json")
    assert not Path("var").exists(), "looking at the settings makes nothing"


def test_settings_come_from_the_environment(monkeypatch):
    settings = load(
        monkeypatch,
        DATABASE_URL=POSTGRES,
        SECRET_KEY=SECRET + "\n",
        PREVIOUS_SECRET_KEYS=f"{'-_v7' * 10}-_s, {SECRET}",
        PUBLIC_URL="https://consent.example.com/maywe/",
        LOG_LEVEL="WARNING",
        LOG_FORMAT="console",
        UNSUBSCRIBE_MAILBOX="unsubscribe@example.com",
        METRICS_ADDRESS="127.0.0.1:9464",
    )
    assert not settings.is_sqlite
    assert settings.key_bytes() == (KEY, [base64.b64decode("+/v7" * 10 + "+/s="), KEY])
    assert settings.public_url == "https://consent.example.com/maywe"
    assert (settings.log_level, settings.log_format) == ("warning", "console")
    assert settings.metrics_address == "127.0.0.1:9464"
    with pytest.raises(ValueError, match="no file"):
        _ = settings.sqlite_path


@given(key=st.binary(min_size=32, max_size=80), url_safe=st.booleans(), padded=st.booleans())
def test_a_key_in_any_base64_is_read(key, url_safe, padded):
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(key).decode()
    settings = Settings(secret_key=text if padded else text.rstrip("="))
    assert settings.key_bytes() == (key, [])


def test_nothing_secret_is_shown(monkeypatch):
    settings = load(monkeypatch, DATABASE_URL=POSTGRES, SECRET_KEY=SECRET, PREVIOUS_SECRET_KEYS=SECRET)
    for shown in (repr(settings), str(settings), f"{settings}", settings.model_dump_json(exclude={"database_url"})):
        assert SECRET not in shown
        assert "hunter2" not in shown
    with pytest.raises(ValidationError) as refused:
        Settings(secret_key="c2hvcnQ=", database_url="hunter2")
    assert "c2hvcnQ" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_settings_do_not_change():
    with pytest.raises(ValidationError):
        Settings().log_level = "debug"


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("change me, please: no base64 here", "not base64"),
        ("\xfcber" * 20, "not base64"),
        (base64.b64encode(KEY[:31]).decode(), "shorter than 32"),
        ("A" * 41, "not base64"),
    ],
)
@pytest.mark.parametrize("url", ["sqlite:///var/maywe.db", POSTGRES])
def test_an_unusable_secret_is_refused(monkeypatch, url, secret, said):
    told = refusal(monkeypatch, DATABASE_URL=url, SECRET_KEY=secret)
    assert told.startswith("MAYWE_SECRET_KEY: a key is ")
    assert said in told
    assert "openssl rand -base64 32" in told


@pytest.mark.parametrize("previous", ["", ",", f"{SECRET},", f",{SECRET}", f"{SECRET} {SECRET}", f"{SECRET},c2hvcnQ="])
def test_a_broken_list_of_previous_secrets_is_refused(monkeypatch, previous):
    assert "MAYWE_PREVIOUS_SECRET_KEYS: a key is " in refusal(
        monkeypatch, SECRET_KEY=SECRET.replace("y", "z"), PREVIOUS_SECRET_KEYS=previous
    )


def test_postgresql_needs_a_secret(monkeypatch):
    told = refusal(monkeypatch, DATABASE_URL=POSTGRES)
    assert "MAYWE_SECRET_KEY: required on PostgreSQL" in told
    assert "openssl" in told
    with pytest.raises(SettingsError):
        Settings().key_bytes()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("DATABASE_URL", url) for url in ("", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a.db?x=1")),
        *(("DATABASE_URL", url) for url in ("var/maywe.db", "postgresql+psycopg://h/d", "mysql://h/d")),
        *(
            ("PUBLIC_URL", url)
            for url in ("", "example.com", "ftp://example.com", "https://", "https://a@b", "http://a?b")
        ),
        *(("PUBLIC_URL", url) for url in ("http://a:x", "http://a b", "http://a>b", "http://a\r\nb", 'http://a"b')),
        *(("LOG_LEVEL", "loudest"), ("LOG_FORMAT", "yaml"), ("METRICS_ADDRESS", "9464x")),
        *(("METRICS_ADDRESS", "localhost:70000"), ("UNSUBSCRIBE_MAILBOX", "a@b>\r\nBcc: c@d")),
    ],
)
def test_what_cannot_be_meant_is_refused(monkeypatch, name, value):
    assert refusal(monkeypatch, **{name: value}).startswith(f"MAYWE_{name}: ")


def test_every_fault_is_told_at_once(monkeypatch):
    told = refusal(monkeypatch, LOG_LEVEL="loudest", PUBLIC_URL="example.com")
    assert "MAYWE_LOG_LEVEL" in told
    assert "MAYWE_PUBLIC_URL" in told


def test_an_unknown_variable_is_refused_with_the_nearest(monkeypatch):
    assert "MAYWE_DATABSE_URL: there is no such setting; did you mean MAYWE_DATABASE_URL?" in refusal(
        monkeypatch, DATABSE_URL=POSTGRES
    )
    assert "did you mean MAYWE_PREVIOUS_SECRET_KEYS?" in refusal(monkeypatch, PREVIOUS_SECRET_KEY=SECRET)


def test_what_is_not_meant_as_a_setting_is_left_alone(monkeypatch):
    load(
        monkeypatch,
        TEST_DATABASE_URL=POSTGRES,
        SERVICE_HOST="10.0.0.1",
        SERVICE_PORT_HTTP="8000",
        PORT="tcp://10.0.0.1:8000",
        PORT_8000_TCP_ADDR="10.0.0.1",
    )
    assert "did you mean" in refusal(monkeypatch, PORT="8000")


def test_the_first_start_makes_a_key_and_the_next_finds_it(tmp_path):
    settings = Settings(database_url=f"sqlite:///{tmp_path}/new/folder/maywe.db")
    current, previous = settings.key_bytes()
    assert len(current) == 32
    assert previous == []
    assert settings.key_file == tmp_path / "new" / "folder" / "secret.key"
    assert stat.S_IMODE(settings.key_file.stat().st_mode) == 0o600
    assert [path.name for path in settings.key_file.parent.iterdir()] == ["secret.key"]
    assert Settings(database_url=settings.database_url).key_bytes() == (current, [])
    other = Settings(database_url=f"sqlite:///{tmp_path}/other/maywe.db")
    assert other.key_bytes()[0] != current


def test_a_named_key_makes_no_file(tmp_path):
    settings = Settings(database_url=f"sqlite:///{tmp_path}/maywe.db", secret_key=SECRET)
    assert settings.key_bytes() == (KEY, [])
    assert not settings.key_file.exists()


def test_processes_that_start_at_once_agree_on_the_key(tmp_path):
    program = "from app.settings import Settings; print(Settings().key_bytes()[0].hex())"
    environment = {
        **os.environ,
        "MAYWE_DATABASE_URL": f"sqlite:///{tmp_path}/var/maywe.db",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    started = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE) for _ in range(4)
    ]
    printed = {process.communicate(timeout=60)[0] for process in started}
    assert len(printed) == 1
    assert len(bytes.fromhex(printed.pop().decode())) == 32


def test_the_loser_of_a_race_takes_the_winners_key(tmp_path, monkeypatch):
    settings = Settings(database_url=f"sqlite:///{tmp_path}/maywe.db")
    current, _ = settings.key_bytes()
    monkeypatch.setattr(Path, "exists", lambda _path: False)  # as it was when the loser looked
    assert settings.key_bytes() == (current, [])
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_key_file_that_was_lost_is_not_made_anew(tmp_path):
    (tmp_path / "maywe.db").touch()
    with pytest.raises(SettingsError, match=r"secret.key is missing, but .*maywe.db is there: put it back"):
        Settings(database_url=f"sqlite:///{tmp_path}/maywe.db").key_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["maywe.db"]


@pytest.mark.parametrize("content", [b"", b"\n", b"c2hvcnQ=\n", b"\xff\xfe\x00", b"no base64 at all, and not short"])
def test_a_key_file_that_holds_no_key_stops_the_start(tmp_path, monkeypatch, content):
    (tmp_path / "secret.key").write_bytes(content)
    told = refusal(monkeypatch, DATABASE_URL=f"sqlite:///{tmp_path}/maywe.db")
    assert "secret.key holds no secret key; restore it" in told
    assert (tmp_path / "secret.key").read_bytes() == content


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="set MAYWE_SECRET_KEY"):
        Settings(database_url=f"sqlite:///{tmp_path}/file/maywe.db").key_bytes()


def test_the_readme_documents_every_setting_and_its_default():
    table = (Path(__file__).parents[2] / "README.md").read_text("utf-8").partition("## Configuration")[2]
    rows = dict(re.findall(r"^\| `MAYWE_(\w+)` \|.*\| ([^|]*) \|$", table.partition("\n## ")[0], re.MULTILINE))
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name in ("public_url", "log_level", "log_format"):
        assert rows[name.upper()] == f"`{Settings.model_fields[name].default}`"
    unset = {name for name, field in Settings.model_fields.items() if field.default in (None, ())} - {"secret_key"}
    assert all(rows[name.upper()].startswith("none") for name in unset)
