"""A receiver of webhooks on loopback, as a service would run one: real sockets, and answers as a test wants them."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from standardwebhooks import Webhook

from tests.harness.service import Maywe


class Message(NamedTuple):
    """What was posted."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        """The row."""
        told: dict[str, Any] = json.loads(self.body)["data"]
        return told

    def verified(self, secret: str) -> Any:
        """What it says, after the library that receivers use has verified it."""
        return Webhook(secret).verify(self.body, self.headers)


class Answer(NamedTuple):
    """What is answered."""

    status: int = 204
    headers: dict[str, str] = {}  # noqa: RUF012  never changed
    body: bytes = b""
    is_endless: bool = False


class Receiver:
    """Keeps what it is posted, and what it accepted. `answer` may be a coroutine that takes its time."""

    def __init__(self, scheme: str, port: int) -> None:
        self.url = f"{scheme}://127.0.0.1:{port}/hook"
        self.port = port
        self.connections = 0
        self.got: list[Message] = []
        self.accepted: list[Message] = []
        self.answer: Callable[[Message], Awaitable[Answer]] = self._accept

    async def _accept(self, _message: Message) -> Answer:
        return Answer()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                message = await _read(head.decode(), reader)
                self.got.append(message)
                answer = await self.answer(message)
                writer.write(_written(answer))
                await writer.drain()
                if 200 <= answer.status < 300:
                    self.accepted.append(message)
                while answer.is_endless:
                    writer.write(b"x" * 65536)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def until(self, count: int, seconds: float = 20) -> list[Message]:
        """The accepted messages, as soon as there are so many."""
        await until(lambda: len(self.accepted) >= count, seconds)
        return self.accepted


async def _read(head: str, reader: asyncio.StreamReader) -> Message:
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    method, path, _ = first.split(" ")
    assert method == "POST"
    return Message(path, headers, await reader.readexactly(int(headers["content-length"])))


def _written(answer: Answer) -> bytes:
    length = {} if answer.is_endless else {"Content-Length": str(len(answer.body))}
    lines = [f"HTTP/1.1 {answer.status} Told", *(f"{n}: {v}" for n, v in {**answer.headers, **length}.items())]
    return "\r\n".join([*lines, "", ""]).encode() + answer.body


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Return as soon as a condition holds; fail after so many seconds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what is waited for happens elsewhere
            await asyncio.sleep(0.01)


@asynccontextmanager
async def receiving(context: ssl.SSLContext | None = None) -> AsyncGenerator[Receiver]:
    """A receiver that listens."""
    receiver: Receiver
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await receiver.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    receiver = Receiver("http" if context is None else "https", server.sockets[0].getsockname()[1])
    try:
        yield receiver
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def hook(maywe: Maywe, url: str, **more: Any) -> dict[str, Any]:
    """A new webhook, with its secret."""
    answer = await maywe.http.post("/v1/webhooks", json={"url": url, **more})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def told(maywe: Maywe, made: dict[str, Any]) -> dict[str, Any]:
    """A webhook as it is now."""
    answer = await maywe.http.get(f"/v1/webhooks/{made['webhook_id']}")
    assert answer.status_code == 200, answer.text
    read: dict[str, Any] = answer.json()
    return read


async def act(maywe: Maywe, made: dict[str, Any], what: str, status: int = 200, **body: Any) -> dict[str, Any]:
    """Pause, resume, rotate, replay."""
    content = {} if what == "pause" else {"json": body}
    answer = await maywe.http.post(f"/v1/webhooks/{made['webhook_id']}/{what}", **content)
    assert answer.status_code == status, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def becomes(maywe: Maywe, made: dict[str, Any], seconds: float = 20, **expected: Any) -> dict[str, Any]:
    """A webhook, as soon as it is as expected."""
    async with asyncio.timeout(seconds):
        while True:
            now = await told(maywe, made)
            if {name: now[name] for name in expected} == expected:
                return now
            await asyncio.sleep(0.05)


async def object_to(maywe: Maywe, person: str, times: int = 1) -> None:
    """Let a customer change their mind about a purpose so often, a row each."""
    for n in range(times):
        choice = "object" if n % 2 == 0 else "withdraw_objection"
        await maywe.choose({"type": "customer", "id": person}, {"purpose": "improvement", "choice": choice})
