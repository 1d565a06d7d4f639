"""How many shards the tickers are divided among, and how far each has come with each feed."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text


class Lag(NamedTuple):
    """A shard that has not evaluated the last batch of a feed: what was released, and what it has met."""

    feed: str
    released: int
    shard: int
    evaluated: int


def count(connection: Connection) -> int:
    """The number of shards; 1 until another one was chosen."""
    chosen: int | None = connection.execute(text("SELECT shards FROM shard_count")).scalar_one_or_none()
    return chosen or 1


def choose(connection: Connection, shards: int) -> None:
    """Divide the tickers among so many shards, each of which stands where the feeds stand."""
    connection.execute(
        text(
            """
            INSERT INTO shard_count (id, shards) VALUES (1, :shards)
            ON CONFLICT (id) DO UPDATE SET shards = excluded.shards
            """
        ),
        {"shards": shards},
    )
    connection.execute(text("DELETE FROM algorithm_failure"))  # noted again, by whose it then is, at a close
    connection.execute(text("DELETE FROM shard_position"))
    connection.execute(
        text(
            """
            INSERT INTO shard_position (feed, shard, sequence)
            SELECT name, number, sequence FROM feed CROSS JOIN generate_series(0, :shards - 1) AS number
            """
        ),
        {"shards": shards},
    )


def note_position(connection: Connection, shard: int, feed: str, sequence: int) -> None:
    """Remember that a shard has met a batch of a feed."""
    connection.execute(
        text(
            """
            INSERT INTO shard_position AS known (feed, shard, sequence) VALUES (:feed, :shard, :sequence)
            ON CONFLICT (feed, shard) DO UPDATE SET sequence = GREATEST(known.sequence, excluded.sequence)
            """
        ),
        {"shard": shard, "feed": feed, "sequence": sequence},
    )


def hold_feeds(connection: Connection) -> None:
    """Let no feed release a batch until this transaction ends."""
    connection.execute(text("SELECT 1 FROM feed ORDER BY name FOR UPDATE"))


def lags(connection: Connection, shards: int) -> list[Lag]:
    """Which of the shards have candles on their way."""
    rows = connection.execute(
        text(
            """
            SELECT feed.name, feed.sequence, number, COALESCE(known.sequence, 0)
            FROM feed CROSS JOIN generate_series(0, :shards - 1) AS number
            LEFT JOIN shard_position AS known ON known.feed = feed.name AND known.shard = number
            WHERE COALESCE(known.sequence, 0) < feed.sequence
            ORDER BY feed.name, number
            """
        ),
        {"shards": shards},
    )
    return [Lag(*row) for row in rows]


def evaluated_closes(connection: Connection, shards: int) -> dict[str, datetime]:
    """The newest close that each shard with tickers of a timeframe has evaluated, by timeframe."""
    rows = connection.execute(
        text(
            """
            SELECT timeframe, min(newest) AS newest
            FROM (SELECT begun.timeframe, max(last.close_time) AS newest
                FROM (SELECT DISTINCT partition, timeframe FROM ticker) AS begun
                CROSS JOIN LATERAL (SELECT close_time FROM ledger
                    WHERE partition = begun.partition AND timeframe = begun.timeframe AND NOT late
                    ORDER BY sequence DESC LIMIT 1) AS last
                GROUP BY begun.timeframe, begun.partition % :shards) AS each
            GROUP BY timeframe
            """
        ),
        {"shards": shards},
    )
    return {row.timeframe: row.newest for row in rows}
