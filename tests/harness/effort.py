"""How long the tests search that could search for ever. `make test` is quick; `make test-thorough` and `make
test-attacks` search longer, with the same assertions."""

import os
from typing import TypeVar

_T = TypeVar("_T")


def effort(quick: _T, thorough: _T) -> _T:
    """The one or the other: how many examples, rounds, seconds."""
    return thorough if os.environ.get("MAYWE_TEST_THOROUGH") else quick
