"""What proves what happened: receipts for people, signed checkpoints for auditors."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response as HttpResponse

from app import checkpoints, receipts
from app.doors.dependencies import TheReading, TheStore, encoded, scoped
from app.doors.problems import responses
from app.doors.strict import StrictRoute
from app.doors.words import Instant, Response

router = APIRouter(route_class=StrictRoute, tags=["proof"])

EventId = Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+$", examples=["evt_q7n3"])]


class ReceiptController(Response):
    """Who is responsible."""

    name: str
    address: str | None
    contact: str | None


class ReceiptPurpose(Response):
    """What the data is used for, in the words of the notice."""

    key: str
    title: str | None
    description: str | None
    data_categories: list[str]


class ReceiptNotice(Response):
    """The notice that was agreed to; `sha256` is that of its text in the language."""

    version: str
    title: str | None
    url: str | None
    sha256: str | None


class Withdrawal(Response):
    """How to say no."""

    contact: str | None
    notice_url: str | None
    statement: str


class ChainPlace(Response):
    """Where the event stands. `digest` is SHA-256 over "maywe chain v1", an octet 0, the octets of `previous_digest`
    and those of `entry`."""

    epoch: str
    position: int
    digest: str
    previous_digest: str
    entry: str


class ReceiptResponse(Response):
    """What was recorded: about whom, by whom, for what, on what basis, when and how, in which words."""

    format: str
    event_id: str
    type: str
    subject_id: str
    controller: ReceiptController | None
    purpose: ReceiptPurpose | None
    channel: str | None
    scope: str | None
    basis: str | None
    explicit: bool
    notice: ReceiptNotice | None
    wording: Any
    method: str | None
    actor: str | None
    language: str | None
    occurred_at: Instant
    recorded_at: Instant
    withdrawal: Withdrawal
    evidence: dict[str, Any] | None
    chain: ChainPlace


class CheckpointResponse(Response):
    """The head of the chain, signed. `signature` is Ed25519 over the canonical JSON (keys sorted, no spaces, UTF-8) of
    everything else, in base64url."""

    type: str
    epoch: str
    position: int
    digest: str
    signed_at: Instant
    kid: str
    signature: str


class PublicKey(Response):
    """A key that checks signatures (RFC 8037)."""

    crv: str
    kty: str
    x: str
    kid: str
    use: str
    alg: str


class KeysResponse(Response):
    """A JSON Web Key set (RFC 7517), the current key first."""

    keys: list[PublicKey]


@router.get(
    "/v1/events/{event_id}/receipt",
    response_model=ReceiptResponse,
    summary="The receipt of an event",
    tags=["subjects"],
    dependencies=[scoped("subjects:read")],
    responses=responses(401, 403, 404, 410, 422, 503),
)
async def receipt(event_id: EventId, reading: TheReading) -> HttpResponse:
    """For the person it is about; `maywe verify --receipt` checks it against the chain."""
    async with reading.begin() as (connection, _):
        return encoded(await receipts.receipt(connection, reading.store, event_id))


@router.get(
    "/v1/ledger/checkpoint",
    response_model=CheckpointResponse,
    summary="The head of the chain, signed",
    responses=responses(401, 503),
)
async def checkpoint(reading: TheReading) -> HttpResponse:
    """For an auditor to keep, with a key of any scope; `maywe verify --checkpoint` sees that the chain passes it."""
    async with reading.begin() as (connection, _):
        return encoded(await checkpoints.checkpoint(connection, reading.store.secrets, now=reading.now))


@router.get(
    "/.well-known/maywe-keys",
    response_model=KeysResponse,
    summary="The keys that check checkpoints",
    response_description="A JSON Web Key set",
)
async def public_keys(store: TheStore) -> HttpResponse:
    """Open to all."""
    headers = {"Cache-Control": "public, max-age=3600"}
    return encoded({"keys": checkpoints.public_keys(store.secrets)}, headers=headers)
