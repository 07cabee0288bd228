"""What holds of every database at every moment, whatever was done to it through the doors."""

from app.rebuilding import rebuild
from app.storage import ledger
from app.storage.database import Database
from tests.harness import sql

_LIVING = "SELECT subject_id FROM subjects WHERE merged_into IS NULL AND erased_at IS NULL"
_WRONG = {
    "identifiers without a living holder": f"SELECT digest FROM identifiers WHERE subject_id NOT IN ({_LIVING})",
    "evidence about nobody": f"SELECT evidence_id FROM evidence WHERE subject_id NOT IN ({_LIVING})",
    "tombstones on what somebody holds": "SELECT t.digest FROM tombstones t JOIN identifiers i ON i.digest = t.digest",
    "merged into one that was merged": "SELECT one.subject_id FROM subjects one JOIN subjects other "
    "ON one.merged_into = other.subject_id WHERE other.merged_into IS NOT NULL",
}


async def assert_whole(url: str) -> int:
    """The chain verifies, all state is what the ledger tells, every identifier has one living holder. Returns the
    number of entries."""
    database = Database(url)
    try:
        async with database.read() as connection:
            found = await ledger.verify(connection)
        differing = await database.write(lambda connection: rebuild(connection, only_compare=True))
    finally:
        await database.close()
    assert found.fault is None
    assert differing == 0, "rows that differ from what the ledger tells"
    assert [what for what, query in _WRONG.items() if sql.rows(url, query)] == []
    return found.checked
