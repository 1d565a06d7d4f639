"""What the ledger is held against: released batches, candles, changes, signals, checkpoints, exported heads.

Everything is read in parts whose size does not grow with the history, each by one statement.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, text

from services.signals.candles import TIMEFRAMES, CandleBatch, length_of
from services.signals.ledger.records import PARTITIONS
from services.signals.repository import history, partitions

BATCHES_AT_ONCE = 2_000


@dataclass(frozen=True)
class Extent:
    """How far everything had come at one moment, so that what is added meanwhile is left for the next time.

    `lengths` has the last sequence of each chain, 0 before the first, and `tickers` its tickers. `released`
    has that of each feed, `met` that which a feed's shard has evaluated, by (feed, shard). `kept_from` is the
    open time from which on a timeframe's candles are stored; one of which none are is not in it.
    """

    lengths: Mapping[int, int]
    tickers: Mapping[int, Sequence["Began"]]
    released: Mapping[str, int]
    met: Mapping[tuple[str, int], int]
    shards: int
    last_number: int
    kept_from: Mapping[str, datetime]


class RecordRow(NamedTuple):
    """A record as it is stored."""

    sequence: int
    timeframe: str
    close_time: datetime
    late: bool
    record: str
    hash: str


class BatchRow(NamedTuple):
    """A batch that a feed released."""

    number: int
    feed: str
    sequence: int
    timeframe: str
    close_time: datetime
    unusable: bool


class RecordedChange(NamedTuple):
    """A turn of a view as `view_change` has it, without its why."""

    sequence: int
    timeframe: str
    close_time: datetime
    ticker: str
    algorithm: str
    algorithm_version: str
    from_view: str
    to_view: str
    close: float


class CheckpointRow(NamedTuple):
    """A checkpoint: the hash it is stored with, and that of its bytes."""

    sequence: int
    timeframe: str
    close_time: datetime
    hash: str
    hash_of_state: str


class Began(NamedTuple):
    """A ticker of a chain, and the open time of its first candle."""

    ticker: str
    timeframe: str
    first_open_time: datetime


def extent(connection: Connection) -> Extent:
    """How far everything has come. For one moment of all, the transaction must be REPEATABLE READ."""
    listed = connection.execute(text("SELECT partition, ticker, timeframe, first_open_time FROM ticker"))
    tickers: dict[int, list[Began]] = {}
    for partition, *began in listed:
        tickers.setdefault(partition, []).append(Began(*began))
    released = connection.execute(text("SELECT name, sequence FROM feed"))
    met = connection.execute(text("SELECT feed, shard, sequence FROM shard_position"))
    shards = connection.execute(text("SELECT shards FROM shard_count")).scalar_one_or_none()
    last = connection.execute(text("SELECT max(number) FROM released_batch")).scalar_one()
    return Extent(
        lengths=history.sequences(connection, range(PARTITIONS)),
        tickers=tickers,
        released={row.name: row.sequence for row in released},
        met={(row.feed, row.shard): row.sequence for row in met},
        shards=shards or 1,
        last_number=last or 0,
        kept_from=kept_from(connection),
    )


def kept_from(connection: Connection) -> dict[str, datetime]:
    """From which open time on the candles of each timeframe are stored; older ones were let go."""
    kept: dict[str, datetime] = {}
    for each in partitions.existing(connection):
        kept[each.timeframe] = min(each.start, kept.get(each.timeframe, each.start))
    return kept


def records(connection: Connection, partition: int, first: int, last: int) -> list[RecordRow]:
    """The records of a chain from one sequence to another, both included."""
    rows = connection.execute(
        text(
            """
            SELECT sequence, timeframe, close_time, late, record, hash FROM ledger
            WHERE partition = :partition AND sequence BETWEEN :first AND :last ORDER BY sequence
            """
        ),
        {"partition": partition, "first": first, "last": last},
    )
    return [RecordRow(*row) for row in rows]


def cycles_of(
    connection: Connection, partition: int, sequences: Collection[int]
) -> dict[int, tuple[str, datetime]]:
    """Timeframe and close of some records of a chain, of those that there are."""
    rows = connection.execute(
        text(
            """
            SELECT sequence, timeframe, close_time FROM ledger
            WHERE partition = :partition AND sequence = ANY(:sequences)
            """
        ),
        {"partition": partition, "sequences": list(sequences)},
    )
    return {row.sequence: (row.timeframe, row.close_time) for row in rows}


def released_batches(connection: Connection, last_number: int) -> Iterator[BatchRow]:
    """All released batches up to a number, in the order of their release."""
    after = 0
    while True:
        rows = connection.execute(
            text(
                """
                SELECT number, feed, sequence, timeframe, close_time, unusable FROM released_batch
                WHERE number > :after AND number <= :last ORDER BY number LIMIT :limit
                """
            ),
            {"after": after, "last": last_number, "limit": BATCHES_AT_ONCE},
        ).all()
        if not rows:
            return
        yield from (BatchRow(*row) for row in rows)
        after = rows[-1].number


def tickers(connection: Connection, partition: int) -> list[Began]:
    """The tickers of a chain."""
    rows = connection.execute(
        text("SELECT ticker, timeframe, first_open_time FROM ticker WHERE partition = :partition"),
        {"partition": partition},
    )
    return [Began(*row) for row in rows]


def evaluated_within(
    connection: Connection,
    partition: int,
    timeframe: str,
    *,
    after: datetime | None,
    upto: datetime | None,
) -> Iterator[tuple[int, CandleBatch]]:
    """The evaluated candles of a chain by the record that evaluated them, as sequence and batch.

    Those that opened after a moment and not after another one; None is no bound.
    """
    bounds = {"after": after, "upto": upto}
    known = {name: moment for name, moment in bounds.items() if moment is not None}
    clauses = {"after": "AND open_time > :after", "upto": "AND open_time <= :upto"}
    yield from _evaluated(connection, partition, timeframe, " ".join(clauses[name] for name in known), known)


def evaluated_at(
    connection: Connection, partition: int, timeframe: str, moments: Collection[datetime]
) -> Iterator[tuple[int, CandleBatch]]:
    """The evaluated candles of a chain that opened at some moments, as `evaluated_within` gives them."""
    if moments:
        within = "AND open_time = ANY(:moments)"
        yield from _evaluated(connection, partition, timeframe, within, {"moments": list(moments)})


def _evaluated(
    connection: Connection, partition: int, timeframe: str, within: str, bounds: Mapping[str, object]
) -> Iterator[tuple[int, CandleBatch]]:
    rows = connection.execute(
        text(
            f"""
            SELECT c.evaluated_in, c.open_time, array_agg(c.ticker ORDER BY c.ticker),
                array_agg(CAST(c.open AS float8) ORDER BY c.ticker),
                array_agg(CAST(c.high AS float8) ORDER BY c.ticker),
                array_agg(CAST(c.low AS float8) ORDER BY c.ticker),
                array_agg(CAST(c.close AS float8) ORDER BY c.ticker),
                array_agg(CAST(c.volume AS float8) ORDER BY c.ticker)
            FROM ticker AS t CROSS JOIN LATERAL (
                SELECT * FROM candle WHERE ticker = t.ticker AND timeframe = :timeframe
                    AND evaluated_in IS NOT NULL {within}) AS c
            WHERE t.partition = :partition AND t.timeframe = :timeframe
            GROUP BY c.evaluated_in, c.open_time
            """  # noqa: S608 - text of this module only
        ),
        {"partition": partition, "timeframe": timeframe, **bounds},
    )
    length = length_of(timeframe)
    for sequence, opened, names, *columns in rows:
        arrays = (np.array(each, np.float64) for each in columns)
        yield sequence, CandleBatch(timeframe, opened + length, tuple(names), *arrays)


def changes(connection: Connection, partition: int, first: int, last: int | None) -> list[RecordedChange]:
    """The changes that name a record of a chain between two sequences; up to the end for None.

    Behind the end of what was read of a chain there may be records by now: those of them are left out.
    """
    rows = connection.execute(
        text(
            """
            SELECT ledger_sequence, timeframe, close_time, ticker, algorithm, algorithm_version, from_view,
                to_view, CAST(close AS float8)
            FROM view_change AS v WHERE ledger_partition = :partition AND ledger_sequence >= :first
                AND (ledger_sequence <= :last OR (CAST(:last AS bigint) IS NULL AND NOT EXISTS (
                    SELECT 1 FROM ledger AS l
                    WHERE l.partition = v.ledger_partition AND l.sequence = v.ledger_sequence)))
            ORDER BY ledger_sequence, ticker, algorithm
            """
        ),
        {"partition": partition, "first": first, "last": last},
    )
    return [RecordedChange(*row) for row in rows]


def changes_without_signal(
    connection: Connection, partition: int, first: int, last: int
) -> list[tuple[int, str, str]]:
    """Sequence, ticker and algorithm of changes of which no signal of the same candle tells the same."""
    rows = connection.execute(
        text(
            """
            SELECT v.ledger_sequence, v.ticker, v.algorithm FROM view_change AS v
            JOIN unnest(CAST(:timeframes AS text[]), CAST(:seconds AS int[])) AS known (timeframe, seconds)
                ON known.timeframe = v.timeframe
            LEFT JOIN signal AS s ON s.ticker = v.ticker AND s.algorithm = v.algorithm
                AND s.timeframe = v.timeframe
                AND s.open_time = v.close_time - make_interval(secs => known.seconds)
            WHERE v.ledger_partition = :partition AND v.ledger_sequence BETWEEN :first AND :last
                AND (s.signal, s.view, s.close) IS DISTINCT FROM (v.to_view, v.to_view, v.close)
            ORDER BY v.ledger_sequence, v.ticker, v.algorithm
            """
        ),
        {
            "partition": partition,
            "first": first,
            "last": last,
            "timeframes": list(TIMEFRAMES),
            "seconds": list(TIMEFRAMES.values()),
        },
    )
    return [tuple(row) for row in rows]


def views_without_change(connection: Connection, partition: int) -> list[tuple[int, str, str]]:
    """Sequence, ticker and algorithm of views that are not what the pair's newest change made them."""
    rows = connection.execute(
        text(
            """
            SELECT v.ledger_sequence, v.ticker, v.algorithm FROM view AS v
            LEFT JOIN LATERAL (
                SELECT to_view, close_time, close, ledger_sequence FROM view_change
                WHERE ticker = v.ticker AND algorithm = v.algorithm ORDER BY close_time DESC LIMIT 1
            ) AS c ON true
            WHERE v.ledger_partition = :partition AND CASE WHEN c.to_view IS NULL THEN v.view <> 'HOLD'
                ELSE (v.view, v.since, v.close, v.ledger_sequence)
                    <> (c.to_view, c.close_time, c.close, c.ledger_sequence) END
            ORDER BY v.ledger_sequence, v.ticker, v.algorithm
            """
        ),
        {"partition": partition},
    )
    return [tuple(row) for row in rows]


def checkpoints(connection: Connection, partition: int, first: int, last: int) -> list[CheckpointRow]:
    """The checkpoints that belong to records of a chain, hashed by the database."""
    rows = connection.execute(
        text(
            """
            SELECT sequence, timeframe, close_time, hash, encode(sha256(state), 'hex') FROM checkpoint
            WHERE partition = :partition AND sequence BETWEEN :first AND :last ORDER BY sequence
            """
        ),
        {"partition": partition, "first": first, "last": last},
    )
    return [CheckpointRow(*row) for row in rows]


def outside(connection: Connection, chains: int) -> tuple[int, int, datetime] | None:
    """Partition, sequence and close of a record or change of none of so many chains, if there is one."""
    row = connection.execute(
        text(
            """
            SELECT partition, sequence, close_time FROM ledger WHERE partition < 0 OR partition >= :chains
            UNION ALL SELECT ledger_partition, ledger_sequence, close_time FROM view_change
            WHERE ledger_partition < 0 OR ledger_partition >= :chains ORDER BY 1, 2 LIMIT 1
            """
        ),
        {"chains": chains},
    ).one_or_none()
    return None if row is None else (row[0], row[1], row[2])
