"""Reading JSON and YAML strictly: each name once in an object, no aliases, no NaN. What one reader would take for this
and another for that is refused, saying where. And mails, of which something is to be read whatever they are like."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from email import message_from_bytes
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any, TypeVar

import yaml

from app.decision.refusal import Unreadable

_T = TypeVar("_T")
_BOOLEAN = "tag:yaml.org,2002:bool"


def read_json(octets: bytes) -> Any:
    """The value of a JSON text in UTF-8 (RFC 8259, names unique as in RFC 7493). Raises Unreadable."""
    try:
        return json.loads(octets.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _unreadable("The text is no JSON.") from error


def read_yaml(octets: bytes) -> Any:
    """The value of a YAML text, made of what JSON has too, and dates. Raises Unreadable."""
    try:
        return yaml.load(octets, Loader=_Loader)  # noqa: S506  a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        said = str(error.problem) if isinstance(error, _Ambiguous) else "The text is no YAML"
        raise _unreadable(f"{said}{place}.", is_yaml=True) from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _unreadable("The text is no YAML.", is_yaml=True) from error


def read_document(octets: bytes, *, is_yaml: bool) -> dict[str, Any]:
    """An object from JSON or YAML text. Raises Unreadable."""
    document = read_yaml(octets) if is_yaml else read_json(octets)
    try:
        written(document)
    except (ValueError, TypeError, RecursionError) as error:
        raise _unreadable("The text holds what JSON has no words for.", is_yaml=is_yaml) from error
    if not isinstance(document, dict):
        raise _unreadable("The text is no object.", is_yaml=is_yaml)
    return document


def written(document: object) -> str:
    """A document as JSON; dates as YAML knows them become text."""
    json.dumps(document, default=_plain, ensure_ascii=False).encode()  # lone surrogates are no text
    return json.dumps(document, default=_plain, allow_nan=False)


def instant(at: datetime, *, timespec: str = "auto") -> str:
    """An instant in UTC as documents have it: RFC 3339 with Z."""
    return at.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError("not a value of JSON")


def _unreadable(detail: str, *, is_yaml: bool = False) -> Unreadable:
    return Unreadable("unreadable-yaml" if is_yaml else "unreadable-json", detail)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise _unreadable("A name stands twice in one object.")
    return read


def _no_number(_constant: str) -> Any:
    raise _unreadable("NaN and infinities are no JSON.")


class _Ambiguous(yaml.MarkedYAMLError):
    """Well-formed, and not accepted."""


class _Loader(yaml.SafeLoader):
    """Safe; without aliases, of which a few lines can stand for gigabytes; names are text and stand once; booleans are
    those of YAML 1.2, so that Norway stays NO."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # untyped in the stubs
            raise _Ambiguous(problem="Aliases are not accepted", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise _Ambiguous(problem="A name that is no text stands", problem_mark=key.start_mark)
            if name in seen:
                raise _Ambiguous(problem="A name stands for the second time", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOLEAN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))


def read_message(raw: bytes, read: Callable[[Message], _T]) -> _T:
    """What is read of a mail; of one whose parts lie within parts without end, what its headers alone say."""
    try:
        return read(message_from_bytes(raw))
    except RecursionError:
        return read(BytesHeaderParser().parsebytes(raw))
