"""The terms of the W3C Data Privacy Vocabulary, and which of them a document uses."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TERMS = set((Path(__file__).parent / "dpv_terms.txt").read_text().split())  # of DPV 2.3
_CURIE = re.compile(r"(dpv|pd|eu-gdpr|tech):\S+")


def terms(value: Any) -> Iterator[str]:
    """Every term of the vocabulary in a document, keys as well as values."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key != "@context":
                yield from terms(key)
                yield from terms(item)
    elif isinstance(value, list):
        for item in value:
            yield from terms(item)
    elif isinstance(value, str) and _CURIE.fullmatch(value):
        yield value
