"""Answers that are longer than memory: newline-delimited JSON, whose last line says that it is the last."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Send

MEDIA_TYPE = "application/x-ndjson"

_encoder = msgspec.json.Encoder()


class NdjsonResponse(StreamingResponse):
    """Sends what a generator yields. When the generator fails, or the reader goes, the last line is missing."""

    def __init__(self, lines: AsyncGenerator[bytes]) -> None:
        super().__init__(lines, media_type=MEDIA_TYPE)
        self._lines = lines

    async def stream_response(self, send: Send) -> None:
        """Send everything, and let the generator give back what it holds, whatever happens."""
        async with aclosing(self._lines):
            await super().stream_response(send)


async def streamed(lines: AsyncGenerator[bytes]) -> NdjsonResponse:
    """The answer made of a generator. Its first item is not sent: until there the generator may refuse, and that is
    answered as any refusal."""
    await anext(lines)
    return NdjsonResponse(lines)


def encode_lines(items: Iterable[Any]) -> bytes:
    """Items as lines."""
    return _encoder.encode_lines(items)
