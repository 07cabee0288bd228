"""`python -m bench.bulk ROWS URL`: an import of so many people into a migrated database without a catalogue, then an
audience against a plain SELECT of the same rows by the same driver, in turns. Prints rows a second and peak memory."""

import asyncio
import base64
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from app import administering
from app.audience import Audience
from app.crypto import Secrets
from app.decision.model import Question
from app.storage.database import Database
from app.storage.store import Store
from bench.people import catalogue

KEY = secrets.token_bytes(32)
PLAIN = text(
    "SELECT i.identifier_id, i.sealed, s.state FROM identifiers i JOIN subjects s ON s.subject_id = i.subject_id "
    "WHERE i.type = 'email'"
)


def write_rows(file: Path, count: int, purpose: str, notice: str) -> None:
    """One consent each."""
    with file.open("w") as opened:
        opened.write("type,id,purpose,channel,choice,notice,method,occurred_at,wording\n")
        for n in range(count):
            opened.write(f"email,p{n}@example.com,{purpose},email,give,{notice},app,2026-05-01T10:00:00Z,Yes please\n")


async def plain(database: Database) -> int:
    """The rows of an audience, read and thrown away."""
    async with (
        database.long_view() as connection,
        connection.stream(PLAIN, execution_options={"yield_per": 250}) as rows,
    ):
        return sum([len(page) async for page in rows.partitions(250)])


async def audience(database: Database, store: Store, purpose: str) -> int:
    """The members of an audience, decided, unsealed and thrown away."""
    now = datetime.now(UTC)
    async with database.long_view() as connection:
        asked = await Audience.begin(connection, store, Question(purpose, channel="email"), "email", now=now)
        return sum([len(page) async for page in asked.members(connection, now=now)])


async def main(count: int, url: str) -> None:
    """Import, then read in turns."""
    database = Database(url)
    store = Store(database, Secrets(KEY))
    document = catalogue()
    await administering.publish(store, document, now=datetime.now(UTC))
    purpose = next(
        key
        for key, p in document["purposes"].items()
        if "email" in (p.get("channels") or ()) and any(g["basis"] == "consent" for g in p["grounds"])
    )
    environment = {**os.environ, "MAYWE_DATABASE_URL": url, "MAYWE_SECRET_KEY": base64.b64encode(KEY).decode()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "people.csv"
        write_rows(file, count, purpose, document["version"])
        began = time.perf_counter()
        command = [str(Path(sys.executable).with_name("maywe")), "import", str(file)]
        await asyncio.to_thread(subprocess.run, command, env=environment, check=True)
        took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"import: {count / took:,.0f} rows/s, {peak} MB")
    for _ in range(3):
        began = time.perf_counter()
        await plain(database)
        between = time.perf_counter()
        found = await audience(database, store, purpose)
        ended = time.perf_counter()
        ratio = (between - began) / (ended - between)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"audience: {found / (ended - between):,.0f} members/s, {ratio:.2f} x a plain SELECT, {peak} MB")
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
