"""The configuration: environment variables with the prefix MAYWE_, read once at the top and passed down."""

import base64
import difflib
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.destinations import Network
from app.placing import drafted, place
from app.validation import sentence

_PREFIX = "MAYWE_"
_MIN_KEY = 32  # octets
_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")
# What Standard Webhooks 1.0.0 proposes, in seconds: a little over three days in all.
WEBHOOK_RETRIES = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_IN_A_HEADER = re.compile(r"[!#-;=?-~]+")  # visible ASCII that ends neither <...> nor "..."
_MAKE_ONE = "make one with: openssl rand -base64 32"
# What Kubernetes and older Docker put into the environment of a container beside a service named "maywe".
_OF_THE_PLATFORM = re.compile(r"MAYWE_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?|NAME)")


class SettingsError(Exception):
    """Maywe cannot start with this configuration. The message says what to do, and holds no value that was given."""


class Settings(BaseSettings):
    """How this instance runs. `load_settings` reads it; tests and commands may construct it."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    # It may hold a password, so it is not shown.
    database_url: str = Field(default=f"{_SQLITE}var/maywe.db", repr=False)
    secret_key: SecretStr | None = None
    previous_secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    public_url: str = "http://127.0.0.1:8000"  # without a slash at its end
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    unsubscribe_mailbox: str | None = None  # the address of the mailto: in List-Unsubscribe
    sms_stop_words: Annotated[tuple[str, ...], NoDecode] = ()  # beside the known ones
    decision_log_days: Annotated[int, Field(ge=0, le=36_500)] = 0  # how long answers are kept; 0: none are
    decision_log_yeses: Annotated[float, Field(ge=0, le=1)] = 0.01  # the share kept of yeses that need not be
    metrics_address: str | None = None  # host:port on which /metrics is served; None: nowhere
    webhook_networks: Annotated[tuple[Network, ...], NoDecode] = ()  # where webhooks may go beside public addresses
    webhook_retries: Annotated[tuple[float, ...], NoDecode] = WEBHOOK_RETRIES  # seconds between attempts

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, url: str) -> str:
        if url.startswith(_SQLITE):
            if url == _SQLITE or any(mark in url for mark in "?#") or ":memory:" in url:
                raise ValueError(f"{_SQLITE} is followed by the path of a file, without options")
        elif not url.startswith(_POSTGRES):
            raise ValueError("give sqlite:///path/file.db or postgresql://user@host/database")
        else:
            _check_postgres(url)
        return url

    @field_validator("secret_key")
    @classmethod
    def _check_secret_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None:
            _decode(key.get_secret_value())
        return key

    @field_validator("previous_secret_keys", "sms_stop_words", mode="before")
    @classmethod
    def _split(cls, words: object) -> object:
        return tuple(words.split(",")) if isinstance(words, str) else words

    @field_validator("previous_secret_keys")
    @classmethod
    def _check_previous_secret_keys(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in keys:
            _decode(key.get_secret_value())
        return keys

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, url: str) -> str:
        if not _is_public(url):
            raise ValueError("give the https:// address under which people reach this server, no more")
        return url.rstrip("/")

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, word: object) -> object:
        return word.lower() if isinstance(word, str) else word

    @field_validator("unsubscribe_mailbox")
    @classmethod
    def _check_mailbox(cls, mailbox: str | None) -> str | None:
        if mailbox is not None and not re.fullmatch(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+", mailbox):
            raise ValueError("give one e-mail address, such as unsubscribe@example.com")
        return mailbox

    @field_validator("metrics_address")
    @classmethod
    def _check_metrics_address(cls, address: str | None) -> str | None:
        if address is None:
            return None
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", address)
        if found is None or int(found[2]) > 65535:
            raise ValueError("give host:port, such as 127.0.0.1:9464")
        return address

    @field_validator("webhook_networks", mode="before")
    @classmethod
    def _read_networks(cls, given: object) -> object:
        try:
            return tuple(ip_network(word.strip()) for word in given.split(",")) if isinstance(given, str) else given
        except ValueError:
            raise ValueError("give networks in CIDR form, with commas, such as 10.20.0.0/16") from None

    @field_validator("webhook_retries", mode="before")
    @classmethod
    def _read_retries(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        words = [word.strip() for word in given.split(",")]
        if not all(re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,3})?", word) for word in words):
            raise ValueError("give the seconds between attempts, with commas, such as 5,300,1800")
        return tuple(map(float, words))

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is embedded."""
        return self.database_url.startswith(_SQLITE)

    @property
    def sqlite_path(self) -> Path:
        """The file of an embedded database. Raises ValueError if it is not embedded."""
        if not self.is_sqlite:
            raise ValueError("the database is no file")
        return Path(self.database_url.removeprefix(_SQLITE))

    @property
    def key_file(self) -> Path:
        """Where the secret key of an embedded database is kept when the environment names none."""
        return self.sqlite_path.parent / "secret.key"

    def key_bytes(self) -> tuple[bytes, list[bytes]]:
        """The current secret key and the previous ones, each of 32 octets or more.

        Makes the key file of an embedded database that is yet to be made, if neither it nor MAYWE_SECRET_KEY is there.
        Raises SettingsError.
        """
        previous = [_decode(key.get_secret_value()) for key in self.previous_secret_keys]
        if self.secret_key is not None:
            return _decode(self.secret_key.get_secret_value()), previous
        if not self.is_sqlite:
            raise SettingsError(f"MAYWE_SECRET_KEY: required on PostgreSQL; {_MAKE_ONE}")
        try:
            if not (self.sqlite_path.exists() or self.key_file.exists()):  # in this order: others make the key first
                _make_key_file(self.key_file)
            return _read_key_file(self.key_file), previous
        except FileNotFoundError:
            detail = f"{self.key_file} is missing, but {self.sqlite_path} is there"
            raise SettingsError(f"{detail}: put it back, or set MAYWE_SECRET_KEY") from None
        except OSError as error:
            detail = f"{self.key_file} cannot be made or read ({error.strerror}); make it so, or set MAYWE_SECRET_KEY"
            raise SettingsError(detail) from None


