"""How the state of a subject is written down: one compact value, the same bytes for the same state."""

import msgspec

from app.decision.model import State

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(State)


def encode(state: State) -> bytes:
    """The state as bytes."""
    return _encoder.encode(state)


def decode(value: bytes) -> State:
    """The state that was encoded."""
    return _decoder.decode(value)
