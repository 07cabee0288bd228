"""Rows put into tables, the way each engine takes them best."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def insert_new(connection: AsyncConnection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that leaves alone what is there already."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


async def add_rows(
    connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]], *, only_new: bool = False
) -> int:
    """Insert rows that name the same columns; returns how many there were, or with `only_new` how many were new.
    PostgreSQL takes them column by column, in a statement that is the same for any number of them."""
    if not rows:
        return 0
    if connection.dialect.name == "sqlite":
        statement = insert_new(connection, table) if only_new else sqlite.insert(table)
        return (await connection.execute(statement, rows)).rowcount
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    given = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    arrays = ", ".join(f"%b::{table.c[name].type.compile(connection.dialect)}[]" for name in given)
    text = f"INSERT INTO {table.name} ({', '.join(given)}) SELECT * FROM unnest({arrays})"  # noqa: S608  names of ours
    text += " ON CONFLICT DO NOTHING" if only_new else ""
    return (await connection.exec_driver_sql(text, tuple(given.values()))).rowcount
