"""What a runner goes on from: chains, tickers, views and candles as they are stored."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from services.signals.candles import Candle, CandleBatch, length_of
from services.signals.ledger.records import Head

CANDLES_AT_ONCE = 100_000
CLOSES_AT_ONCE = 100
"""Whoever steps through the closes of one part leaves its connection idle, of few tickers for 0.1 s."""
BEFORE_ALL = datetime(1, 1, 1, tzinfo=UTC)
FOREVER = 2**63 - 1
"""Behind the last record of every chain."""


class KnownTicker(NamedTuple):
    """A ticker that is evaluated, and the partition that it belongs to."""

    ticker: str
    timeframe: str
    partition: int


class KnownView(NamedTuple):
    """The view of a pair as it is stored."""

    ticker: str
    algorithm: str
    view: str
    close: float


def heads(connection: Connection, partitions: Sequence[int]) -> dict[int, Head]:
    """The end of each chain; the clock of a chain is that of its last record that was not late."""
    rows = connection.execute(
        text(
            """
            SELECT p.partition, last.sequence, last.hash, clock.close_time, clock.timeframe
            FROM unnest(CAST(:partitions AS smallint[])) AS p (partition)
            CROSS JOIN LATERAL (SELECT sequence, hash FROM ledger WHERE partition = p.partition
                ORDER BY sequence DESC LIMIT 1) AS last
            CROSS JOIN LATERAL (SELECT close_time, timeframe FROM ledger
                WHERE partition = p.partition AND NOT late ORDER BY sequence DESC LIMIT 1) AS clock
            """
        ),
        {"partitions": list(partitions)},
    )
    found = {row.partition: Head(*row) for row in rows}
    return {partition: found.get(partition, Head(partition)) for partition in partitions}


def sequences(connection: Connection, partitions: Sequence[int]) -> dict[int, int]:
    """The length of each chain, 0 for one without a record."""
    rows = connection.execute(
        text(
            """
            SELECT p.partition,
                COALESCE((SELECT max(sequence) FROM ledger WHERE partition = p.partition), 0) AS length
            FROM unnest(CAST(:partitions AS smallint[])) AS p (partition)
            """
        ),
        {"partitions": list(partitions)},
    )
    return {row.partition: row.length for row in rows}


def tickers(connection: Connection) -> list[KnownTicker]:
    """The tickers of all partitions, a ticker's first timeframe first."""
    rows = connection.execute(
        text("SELECT ticker, timeframe, partition FROM ticker ORDER BY ticker, first_open_time, timeframe")
    )
    return [KnownTicker(*row) for row in rows]


def views(connection: Connection, partitions: Sequence[int]) -> list[KnownView]:
    """The views of all pairs of some partitions."""
    rows = connection.execute(
        text(
            """
            SELECT ticker, algorithm, view, CAST(close AS float8) FROM view
            WHERE ledger_partition = ANY(:partitions)
            """
        ),
        {"partitions": list(partitions)},
    )
    return [KnownView(*row) for row in rows]


def evaluated_candles(
    connection: Connection, timeframe: str, before: Mapping[int, int]
) -> Iterator[CandleBatch]:
    """All candles of a timeframe that each partition has evaluated before a record, a batch per close.

    `before` is the sequence of that record by partition. Read in order of time and in parts, so that no
    statement and no answer grows with the history.
    """
    spans = {partition: (0, sequence) for partition, sequence in before.items()}
    span = length_of(timeframe) * _closes_at_once(connection, timeframe)
    start = BEFORE_ALL
    while spans and (first := _first_open_time(connection, timeframe, start)) is not None:
        start = first + span
        yield from _part(connection, timeframe, spans, (first, start))


