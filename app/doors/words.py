"""The words requests are made of: text, instants, jurisdictions, and how a subject is named."""

import json
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

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

from app.addressing import Subject
from app.decision.jurisdictions import is_jurisdiction

_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class Request(BaseModel):
    """What a caller sends. Unknown fields are refused, so that no typo passes silently."""

    model_config = ConfigDict(extra="forbid")


class Response(BaseModel):
    """What a caller gets."""


def _clean(text: str) -> str:
    if "\x00" in text:
        raise ValueError("NUL is not accepted in text")
    return text


def _instant(value: object) -> datetime:
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError("a time is text as in RFC 3339, with its zone: 2026-11-20T10:00:00Z")
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value.upper())).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("this is no point in time") from None


def _date(value: object) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError("a date is text: 2026-11-20")
    return date.fromisoformat(value)


def _jurisdiction(code: str) -> str:
    if code == "UK":
        raise ValueError("the code of the United Kingdom is GB")
    if not is_jurisdiction(code):
        raise ValueError(
            "a jurisdiction is EEA, an ISO 3166-1 alpha-2 code such as DE, or an ISO 3166-2 code such as US-CA"
        )
    return code


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("evidence is JSON without NaN, infinities and lone surrogates") from None
    if "\x00" in json.dumps(value, ensure_ascii=False) or "\\u0000" in json.dumps(value):
        raise ValueError("NUL is not accepted in text")
    return value


Text = Annotated[StrictStr, Field(min_length=1, max_length=512), AfterValidator(_clean)]
Key = Annotated[StrictStr, Field(min_length=1, max_length=128), AfterValidator(_clean)]
Instant = Annotated[
    datetime,
    BeforeValidator(_instant, json_schema_input_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Day = Annotated[
    date, BeforeValidator(_date, json_schema_input_type=str), WithJsonSchema({"type": "string", "format": "date"})
]
Jurisdiction = Annotated[StrictStr, Field(max_length=6, examples=["DE"]), AfterValidator(_jurisdiction)]
Evidence = Annotated[dict[str, Any], AfterValidator(_storable)]
Language = Annotated[StrictStr, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,4}$", examples=["en"])]
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
