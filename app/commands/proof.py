"""verify: the chain, receipts and checkpoints."""

from pathlib import Path
from typing import Any

import click

from app import checkpoints, receipts
from app.commands.working import read_object, with_store
from app.storage.ledger import Verification
from app.storage.store import Store

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--receipt", type=_FILE, help="Check a receipt instead: its words, and its place in the chain.")
@click.option(
    "--checkpoint", "kept", type=_FILE, multiple=True, help="A kept checkpoint the chain must pass; may be repeated."
)
def verify(receipt: Path | None, kept: tuple[Path, ...]) -> None:
    """Walk the whole chain of the ledger; exit status 1 if anything was removed, inserted or altered."""
    if receipt is not None:
        _verify_receipt(read_object(receipt, is_yaml=False))
        return
    signed = [read_object(file, is_yaml=False) for file in kept]

    async def walk(store: Store) -> Verification:
        async with store.database.read() as connection:
            return await checkpoints.verify_chain(connection, store.secrets, signed)

    found = with_store(walk)
    if found.fault is not None:
        raise click.ClickException(f"{found.fault}; {found.checked} entries before it are right")
    passed = f", and passes through {len(signed)} checkpoints" if signed else ""
    click.echo(f"the chain of {found.checked} entries is whole{passed}")


def _verify_receipt(shown: dict[str, Any]) -> None:
    async def check(store: Store) -> str | None:
        async with store.database.view() as connection:
            return await receipts.fault_of_receipt(connection, store, shown)

    fault = with_store(check)
    if fault is not None:
        raise click.ClickException(f"the receipt does not hold: {fault}")
    click.echo(f"the receipt holds: {shown['type']} at position {shown['chain']['position']}")
