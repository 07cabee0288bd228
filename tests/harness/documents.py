"""YAML files of the tests, read by the parser in C where there is one: the other takes a second for some of them."""

from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str | bytes) -> Any:
    """What a text in YAML says."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506  a safe loader
