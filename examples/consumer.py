"""A service that keeps its own table of who may be contacted in step with Maywe, by the change feed.

It may be stopped and killed anywhere: what it did with a page and the cursor after it are one transaction. When the
feed says that its cursor no longer fits (409, 410), or that purposes have a new meaning, it begins anew from the
snapshot.

    FEED_URL=http://127.0.0.1:8000 FEED_KEY=mw_... python examples/consumer.py copy.db
"""

import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import httpx

SCHEMA = """
CREATE TABLE IF NOT EXISTS standings (
    subject_id TEXT, purpose TEXT, channel TEXT, status TEXT, objected INTEGER, version INTEGER,
    PRIMARY KEY (subject_id, purpose, channel));
CREATE TABLE IF NOT EXISTS scopes (subject_id TEXT, scope TEXT, channel TEXT, PRIMARY KEY (subject_id, scope, channel));
CREATE TABLE IF NOT EXISTS facts (event_id TEXT PRIMARY KEY, subject_id TEXT, type TEXT, details TEXT);
CREATE TABLE IF NOT EXISTS place (cursor TEXT);
CREATE TABLE IF NOT EXISTS meanings (effective_from TEXT);
"""
WAIT = 30  # seconds that the feed holds its answer
PAUSE = 2  # seconds until a feed that cannot be reached is asked again


class Copy:
    """The table, and the place in the feed up to which it is right."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path)
        self._database.executescript(SCHEMA)

    @property
    def cursor(self) -> str | None:
        """The place in the feed; None before the first synchronisation, and when one is due."""
        place = self._database.execute("SELECT cursor FROM place").fetchone()
        return None if place is None or self.seconds_left == 0 else str(place[0])

    @property
    def seconds_left(self) -> float:
        """How long the copy stays right if nothing is told: until purposes have a new meaning."""
        (first,) = self._database.execute("SELECT min(effective_from) FROM meanings").fetchone()
        if first is None:
            return float("inf")
        return max((datetime.fromisoformat(first) - datetime.now(UTC)).total_seconds(), 0)

    def replace(self, rows: Iterable[dict[str, Any]]) -> None:
        """Begin anew from a snapshot: all of it, or nothing when it is incomplete."""
        with self._database:
            for table in ("standings", "scopes", "facts", "place", "meanings"):
                self._database.execute(f"DELETE FROM {table}")
            for row in rows:
                if row.get("end"):
                    self._database.execute("INSERT INTO place VALUES (?)", (row["cursor"],))
                    return
                self._apply(row)
            raise httpx.HTTPError("the snapshot was cut short")

    def advance(self, rows: list[dict[str, Any]], cursor: str) -> None:
        """Apply a page, and remember where it ended."""
        with self._database:
            for row in rows:
                self._apply(row)
            self._database.execute("UPDATE place SET cursor = ?", (cursor,))

    def _apply(self, row: dict[str, Any]) -> None:
        person = row["subject_id"]
        if row["version"] is not None:
            self._put_standing(row)
        elif row["scope"] is not None:
            self._put_scope(row)
        elif row["type"].startswith("fact."):
            fact = (row["event_id"], person, row["type"], json.dumps(row["details"]))
            self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", fact)
        elif row["type"] == "subject.merged":  # what it is from now on follows as rows of the survivor
            self._database.execute("UPDATE facts SET subject_id = ? WHERE subject_id = ?", (row["merged_into"], person))
            self._forget(person, "standings", "scopes")
        elif row["type"] == "subject.erased":
            self._forget(person, "standings", "scopes", "facts")
        elif row["type"] == "catalogue.published":
            self._database.execute("INSERT INTO meanings VALUES (?)", (row["details"]["effective_from"],))

    def _put_standing(self, row: dict[str, Any]) -> None:
        """The highest version is the truth: rows may come twice."""
        standing = [row[name] for name in ("subject_id", "purpose", "channel", "status", "objected", "version")]
        standing[2] = standing[2] or ""
        self._database.execute(
            "INSERT INTO standings VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET status = excluded.status, "
            "objected = excluded.objected, version = excluded.version WHERE excluded.version > version",
            standing,
        )

    def _put_scope(self, row: dict[str, Any]) -> None:
        key = (row["subject_id"], row["scope"], row["channel"] or "")
        if row["status"] == "objected":
            self._database.execute("INSERT OR REPLACE INTO scopes VALUES (?, ?, ?)", key)
        else:
            self._database.execute("DELETE FROM scopes WHERE (subject_id, scope, channel) = (?, ?, ?)", key)

    def _forget(self, person: str, *tables: str) -> None:
        for table in tables:
            self._database.execute(f"DELETE FROM {table} WHERE subject_id = ?", (person,))


def step(feed: httpx.Client, copy: Copy) -> None:
    """Synchronise once: the next page, or everything."""
    cursor = copy.cursor
    if cursor is not None:
        wait = min(WAIT, copy.seconds_left)
        answer = feed.get("/v1/changes", params={"after": cursor, "limit": 1000, "wait": wait})
        if answer.status_code not in (409, 410):
            page = answer.raise_for_status().json()
            copy.advance(page["changes"], page["next"])
            return
    with feed.stream("GET", "/v1/changes/snapshot") as answer:
        answer.raise_for_status()
        copy.replace(json.loads(line) for line in answer.iter_lines())


def main(path: str) -> None:
    """Keep in step for ever."""
    copy = Copy(path)
    key = {"Authorization": f"Bearer {os.environ['FEED_KEY']}"}
    with httpx.Client(base_url=os.environ["FEED_URL"], headers=key, timeout=WAIT + 10) as feed:
        while True:
            try:
                step(feed, copy)
            except httpx.HTTPError as error:
                print(f"not in step: {error}", file=sys.stderr)
                time.sleep(PAUSE)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not os.environ.keys() >= {"FEED_URL", "FEED_KEY"}:
        sys.exit(__doc__)
    main(sys.argv[1])
