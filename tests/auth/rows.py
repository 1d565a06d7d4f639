"""What stands in auth's database."""

from typing import Any

from sqlalchemy import text

from shared.db.engine import Database


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    """All rows of a table, in no order."""
    with database.read() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]


def events(database: Database) -> list[dict[str, Any]]:
    """The envelopes in the outbox, oldest first."""
    return [row["payload"] for row in sorted(rows(database, "outbox"), key=lambda row: row["seq"])]