def load_settings() -> Settings:
    """The settings of this process's environment, complete and usable. Raises SettingsError.

    The key file of an embedded database is not made yet, but one that is there is read.
    """
    _refuse_unknown(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [f"{_PREFIX}{str(e['loc'][0]).upper()}: {_sentence(dict(e))}" for e in error.errors()]
        raise SettingsError("\n".join(dict.fromkeys(lines))) from None
    if settings.secret_key is not None or not settings.is_sqlite or settings.key_file.exists():
        settings.key_bytes()
    return settings


def _check_postgres(url: str) -> None:
    """Raise ValueError for what libpq cannot read; its own words would repeat a password."""
    try:
        conninfo_to_dict(url)
    except ProgrammingError:
        detail = "this is no URL of PostgreSQL; write @ : / ? # % in a name or password as %40 %3A %2F %3F %23 %25"
        raise ValueError(detail) from None


def _sentence(error: dict[str, Any]) -> str:
    own = error["type"] == "value_error"
    return str(error["msg"]).removeprefix("Value error, ") if own else sentence(error)


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = sorted(_PREFIX + name.upper() for name in Settings.model_fields)
    lines = [
        f"{name}: there is no such setting; did you mean {_nearest(name.upper(), known)}?"
        for name in sorted(environment)
        if name.upper().startswith(_PREFIX) and name.upper() not in known and not _is_foreign(name, environment[name])
    ]
    if lines:
        raise SettingsError("\n".join([*lines, f"The settings are: {', '.join(known)}"]))


def _is_foreign(name: str, value: str) -> bool:
    """Whether a variable is meant for the tests, or was put there by the platform."""
    of_the_platform = _OF_THE_PLATFORM.fullmatch(name) or (name == "MAYWE_PORT" and "://" in value)
    return name.upper().startswith("MAYWE_TEST_") or bool(of_the_platform)


def _nearest(name: str, known: Iterable[str]) -> str:
    return max(known, key=lambda candidate: difflib.SequenceMatcher(None, name, candidate).ratio())


def _is_public(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError when it is no port
    except ValueError:
        return False
    has_more = any(mark in url for mark in "?#@")
    # Mail clients post to https only (RFC 8058, 3.1); without it, this machine alone is reached.
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    return bool(_IN_A_HEADER.fullmatch(url)) and bool(parts.hostname) and is_safe and not has_more


def _decode(text: str) -> bytes:
    """The octets of a secret key in base64, standard or URL-safe, with or without padding. Raises ValueError."""
    text = text.strip()
    if not text:
        raise ValueError(f"a key is empty; {_MAKE_ONE} (or leave the variable out)")
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except ValueError:
        key = None
    if key is None:
        raise ValueError(f"a key is not base64; {_MAKE_ONE}")
    if len(key) < _MIN_KEY:
        raise ValueError(f"a key is shorter than 32 octets; {_MAKE_ONE}")
    return key


def _make_key_file(file: Path) -> None:
    """Make a key file of a new random key, whole or not at all; where two processes do, the first one's stays."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with drafted(file) as draft:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(base64.b64encode(secrets.token_bytes(_MIN_KEY)) + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
        place(draft, file)


def _read_key_file(file: Path) -> bytes:
    try:
        return _decode(file.read_text("ascii"))
    except ValueError:
        detail = "holds no secret key; restore it from a backup, or set MAYWE_SECRET_KEY"
        raise SettingsError(f"{file} {detail}") from None
