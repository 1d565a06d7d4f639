"""Checkpoints as they are stored, and what of the chains follows on them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from services.signals.candles import length_of
from services.signals.ledger.checkpoints import Checkpoint

BEFORE_ALL = datetime(1, 1, 1, tzinfo=UTC)


class LastRecord(NamedTuple):
    """The last record of a chain and timeframe that was not late."""

    partition: int
    timeframe: str
    close_time: datetime
    algorithms: list[dict[str, Any]]


def insert(session: Session, rows: Sequence[Checkpoint]) -> None:
    """Store the checkpoints of one close."""
    if rows:
        session.execute(
            text(
                """
                INSERT INTO checkpoint (partition, sequence, timeframe, close_time, hash, state)
                VALUES (:partition, :sequence, :timeframe, :close_time, :hash, :state)
                """
            ),
            [row._asdict() for row in rows],
        )


def newest(
    connection: Connection, timeframe: str, partitions: Sequence[int]
) -> list[tuple[Checkpoint, str | None]]:
    """The newest checkpoint of each chain in a timeframe, of those that have one, as it is stored.

    With each comes the hash of it that the ledger's record names.
    """
    rows = connection.execute(
        text(
            """
            SELECT newest.*, CAST(named.record AS json) ->> 'checkpoint'
            FROM unnest(CAST(:partitions AS smallint[])) AS p (partition)
            CROSS JOIN LATERAL (SELECT partition, sequence, timeframe, close_time, hash, state FROM checkpoint
                WHERE partition = p.partition AND timeframe = :timeframe
                ORDER BY sequence DESC LIMIT 1) AS newest
            LEFT JOIN ledger AS named ON named.partition = newest.partition
                AND named.sequence = newest.sequence
            """
        ),
        {"partitions": list(partitions), "timeframe": timeframe},
    )
    return [(Checkpoint(*row[:-1]), row[-1]) for row in rows]


def last_records(connection: Connection, partitions: Sequence[int]) -> list[LastRecord]:
    """The last record that was not late of each chain in each timeframe that it has begun."""
    rows = connection.execute(
        text(
            """
            SELECT begun.partition, begun.timeframe, last.close_time,
                CAST(last.record AS json) -> 'algorithms'
            FROM (SELECT DISTINCT partition, timeframe FROM ticker
                WHERE partition = ANY(:partitions)) AS begun
            CROSS JOIN LATERAL (SELECT close_time, record FROM ledger
                WHERE partition = begun.partition AND timeframe = begun.timeframe AND NOT late
                ORDER BY sequence DESC LIMIT 1) AS last
            """
        ),
        {"partitions": list(partitions)},
    )
    return [LastRecord(*row) for row in rows]


def needed_from(connection: Connection, timeframe: str) -> datetime:
    """The open time from which on candles of a timeframe are needed to go on from the newest checkpoints.

    The beginning of the calendar while a chain of the timeframe has none. A record after the checkpoint
    that is late lies before it in time, and its candles are needed too.
    """
    needed: datetime | None = connection.execute(
        text(
            """
            SELECT min(LEAST(newest.close_time, late.close_time) - :length)
            FROM (SELECT DISTINCT partition FROM ticker WHERE timeframe = :timeframe) AS begun
            LEFT JOIN LATERAL (SELECT sequence, close_time FROM checkpoint
                WHERE partition = begun.partition AND timeframe = :timeframe
                ORDER BY sequence DESC LIMIT 1) AS newest ON true
            LEFT JOIN LATERAL (SELECT min(close_time) AS close_time FROM ledger
                WHERE partition = begun.partition AND timeframe = :timeframe
                    AND sequence >= newest.sequence) AS late ON true
            HAVING bool_and(newest.sequence IS NOT NULL)
            """
        ),
        {"timeframe": timeframe, "length": length_of(timeframe)},
    ).scalar_one_or_none()
    return needed or BEFORE_ALL
