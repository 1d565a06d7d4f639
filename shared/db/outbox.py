"""Events that wait for the bus, written in the transaction whose facts they tell."""

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    column,
    func,
    insert,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from shared import monitoring
from shared.contracts.envelope import Envelope, Event
from shared.contracts.registry import encode
from shared.logs import correlation_id as current_correlation_id

CHANNEL = "outbox"
"""The NOTIFY channel on which the table's trigger wakes the relay."""

_OUTBOX = table(
    "outbox",
    column("id", Uuid()),
    column("type", String()),
    column("aggregate_id", String()),
    column("aggregate_version", BigInteger()),
    column("payload", JSONB()),
    column("headers", JSONB()),
)


def outbox_table(metadata: MetaData) -> Table:
    """The outbox of a service; ``shared.db.messaging.create_v1`` creates the same in its first migration.

    ``type`` is the routing key, ``payload`` the whole envelope, ``headers`` the trace that the event
    belongs to. A row with ``published_at`` is history and gets purged.
    """
    return Table(
        "outbox",
        metadata,
        Column("id", Uuid(), primary_key=True),
        Column("seq", BigInteger(), Identity(always=True), nullable=False),
        Column("type", String(), nullable=False),
        Column("aggregate_id", String(), nullable=False),
        Column("aggregate_version", BigInteger(), nullable=False),
        Column("payload", JSONB(), nullable=False),
        Column("headers", JSONB(), nullable=False, server_default=text("'{}'::jsonb")),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("attempts", Integer(), nullable=False, server_default=text("0")),
        Column("next_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("published_at", DateTime(timezone=True)),
        Index("ix_outbox_waiting", "seq", postgresql_where=text("published_at IS NULL")),
        Index("ix_outbox_published_at", "published_at", postgresql_where=text("published_at IS NOT NULL")),
    )


def add(
    session: Session,
    event: Event,
    *,
    aggregate_id: str,
    aggregate_version: int,
    correlation_id: str | None = None,
) -> Envelope[Event]:
    """Put an event into the outbox of the session's database, in the session's transaction.

    Without a correlation id the event belongs to the request or message that is being handled. Committing
    wakes the relay. Raises InvalidMessage when the event is not in the registry.
    """
    envelope = Envelope.of(
        event,
        aggregate_id=aggregate_id,
        aggregate_version=aggregate_version,
        correlation_id=correlation_id or current_correlation_id(),
    )
    encode(envelope)
    session.execute(
        insert(_OUTBOX).values(
            id=envelope.id,
            type=envelope.routing_key,
            aggregate_id=aggregate_id,
            aggregate_version=aggregate_version,
            payload=envelope.model_dump(mode="json", by_alias=True),
            headers=monitoring.trace_headers(),
        )
    )
    return envelope
