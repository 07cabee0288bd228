"""A wire between Maywe and PostgreSQL that counts what goes over it, and can be cut at the worst moment."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from psycopg.conninfo import conninfo_to_dict

from tests.harness.service import free_port

Cut = Literal["before the commit arrives", "before its acknowledgement arrives"]


class Wire:
    """The wire. `questions` counts the times the server was asked and waited for; with `cut` set, the next commit
    takes the connection with it."""

    def __init__(self, url: str) -> None:
        self._upstream = conninfo_to_dict(url)
        self.port = free_port()
        parts = urlsplit(url)
        self.url = urlunsplit(parts._replace(netloc=f"postgres@127.0.0.1:{self.port}", query=""))
        self.questions = 0
        self.cut: Cut | None = None
        self._open: set[asyncio.Task[Any]] = set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        server, to_server = await self._reach_server()
        answering = asyncio.create_task(_forward(server, writer))
        try:
            to_server.write(await _first(reader, to_server))
            while True:
                kind, message = await _message(reader)
                self.questions += kind in b"SQ"
                if b"COMMIT\0" in message and self.cut is not None:
                    await self._cut(message, answering, server, to_server)
                    break
                to_server.write(message)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one end has closed it, or the test is over
        finally:
            answering.cancel()
            to_server.close()
            writer.close()

    async def _reach_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = str(self._upstream.get("host") or "127.0.0.1"), int(self._upstream.get("port") or 5432)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _cut(
        self,
        commit: bytes,
        answering: asyncio.Task[None],
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        cut, self.cut = self.cut, None
        if cut == "before its acknowledgement arrives":
            answering.cancel()
            with suppress(asyncio.CancelledError):
                await answering
            to_server.write(commit)
            await server.read(1)  # the server has committed

    async def silence(self) -> int:
        """Wait until nothing more is asked, such as the hint that follows a commit; how often the server was asked."""
        asked = -1
        while asked != self.questions:
            asked = self.questions
            await asyncio.sleep(0.3)
        return asked

    async def close(self) -> None:
        """End every connection."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open)


async def _first(reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> bytes:
    """The messages before a session begins have no type; requests for encryption come first."""
    while True:
        length = await reader.readexactly(4)
        message = length + await reader.readexactly(int.from_bytes(length, "big") - 4)
        if message[4:8] not in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):
            return message
        to_server.write(message)


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(int.from_bytes(head[1:], "big") - 4)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while octets := await reader.read(65536):
            writer.write(octets)
        writer.close()


@asynccontextmanager
async def wire_to(url: str) -> AsyncGenerator[Wire]:
    """A wire to a PostgreSQL database; connect to `wire.url`."""
    wire = Wire(url)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", wire.port)
    try:
        yield wire
    finally:
        server.close()
        await wire.close()
