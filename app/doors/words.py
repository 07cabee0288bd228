"""The words requests are made of: text, instants, jurisdictions, and how a subject is named."""

import re
from datetime import UTC, date, datetime
from math import isfinite
from typing import Annotated, Any, Literal, LiteralString

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictStr,
    Tag,
)
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from app import crypto
from app.addressing import Subject
from app.decision.jurisdictions import COUNTRIES, is_jurisdiction
from app.telling import TYPES

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DEEPEST = 32  # levels of evidence
_LARGEST = 2**53 - 1  # what every reader of JSON reads exactly


class Request(BaseModel):
    """What a caller sends. Unknown fields are refused, so that no typo passes silently."""

    model_config = ConfigDict(extra="forbid")


class Response(BaseModel):
    """What a caller gets."""


def clean(text: str) -> str:
    """Text that a database can keep."""
    if "\x00" in text:
        raise _wrong("invalid-text", "Text has no NUL.")
    return text


def _instant(value: object) -> datetime:
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise _wrong("invalid-time", "A time is text as in RFC 3339, with its zone: 2026-11-20T10:00:00Z.")
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value.upper())).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _wrong("invalid-time", "This is no point in time.") from None


def _date(value: object) -> date:
    try:
        if isinstance(value, str) and _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise _wrong("invalid-date", "A date is text: 2026-11-20.")


def _jurisdiction(code: str) -> str:
    if code == "UK":
        raise _wrong("invalid-jurisdiction", "The code of the United Kingdom is GB.")
    if not is_jurisdiction(code):
        detail = "A jurisdiction is EEA, an ISO 3166-1 alpha-2 code such as DE, or an ISO 3166-2 code such as US-CA."
        raise _wrong("invalid-jurisdiction", detail)
    return code


def _revision(text: str) -> str:
    try:
        crypto.read_revision(text)
    except ValueError:
        raise _wrong("invalid-revision", "This is no revision that this service gave out.") from None
    return text


def _storable(evidence: dict[str, Any]) -> dict[str, Any]:
    """Refuse what could not be kept and given back exactly."""
    waiting: list[tuple[Any, int]] = [(evidence, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST:
            raise _wrong("invalid-evidence", f"Evidence is nested {_DEEPEST} levels deep at most.")
        if isinstance(value, dict):
            waiting += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            waiting += [(part, depth + 1) for part in value]
        else:
            _require_storable(value)
    return evidence


def _require_storable(value: Any) -> None:
    if isinstance(value, str):
        clean(value)
        if not _is_unicode(value):
            raise _wrong("invalid-evidence", "Text has no lone surrogates.")
    elif isinstance(value, float) and not isfinite(value):
        raise _wrong("invalid-evidence", "A number is finite.")
    elif isinstance(value, int) and abs(value) > _LARGEST:
        raise _wrong("invalid-evidence", "A whole number lies within 2^53 (RFC 7493); send larger ones as text.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wrong(code: LiteralString, detail: str) -> PydanticCustomError:
    """Something wrong with a value; the detail never contains it."""
    return PydanticCustomError(code, "{detail}", {"detail": detail})


def _worded(text: str) -> str:
    if not text.strip():
        raise _wrong("blank", "This is more than spaces.")
    return text


Text = Annotated[StrictStr, Field(min_length=1, max_length=512), AfterValidator(clean)]
Words = Annotated[Text, Field(json_schema_extra={"pattern": r"\S"}), AfterValidator(_worded)]  # that somebody reads
Key = Annotated[StrictStr, Field(min_length=1, max_length=128), AfterValidator(clean)]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant, json_schema_input_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Day = Annotated[
    date, BeforeValidator(_date, json_schema_input_type=str), WithJsonSchema({"type": "string", "format": "date"})
]
Jurisdiction = Annotated[
    StrictStr,
    AfterValidator(_jurisdiction),
    WithJsonSchema(
        {"type": "string", "pattern": f"^(EEA|({'|'.join(sorted(COUNTRIES))})(-[A-Z0-9]{{1,3}})?)$", "examples": ["DE"]}
    ),
]
Revision = Annotated[StrictStr, Field(min_length=1, max_length=512), AfterValidator(_revision)]
Evidence = Annotated[dict[str, Any], AfterValidator(_storable)]
LANGUAGE_TAG = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,4}$"
Language = Annotated[StrictStr, Field(pattern=LANGUAGE_TAG, examples=["en"])]
EventType = Literal[TYPES]  # type: ignore[valid-type]  # the words are listed once, where rows are made
Channel = Literal["email", "sms", "post", "phone", "push", "on_site"]
Method = Literal[
    "web_form",
    "app",
    "unsubscribe_link",
    "one_click",
    "preference_centre",
    "sms",
    "email",
    "phone",
    "paper",
    "in_person",
    "import",
    "gpc",
    "api",
]


class Identifier(Request):
    """An identifier under which callers know a subject."""

    type: Key = Field(examples=["customer"])
    id: StrictStr = Field(min_length=1, max_length=512, examples=["c-42"])

    def as_subject(self, pointer: str = "/subject") -> Subject:
        """The subject so named."""
        return Subject(type=self.type, id=self.id, pointer=pointer)


class KnownSubject(Request):
    """A subject by the opaque id it got here."""

    subject_id: Key

    def as_subject(self, pointer: str = "/subject") -> Subject:
        """The subject so named."""
        return Subject(subject_id=self.subject_id, pointer=pointer)


def _naming(value: Any) -> str:
    named = value.get("subject_id") if isinstance(value, dict) else getattr(value, "subject_id", None)
    return "KnownSubject" if named is not None else "Identifier"


NamedSubject = Annotated[
    Annotated[Identifier, Tag("Identifier")] | Annotated[KnownSubject, Tag("KnownSubject")], Discriminator(_naming)
]


class Actor(Request):
    """Who spoke or typed; the reference (a ticket, an agent's number) is kept sealed."""

    kind: Literal["subject", "agent", "guardian", "system"]
    reference: Text | None = None


Flag = StrictBool
