"""The way in front of the framework, for single questions in which everything is in order: the same caller, the same
rules, the same answer. Whatever is not in order, or goes wrong, is left to the framework behind it."""

import logging
import time
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from app import metrics
from app.addressing import Subject
from app.asking import Asked, ask
from app.decision.jurisdictions import is_jurisdiction
from app.decision.model import Question
from app.decision.refusal import Invalid
from app.decision_log import Answered
from app.doors.answers import noted, once, told
from app.doors.dependencies import Caller
from app.doors.edge import identify, request_id_of, trace_of
from app.telemetry import tell

PATH = "/v1/check"
_READ = frozenset({b"authorization", b"content-type", b"traceparent", b"x-request-id"})
_LONGEST = 16 * 1024  # octets
_log = logging.getLogger("maywe.access")

_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class _Identifier(msgspec.Struct, forbid_unknown_fields=True):
    type: _Key
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of CheckRequest that most questions have."""

    subject: _Identifier
    purpose: _Key
    data_categories: Annotated[list[_Key], msgspec.Meta(min_length=1, max_length=200)] | None = None
    channel: _Key | None = None
    recipient: _Key | None = None
    jurisdiction: str | None = None
    operation: Literal["use", "store", "disclose"] = "use"
    automated: bool = False
    gpc: bool = False
    data_collected_at: None = None
    as_of: None = None
    at_least: None = None
    explain: Literal[False] = False


class Application(FastAPI):
    """The application, with the short way in front of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live from start to end."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await super().__call__(scope, receive, send)
            return
        started = time.perf_counter()
        messages, body = await _received(receive)
        answer = None if body is None else await self._answer(scope, body)
        if answer is None:
            await super().__call__(scope, _again(messages, receive), send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})
        seconds = time.perf_counter() - started
        metrics.count_request("POST", PATH, 200, seconds)
        tell(
            _log, "request", method="POST", route=PATH, status=200, duration_ms=round(seconds * 1000, 3), **answer.note
        )

    async def _answer(self, scope: Scope, body: bytes) -> "_Answer | None":
        """The answer; None if that is for the framework to find."""
        sent, asked = _headers(scope), read_question(body)
        if sent is None or asked is None:
            return None
        store, now = self.state.store, self.state.clock()
        try:
            key = identify(store, sent.get(b"authorization", ""))
            if key is None or "check" not in key.scopes:
                return None
            answers = await ask(store, [asked], now=now)
            caller = Caller(key, store, self.state.decision_log)
            await caller.confirm(None, answers.head, now)
        except Exception:  # noqa: BLE001  what goes wrong here goes wrong again behind, where it is answered and told
            return None
        decision = answers.decisions[0]
        if isinstance(decision, Invalid):
            return None
        note = noted(caller, answers, [Answered(decision, asked.question, answers.subject_ids[0])], now)
        content = told(decision, asked, answers.catalogue)
        told_so = msgspec.json.encode(content | once(answers, decision.catalogue_version, now, note))
        request_id = request_id_of(sent.get(b"x-request-id", ""))
        note |= {"key_id": key.key_id, "request_id": request_id, **trace_of(sent.get(b"traceparent", ""))}
        return _Answer(told_so, _headers_of(told_so, request_id), note)


class _Answer(NamedTuple):
    body: bytes
    headers: list[tuple[bytes, bytes]]
    note: dict[str, Any]


def _headers(scope: Scope) -> dict[bytes, str] | None:
    """The headers that matter; None if the request has parameters, repeats one, or does not say in the usual words that
    it is JSON."""
    sent: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            if name in sent:
                return None
            sent[name] = value.decode("latin-1")
    return sent if not scope["query_string"] and sent.get(b"content-type") == "application/json" else None


def read_question(body: bytes) -> Asked | None:
    """The question in a body; None unless it certainly is one that CheckRequest takes and reads the same."""
    if b"\\" in body:
        return None  # an escape may hide a quote, a NUL or a lone surrogate
    try:
        value = msgspec.json.decode(body)
        read = msgspec.convert(value, _Body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if body.count(b'"') != _quotes(value) or not (read.jurisdiction is None or is_jurisdiction(read.jurisdiction)):
        return None
    categories = read.data_categories
    question = Question(
        purpose=read.purpose,
        data_categories=None if categories is None else tuple(dict.fromkeys(categories)),
        channel=read.channel,
        recipient=read.recipient,
        jurisdiction=read.jurisdiction,
        operation=read.operation,
        automated=read.automated,
        gpc=read.gpc,
    )
    return Asked(Subject(read.subject.type, read.subject.id), question)


def _quotes(value: Any) -> int:
    """How many quotation marks a value has as JSON. One that was read from more named something twice."""
    if isinstance(value, str):
        return 2
    if isinstance(value, dict):
        return sum(2 + _quotes(item) for item in value.values())
    return sum(map(_quotes, value)) if isinstance(value, list) else 0


def _headers_of(body: bytes, request_id: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-length", b"%d" % len(body)),
        (b"content-type", b"application/json"),
        (b"x-request-id", request_id.encode("latin-1")),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
    ]


async def _received(receive: Receive) -> tuple[list[Message], bytes | None]:
    """What came in, and the body it makes; None if it is not whole, or longer than a question is."""
    messages = [await receive()]
    body: bytes = messages[0].get("body", b"")
    while messages[-1].get("more_body", False) and len(body) <= _LONGEST:
        messages.append(await receive())
        body += messages[-1].get("body", b"")
    is_whole = messages[-1]["type"] == "http.request" and len(body) <= _LONGEST
    return messages, body if is_whole else None


def _again(messages: list[Message], receive: Receive) -> Receive:
    """What receives some messages once more before the rest."""
    waiting = iter(messages)

    async def receive_again() -> Message:
        return next(waiting, None) or await receive()

    return receive_again
