"""Events that wait for the bus, written in the transaction whose facts they tell."""

import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    func,
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

_ADD = text(
    "INSERT INTO outbox (id, type, aggregate_id, aggregate_version, payload, headers) VALUES"
    " (:id, :type, :aggregate_id, :aggregate_version, CAST(:payload AS jsonb), CAST(:headers AS jsonb))"
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
    (envelope,) = add_all(
        session,
        [event],
        aggregate_id=aggregate_id,
        aggregate_version=aggregate_version,
        correlation_id=correlation_id,
    )
    return envelope


def add_all(
    session: Session,
    events: Sequence[Event],
    *,
    aggregate_id: str,
    aggregate_version: int,
    correlation_id: str | None = None,
) -> list[Envelope[Event]]:
    """Put events of one state of an aggregate into the outbox, as `add` does, in one round trip."""
    envelopes = [
        Envelope.of(
            event,
            aggregate_id=aggregate_id,
            aggregate_version=aggregate_version,
            correlation_id=correlation_id or current_correlation_id(),
        )
        for event in events
    ]
    headers = json.dumps(monitoring.trace_headers())
    rows = [
        {
            "id": envelope.id,
            "type": envelope.routing_key,
            "aggregate_id": aggregate_id,
            "aggregate_version": aggregate_version,
            "payload": encode(envelope).decode(),
            "headers": headers,
        }
        for envelope in envelopes
    ]
    if rows:
        session.execute(_ADD, rows)
    return envelopes


@dataclass(frozen=True)
class Row:
    """An event that waits: ``type`` is its routing key, ``body`` the envelope as JSON."""

    id: uuid.UUID
    type: str
    body: bytes
    headers: dict[str, str]
    correlation_id: str
    attempts: int


_CLAIM = text(
    "SELECT id, type, payload::text AS body, headers, payload->>'correlation_id' AS correlation_id, attempts"
    " FROM outbox WHERE published_at IS NULL AND next_at <= now() AND id <> ALL(:held)"
    " ORDER BY seq LIMIT :limit FOR UPDATE SKIP LOCKED"
)
_MARK = text("UPDATE outbox SET published_at = now() WHERE id = ANY(:ids)")
_POSTPONE = text(
    "UPDATE outbox SET attempts = attempts + :tries, next_at = now() + make_interval(secs => :seconds)"
    " WHERE id = ANY(:ids)"
)
_BACK_OFF = text(
    "UPDATE outbox SET attempts = attempts + 1,"
    " next_at = now() + make_interval(secs => least(60, 2 ^ least(attempts, 6)) * (0.5 + random() / 2))"
    " WHERE id = ANY(:ids)"
)
_WAITING = text("SELECT count(*) FROM outbox WHERE published_at IS NULL")


def claim(connection: Connection, limit: int, held: Collection[uuid.UUID] = ()) -> list[Row]:
    """Lock due rows, oldest first, but not those another relay has locked, nor those the caller holds."""
    rows = connection.execute(_CLAIM, {"limit": limit, "held": list(held)})
    return [
        Row(
            id=row.id,
            type=row.type,
            body=row.body.encode(),
            headers=row.headers,
            correlation_id=row.correlation_id,
            attempts=row.attempts,
        )
        for row in rows
    ]


def mark_published(connection: Connection, ids: Collection[uuid.UUID]) -> None:
    """The bus has taken these over."""
    if ids:
        connection.execute(_MARK, {"ids": list(ids)})


def postpone(connection: Connection, ids: Collection[uuid.UUID], *, seconds: float, tries: int = 0) -> None:
    """Let these wait so long; ``tries`` is added to their attempts."""
    if ids:
        connection.execute(_POSTPONE, {"ids": list(ids), "seconds": seconds, "tries": tries})


def back_off(connection: Connection, ids: Collection[uuid.UUID]) -> None:
    """The bus refused these: each waits longer than before, up to a minute, with jitter; for ever."""
    if ids:
        connection.execute(_BACK_OFF, {"ids": list(ids)})


def waiting(connection: Connection) -> int:
    """How many events are not published yet."""
    return int(connection.execute(_WAITING).scalar_one())
