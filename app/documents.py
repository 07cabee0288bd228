"""Reading JSON and YAML strictly: each name once in an object, no aliases, no NaN. What one reader would take for this
and another for that is refused."""

import json
from typing import Any

import yaml


class Unreadable(ValueError):
    """The text is not what it is said to be, or ambiguous."""


def read_json(octets: bytes) -> Any:
    """The value of a JSON text in UTF-8 (RFC 8259, names unique as in RFC 7493). Raises Unreadable."""
    try:
        return json.loads(octets.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Unreadable from error


def read_yaml(octets: bytes) -> Any:
    """The value of a YAML text, made of what JSON has too, and dates. Raises Unreadable."""
    try:
        return yaml.load(octets, Loader=_Loader)  # noqa: S506  a safe loader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise Unreadable from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise Unreadable("a name occurs twice in an object")
    return read


def _no_number(_constant: str) -> Any:
    raise Unreadable("NaN and infinities are no JSON")


class _Loader(yaml.SafeLoader):
    """Safe, with every name once, and without aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not accepted")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        read = super().construct_mapping(node, deep)
        if len(read) != len(node.value):
            raise yaml.YAMLError("a name occurs twice in a mapping")
        return read
