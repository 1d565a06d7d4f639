"""What a runner goes on from: chains, tickers, views and candles as they are stored."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from services.signals.candles import Candle, CandleBatch, length_of
from services.signals.ledger import Head

CANDLES_AT_ONCE = 100_000
CLOSES_AT_ONCE = 250
"""Whoever steps through the closes of one part leaves its connection idle, of few tickers for 0.2 s."""
BEFORE_ALL = datetime(1, 1, 1, tzinfo=UTC)


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
    connection: Connection, timeframe: str, partitions: Sequence[int]
) -> Iterator[CandleBatch]:
    """All evaluated candles of a timeframe in order of time, a batch per close.

    Read in parts by time, so that no statement and no answer grows with the history.
    """
    tickers_there = text("SELECT count(*) FROM ticker WHERE timeframe = :timeframe")
    count = connection.execute(tickers_there, {"timeframe": timeframe}).scalar_one()
    span = length_of(timeframe) * max(1, min(CLOSES_AT_ONCE, CANDLES_AT_ONCE // max(1, count)))
    start = BEFORE_ALL
    while (first := _first_open_time(connection, timeframe, start)) is not None:
        start = first + span
        yield from _part(connection, timeframe, partitions, first, start)


def _first_open_time(connection: Connection, timeframe: str, start: datetime) -> datetime | None:
    first: datetime | None = connection.execute(
        text("SELECT min(open_time) FROM candle WHERE timeframe = :timeframe AND open_time >= :start"),
        {"timeframe": timeframe, "start": start},
    ).scalar_one()
    return first


def _part(
    connection: Connection, timeframe: str, partitions: Sequence[int], start: datetime, end: datetime
) -> Iterator[CandleBatch]:
    rows = connection.execute(
        text(
            """
            SELECT open_time, array_agg(ticker ORDER BY ticker),
                array_agg(CAST(open AS float8) ORDER BY ticker),
                array_agg(CAST(high AS float8) ORDER BY ticker),
                array_agg(CAST(low AS float8) ORDER BY ticker),
                array_agg(CAST(close AS float8) ORDER BY ticker),
                array_agg(CAST(volume AS float8) ORDER BY ticker)
            FROM candle JOIN ticker USING (ticker, timeframe)
            WHERE timeframe = :timeframe AND open_time >= :start AND open_time < :end
                AND evaluated_in IS NOT NULL AND partition = ANY(:partitions)
            GROUP BY open_time ORDER BY open_time
            """
        ),
        {"timeframe": timeframe, "start": start, "end": end, "partitions": list(partitions)},
    )
    length = length_of(timeframe)
    for opened, names, *columns in rows:
        yield CandleBatch(
            timeframe, opened + length, tuple(names), *(np.array(each, np.float64) for each in columns)
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
