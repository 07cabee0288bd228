"""Posts messages to webhooks: signed (Standard Webhooks 1.0.0), only to addresses that were looked at, and told apart
by what became of them."""

import asyncio
import base64
import contextlib
import hmac
import socket
import ssl
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import NamedTuple
from urllib.parse import urlsplit

import httpcore
import httpx

from app.destinations import Destinations

_PATIENCE = 20.0  # seconds from looking up the name to the status
_PER_ADDRESS = 5.0  # seconds until the next address of a name is tried
_ANSWER_READ = 16 * 1024  # octets of an answer's content; nothing in it is looked at
_ANSWER_TIME = 1.0  # seconds to read it in
_IDLE = 2.0  # seconds that a connection is kept for the next message
_LONGEST_PAUSE = 3600.0  # seconds of a Retry-After that are honoured
_GONE = 410
_FAILURES = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


class Message(NamedTuple):
    """What is posted; the id stays the same when it is posted again."""

    id: str
    body: bytes
    secrets: Sequence[bytes]  # each signs it


class Outcome(NamedTuple):
    """What became of a message: accepted, refused, gone, timeout, unreachable, tls or forbidden-address."""

    word: str
    status: int | None = None
    retry_after: float | None = None  # seconds

    @property
    def told(self) -> str:
        """The outcome of a failure, in short."""
        return self.word if self.status is None else f"status {self.status}"


ACCEPTED = "accepted"
GONE = "gone"


class Forbidden(Exception):
    """A name leads only to addresses that webhooks are not sent to."""


class Poster:
    """Posts over connections that it keeps for a moment. Follows no redirect, uses no proxy, keeps no cookie."""

    def __init__(self, destinations: Destinations) -> None:
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=httpx.create_ssl_context() if scheme == "https" else None,
                max_connections=None,
                keepalive_expiry=_IDLE,
                network_backend=_Guard(destinations, scheme),
            )
            for scheme in ("https", "http")
        }
        self._agent = f"maywe/{version('maywe')}"

    async def post(self, url: str, message: Message) -> Outcome:
        """Post a message once, and say what became of it; never raises for what the other side does."""
        about = {"Content-Type": "application/json", "User-Agent": self._agent}
        headers = [*about.items(), *signed(message, datetime.now(UTC)).items()]
        pool = self._pools[urlsplit(url).scheme]
        try:
            async with contextlib.AsyncExitStack() as opened:
                async with asyncio.timeout(_PATIENCE):
                    answer = pool.stream("POST", url, headers=headers, content=message.body)
                    response = await opened.enter_async_context(answer)
                await _drain(response)
        except (TimeoutError, httpcore.TimeoutException):
            return Outcome("timeout")
        except Forbidden:
            return Outcome("forbidden-address")
        except _FAILURES as error:
            return Outcome("tls" if _is_of_tls(error) else "unreachable")
        return _outcome(response.status, response.headers)

    async def close(self) -> None:
        """End every connection."""
        for pool in self._pools.values():
            await pool.aclose()


def signed(message: Message, at: datetime) -> dict[str, str]:
    """The headers of a message posted at some time: a signature for each secret (Standard Webhooks 1.0.0)."""
    timestamp = str(int(at.timestamp()))
    content = b".".join([message.id.encode(), timestamp.encode(), message.body])
    signatures = [base64.b64encode(hmac.digest(secret, content, "sha256")).decode() for secret in message.secrets]
    return {
        "webhook-id": message.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


async def _drain(response: httpcore.Response) -> None:
    """Read a short answer to its end, so that the connection can serve again; a long or slow one is left."""
    read = 0
    with contextlib.suppress(TimeoutError, httpcore.TimeoutException, *_FAILURES):
        async with asyncio.timeout(_ANSWER_TIME):
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > _ANSWER_READ:
                    break


def _outcome(status: int, headers: Iterable[tuple[bytes, bytes]]) -> Outcome:
    """2xx is acceptance, and nothing else is."""
    if 200 <= status < 300:
        return Outcome(ACCEPTED, status)
    if status == _GONE:
        return Outcome(GONE, status)
    said = next((value.decode("latin-1") for name, value in headers if name.lower() == b"retry-after"), None)
    return Outcome("refused", status, None if said is None else read_retry_after(said, datetime.now(UTC)))


def read_retry_after(text: str, now: datetime) -> float | None:
    """The seconds of a Retry-After (RFC 9110, 10.2.3), an hour at most; None if it is none."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(0.0, (until - now).total_seconds()), _LONGEST_PAUSE)


class _Guard(httpcore.AsyncNetworkBackend):
    """Connects to the very addresses that were looked at: a name that leads elsewhere a moment later leads nowhere.
    TLS, begun after that, still asks for the certificate of the name."""

    def __init__(self, destinations: Destinations, scheme: str) -> None:
        self._destinations = destinations
        self._scheme = scheme
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the name is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address of a name that answers. Raises Forbidden, httpcore's ConnectError."""
        failure: Exception = Forbidden()
        patience = _PER_ADDRESS if timeout is None else timeout
        for address in self._destinations.among(await _resolve(host, port), self._scheme):
            try:
                return await self._network.connect_tcp(address, port, patience, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the latter: labels that no name has
        raise httpcore.ConnectError from error
    return [str(address[0]) for *_, address in found]
