"""Messages that have had their effect: what makes at-least-once delivery act once."""

import uuid

from sqlalchemy import (
    Column,
    DateTime,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Uuid,
    column,
    func,
    table,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

_INBOX = table("inbox", column("consumer", String()), column("message_id", Uuid()))


def inbox_table(metadata: MetaData) -> Table:
    """The inbox of a service; ``shared.db.messaging.create_v1`` creates the same in its first migration."""
    return Table(
        "inbox",
        metadata,
        Column("consumer", String(), nullable=False),
        Column("message_id", Uuid(), nullable=False),
        Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
        PrimaryKeyConstraint("consumer", "message_id"),
    )


def receive(session: Session, consumer: str, message_id: uuid.UUID) -> bool:
    """Whether the consumer meets the message for the first time; the answer commits with the session's work.

    A second transaction with the same message waits here until the first one has ended.
    """
    row = session.execute(
        insert(_INBOX)
        .values(consumer=consumer, message_id=message_id)
        .on_conflict_do_nothing()
        .returning(_INBOX.c.message_id)
    )
    return row.first() is not None