def candles_evaluated_since(
    connection: Connection, timeframe: str, since: Mapping[int, int]
) -> Iterator[CandleBatch]:
    """The candles of a timeframe that each partition has evaluated from a record on, a batch per close.

    `since` is the sequence of that record by partition. Only closes that those records name are read,
    however far back a late one lies.
    """
    rows = connection.execute(
        text(
            """
            SELECT DISTINCT close_time FROM ledger
            JOIN unnest(CAST(:partitions AS smallint[]), CAST(:sequences AS bigint[]))
                AS since (partition, first) USING (partition)
            WHERE timeframe = :timeframe AND sequence >= since.first ORDER BY close_time
            """
        ),
        {"timeframe": timeframe, "partitions": list(since), "sequences": list(since.values())},
    )
    length = length_of(timeframe)
    opened = [close_time - length for close_time in rows.scalars()]
    size = _closes_at_once(connection, timeframe)
    spans = {partition: (sequence, FOREVER) for partition, sequence in since.items()}
    for start in range(0, len(opened), size):
        part = opened[start : start + size]
        yield from _part(connection, timeframe, spans, (part[0], part[-1] + length), part)


def _closes_at_once(connection: Connection, timeframe: str) -> int:
    tickers_there = text("SELECT count(*) FROM ticker WHERE timeframe = :timeframe")
    count: int = connection.execute(tickers_there, {"timeframe": timeframe}).scalar_one()
    return max(1, min(CLOSES_AT_ONCE, CANDLES_AT_ONCE // max(1, count)))


def _first_open_time(connection: Connection, timeframe: str, start: datetime) -> datetime | None:
    first: datetime | None = connection.execute(
        text("SELECT min(open_time) FROM candle WHERE timeframe = :timeframe AND open_time >= :start"),
        {"timeframe": timeframe, "start": start},
    ).scalar_one()
    return first


def _part(
    connection: Connection,
    timeframe: str,
    sequences: Mapping[int, tuple[int, int]],
    span: tuple[datetime, datetime],
    opened: Sequence[datetime] | None = None,
) -> Iterator[CandleBatch]:
    """The candles that open within `span`, at one of the moments `opened` if those are given.

    Of each partition those that were evaluated from one record on, before another one.
    """
    chosen = "" if opened is None else "AND open_time = ANY(:opened)"
    rows = connection.execute(
        text(
            f"""
            SELECT open_time, array_agg(ticker ORDER BY ticker),
                array_agg(CAST(open AS float8) ORDER BY ticker),
                array_agg(CAST(high AS float8) ORDER BY ticker),
                array_agg(CAST(low AS float8) ORDER BY ticker),
                array_agg(CAST(close AS float8) ORDER BY ticker),
                array_agg(CAST(volume AS float8) ORDER BY ticker)
            FROM candle JOIN ticker USING (ticker, timeframe)
            JOIN unnest(CAST(:partitions AS smallint[]), CAST(:firsts AS bigint[]), CAST(:ends AS bigint[]))
                AS span (partition, first, last) USING (partition)
            WHERE timeframe = :timeframe AND open_time >= :start AND open_time < :end
                AND evaluated_in >= span.first AND evaluated_in < span.last {chosen}
            GROUP BY open_time ORDER BY open_time
            """  # noqa: S608 - the condition is one of the two above
        ),
        {
            "timeframe": timeframe,
            "start": span[0],
            "end": span[1],
            "partitions": list(sequences),
            "firsts": [first for first, _ in sequences.values()],
            "ends": [end for _, end in sequences.values()],
        }
        | ({} if opened is None else {"opened": list(opened)}),
    )
    length = length_of(timeframe)
    for moment, names, *columns in rows:
        yield CandleBatch(
            timeframe, moment + length, tuple(names), *(np.array(each, np.float64) for each in columns)
        )


def candle_at(session: Session, ticker: str, timeframe: str, open_time: datetime) -> Candle | None:
    """The stored candle that opened at a moment."""
    row = session.execute(
        text(
            """
            SELECT CAST(open AS float8), CAST(high AS float8), CAST(low AS float8), CAST(close AS float8),
                CAST(volume AS float8)
            FROM candle WHERE ticker = :ticker AND timeframe = :timeframe AND open_time = :open_time
            """
        ),
        {"ticker": ticker, "timeframe": timeframe, "open_time": open_time},
    ).one_or_none()
    return None if row is None else Candle(ticker, open_time, *row)
