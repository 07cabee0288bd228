"""Signed checkpoints: kept by an auditor, they show whether the chain is still the one there was."""

import base64
import json
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.harness.service import Maywe, command_here

WITHDRAW = {"purpose": "offers", "channel": "email", "choice": "withdraw"}


def octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


async def checkpoint(maywe: Maywe) -> dict[str, Any]:
    answer = await maywe.http.get("/v1/ledger/checkpoint")
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


async def happen(maywe: Maywe, times: int) -> None:
    for n in range(times):
        await maywe.choose({"type": "customer", "id": f"c-{n}"}, WITHDRAW)


async def verify(maywe: Maywe, folder: Path, *shown: dict[str, Any]) -> tuple[int, str]:
    """The exit status of `maywe verify` with these checkpoints, and what it says."""
    arguments = ["verify"]
    for n, one in enumerate(shown):
        file = folder / f"{n}.json"
        file.write_text(json.dumps(one))
        arguments += ["--checkpoint", str(file)]
    done = await command_here(maywe.url, *arguments)
    return done.exit_code, done.output


async def test_the_signature_is_right_by_the_published_key(maywe: Maywe) -> None:
    kept = await checkpoint(maywe)
    async with httpx.AsyncClient(transport=maywe.http._transport, base_url="http://maywe.test") as nobody:
        keys = (await nobody.get("/.well-known/maywe-keys")).json()["keys"]
    key = next(key for key in keys if key["kid"] == kept["kid"])
    assert (key["kty"], key["crv"]) == ("OKP", "Ed25519")
    public = Ed25519PublicKey.from_public_bytes(octets(key["x"]))
    signature = octets(kept.pop("signature"))
    public.verify(signature, canonical(kept))
    with pytest.raises(InvalidSignature):
        public.verify(signature, canonical(kept | {"position": kept["position"] + 1}))


async def test_the_chain_passes_through_the_checkpoints_that_were_its_heads(maywe: Maywe, tmp_path: Path) -> None:
    kept = [await checkpoint(maywe)]
    for _ in range(2):
        await happen(maywe, 3)
        kept.append(await checkpoint(maywe))
    await happen(maywe, 2)
    status, said = await verify(maywe, tmp_path, *kept)
    assert status == 0
    assert "passes through 3 checkpoints" in said


@pytest.mark.parametrize(
    ("altered", "expected"),
    [
        ({"digest": "00" * 32}, "was altered"),
        ({"position": 1}, "was altered"),
        ({"kid": "other"}, "no checkpoint signed by a key in use here"),
        ({"signature": "AAAA"}, "was altered"),
        ({"signature": None}, "was altered"),
    ],
)
async def test_a_forged_checkpoint_is_refused(
    maywe: Maywe, tmp_path: Path, altered: dict[str, Any], expected: str
) -> None:
    await happen(maywe, 2)
    status, said = await verify(maywe, tmp_path, await checkpoint(maywe) | altered)
    assert status == 1
    assert expected in said


async def test_a_rewritten_ledger_does_not_pass_a_checkpoint(maywe: Maywe, tmp_path: Path) -> None:
    """Somebody with the database rewrites the past so that the chain is whole again: only the checkpoint tells."""
    await happen(maywe, 2)
    kept = await checkpoint(maywe)
    await _rewrite(maywe, "DELETE FROM ledger WHERE position > 2")
    await happen(maywe, 3)
    assert (await verify(maywe, tmp_path))[0] == 0
    status, said = await verify(maywe, tmp_path, kept)
    assert status == 1
    assert "is another than was signed" in said


async def test_a_ledger_cut_short_does_not_reach_its_checkpoint(maywe: Maywe, tmp_path: Path) -> None:
    await happen(maywe, 3)
    kept = await checkpoint(maywe)
    await _rewrite(maywe, "DELETE FROM ledger WHERE position > 2")
    status, said = await verify(maywe, tmp_path, kept)
    assert status == 1
    assert "ends before position 4, which was signed" in said


async def test_two_checkpoints_that_contradict_each_other_cannot_both_hold(maywe: Maywe, tmp_path: Path) -> None:
    await happen(maywe, 3)
    first = await checkpoint(maywe)
    await _rewrite(maywe, "DELETE FROM ledger WHERE position > 3")
    await maywe.choose({"type": "customer", "id": "another"}, WITHDRAW)
    second = await checkpoint(maywe)
    assert first["position"] == second["position"]
    assert (await verify(maywe, tmp_path, second))[0] == 0
    assert (await verify(maywe, tmp_path, first, second))[0] == 1


async def test_a_checkpoint_of_another_history_is_told_apart(maywe: Maywe, tmp_path: Path) -> None:
    kept = await checkpoint(maywe)
    await _rewrite(maywe, "UPDATE ledger_head SET epoch = 'another'")
    status, said = await verify(maywe, tmp_path, kept)
    assert status == 1
    assert "another history" in said


async def _rewrite(maywe: Maywe, statement: str) -> None:
    """What somebody can do who owns the database."""
    head = (
        "UPDATE ledger_head SET position = (SELECT max(position) FROM ledger), "
        "digest = (SELECT digest FROM ledger ORDER BY position DESC LIMIT 1)"
    )
    if maywe.store.database.is_sqlite:
        with sqlite3.connect(maywe.url.removeprefix("sqlite:///")) as connection:
            connection.executescript(f"DROP TRIGGER ledger_refuses_delete; {statement}; {head};")
        return
    with psycopg.connect(maywe.url) as server:
        for one in ("ALTER TABLE ledger DISABLE TRIGGER USER", statement, head):
            server.execute(one.encode())
