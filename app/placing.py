"""Files that are there whole or not at all, whatever is killed while they are made."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def drafted(file: Path) -> Iterator[Path]:
    """Where to make a file before it is placed: a hidden name beside its own. What is left there is removed, and what a
    database keeps beside it."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    try:
        yield draft
    finally:
        for left in file.parent.glob(f"{draft.name}*"):
            left.unlink(missing_ok=True)


def place(draft: Path, file: Path) -> bool:
    """Give a finished draft its name, durably. False if another process was first, whose file stays."""
    try:
        os.link(draft, file)  # unlike a rename, it never replaces
    except FileExistsError:
        return False
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True
