"""Messages that a consumer of the local bus could not digest, with the reason."""

from sqlalchemy import Column, DateTime, Integer, MetaData, PrimaryKeyConstraint, String, Table, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB


def dead_letter_table(metadata: MetaData) -> Table:
    """Dead letters of a service's consumers on the local bus; on RabbitMQ they are in ``<queue>.dead``."""
    return Table(
        "dead_letter",
        metadata,
        Column("consumer", String(), nullable=False),
        Column("message_id", Uuid(), nullable=False),
        Column("type", String(), nullable=False),
        Column("payload", JSONB(), nullable=False),
        Column("reason", String(), nullable=False),
        Column("attempts", Integer(), nullable=False),
        Column("dead_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        PrimaryKeyConstraint("consumer", "message_id"),
    )
