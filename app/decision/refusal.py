"""Why something was not done: a small tree of errors, each with a slug that callers can rely on. None echoes input."""

from typing import NamedTuple


class Fault(NamedTuple):
    """One thing wrong with a request: where (a JSON pointer), what, and how to mend it."""

    pointer: str
    code: str
    detail: str


class Refusal(Exception):
    """A request that was understood and not carried out. `members` are told beside the detail."""

    def __init__(self, slug: str, detail: str, **members: str) -> None:
        super().__init__(slug)
        self.slug = slug
        self.detail = detail
        self.members = members


class Invalid(Refusal):
    """The request contradicts the catalogue or itself."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(faults[0].code, faults[0].detail)
        self.faults = faults


class Unknown(Refusal):
    """What is named does not exist."""


class Conflicting(Refusal):
    """The request does not go together with what is on file."""


class Erased(Refusal):
    """The subject was erased."""


class Expired(Refusal):
    """What is asked for is kept no longer."""


class Unreadable(Refusal):
    """What was sent is not what this service gave out, or not in a form that can be read."""


class NotReady(Refusal):
    """The answer cannot be known yet."""


class Denied(Refusal):
    """The API key is missing, not valid, or lacks a scope."""
