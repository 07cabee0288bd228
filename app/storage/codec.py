"""How the state of a subject is written down: whole, and what of it answers about now depend on, of which only the part
about one purpose is read. The same bytes for the same state."""

from datetime import datetime

import msgspec

from app.decision.model import Event, State
from app.decision.present import Present

_encoder = msgspec.msgpack.Encoder()
_whole = msgspec.msgpack.Decoder(State)


class _Part(msgspec.Struct, array_like=True):
    """What was said about one purpose; `lost` as in `Present.shortened`."""

    events: list[Event]
    lost: bool | None = None


class _Parts(msgspec.Struct, array_like=True):
    """A present state: the parts about single purposes stay encoded until they are asked for."""

    subject_id: str
    versions: int
    latest: datetime | None
    side: str
    scopes: list[Event]
    facts: list[Event]
    sides: dict[str, str]
    erasures: list[datetime]
    erased_at: datetime | None
    purposes: dict[str, bytes]


_parts = msgspec.msgpack.Decoder(_Parts)
_part = msgspec.msgpack.Decoder(_Part)


def encode(state: State) -> bytes:
    """The state as bytes."""
    return _encoder.encode(state)


def decode(value: bytes) -> State:
    """The state that was encoded."""
    return _whole.decode(value)


def encode_present(present: Present) -> bytes:
    """What answers about now depend on, as bytes."""
    state = present.state
    purposes = {
        purpose: _encoder.encode(_Part(events, present.shortened.get(purpose)))
        for purpose, events in state.by_purpose.items()
    }
    return _encoder.encode(
        _Parts(
            state.subject_id,
            present.versions,
            present.latest,
            state.side,
            state.scopes,
            state.facts,
            state.sides,
            state.erasures,
            state.erased_at,
            purposes,
        )
    )


def decode_present(value: bytes, purpose: str | None = None) -> Present:
    """What answers about now depend on, as far as one purpose goes; with None all of it."""
    parts = _parts.decode(value)
    asked = parts.purposes if purpose is None else {purpose} & parts.purposes.keys()
    by_purpose, shortened = {}, {}
    for key in asked:
        part = _part.decode(parts.purposes[key])
        by_purpose[key] = part.events
        if part.lost is not None:
            shortened[key] = part.lost
    state = State(
        subject_id=parts.subject_id,
        side=parts.side,
        by_purpose=by_purpose,
        scopes=parts.scopes,
        facts=parts.facts,
        sides=parts.sides,
        erasures=parts.erasures,
        erased_at=parts.erased_at,
    )
    return Present(state, shortened, parts.versions, parts.latest)
