"""What stands in billing's database, and what changes it."""

from typing import Any

from sqlalchemy import text

from services.billing.handlers import HANDLERS
from shared.contracts.auth import UserDeletedV1, UserRegisteredV1
from shared.contracts.envelope import Envelope, Event
from shared.db.engine import Database


def accounts(database: Database) -> list[dict[str, Any]]:
    """All accounts, by user id."""
    with database.read() as connection:
        return [
            dict(row)
            for row in connection.execute(text("SELECT * FROM accounts ORDER BY user_id")).mappings()
        ]


def events(database: Database) -> list[dict[str, Any]]:
    """The envelopes in the outbox, oldest first."""
    with database.read() as connection:
        return list(connection.execute(text("SELECT payload FROM outbox ORDER BY seq")).scalars())


def register(database: Database, user_id: str) -> None:
    """Handle the event that somebody registered."""
    _handle(database, UserRegisteredV1(user_id=user_id, user_name="Ada", email="ada@example.org"), user_id, 1)


def delete(database: Database, user_id: str) -> None:
    """Handle the event that somebody left."""
    _handle(database, UserDeletedV1(user_id=user_id), user_id, 2)


def _handle(database: Database, event: Event, user_id: str, version: int) -> None:
    with database.transaction() as session:
        HANDLERS[type(event)](session, Envelope.of(event, aggregate_id=user_id, aggregate_version=version))
