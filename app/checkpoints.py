"""Signed checkpoints: what an auditor keeps, so that no later chain can pretend to be the one there was."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.ext.asyncio import AsyncConnection

from app import crypto
from app.crypto import Secrets
from app.documents import instant
from app.storage import ledger
from app.storage.ledger import Link, Verification

TYPE = "maywe checkpoint v1"


async def checkpoint(connection: AsyncConnection, secrets: Secrets, *, now: datetime) -> dict[str, Any]:
    """The head of the chain, signed with Ed25519 (RFC 8032) over the canonical JSON of everything but the signature."""
    epoch, head = await ledger.chain_head(connection)
    key = secrets.signing_keys[0]
    told = {
        "type": TYPE,
        "epoch": epoch,
        "position": head.position,
        "digest": head.digest.hex(),
        "signed_at": instant(now, timespec="microseconds"),
        "kid": _key_id(key.public_key()),
    }
    return told | {"signature": _base64url(key.sign(crypto.canonical_json(told)))}


def public_keys(secrets: Secrets) -> list[dict[str, str]]:
    """The keys that check signatures, the current one first, as JSON Web Keys (RFC 8037)."""
    keys = [key.public_key() for key in secrets.signing_keys]
    return [_jwk(key) | {"kid": _key_id(key), "use": "sig", "alg": "EdDSA"} for key in keys]


def _jwk(key: Ed25519PublicKey) -> dict[str, str]:
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(key.public_bytes_raw())}


def _key_id(key: Ed25519PublicKey) -> str:
    """The thumbprint of a key (RFC 7638)."""
    return _base64url(hashlib.sha256(crypto.canonical_json(_jwk(key))).digest())


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def fault_of_signature(secrets: Secrets, shown: dict[str, Any]) -> str | None:
    """What is wrong with a checkpoint before any chain is looked at, if anything."""
    signed = {name: value for name, value in shown.items() if name != "signature"}
    key = next((k for k in (s.public_key() for s in secrets.signing_keys) if _key_id(k) == shown.get("kid")), None)
    if shown.get("type") != TYPE or key is None:
        return "it is no checkpoint signed by a key in use here"
    try:
        key.verify(base64.urlsafe_b64decode(str(shown.get("signature")) + "=="), crypto.canonical_json(signed))
    except (InvalidSignature, ValueError):
        return "its signature is not right: it was altered"
    return None


async def verify_chain(
    connection: AsyncConnection, secrets: Secrets, checkpoints: Sequence[dict[str, Any]]
) -> Verification:
    """Walk the whole chain, and see that it passes through every checkpoint: then each of them was a head of this
    chain, and of two the earlier is contained in the later."""
    epoch, _ = await ledger.chain_head(connection)
    for n, shown in enumerate(checkpoints, start=1):
        fault = fault_of_signature(secrets, shown)
        if fault is None and shown["epoch"] != epoch:
            fault = "it belongs to another history: this database was restored, or is another one"
        if fault is not None:
            return Verification(0, f"checkpoint {n}: {fault}")
    links = [Link(shown["position"], bytes.fromhex(shown["digest"])) for shown in checkpoints]
    return await ledger.verify(connection, through=links)
