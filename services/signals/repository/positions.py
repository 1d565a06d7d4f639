"""How far each ticker of a feed has come: its stored candles, and those that are on their way to a runner."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection, text

from services.signals.candles import length_of
from shared.contracts.signals import CandlesClosedV1

TICKERS_AT_ONCE = 100


class StoredRow(NamedTuple):
    """A stored candle with its values as float64."""

    ticker: str
    open_time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


class Span(NamedTuple):
    """When the first candle of a ticker opened, and the newest that is stored."""

    ticker: str
    first: datetime
    newest: datetime


def spans(connection: Connection, timeframe: str, prefixes: Sequence[str]) -> list[Span]:
    """The spans of all tickers whose names begin with one of `prefixes`."""
    rows = connection.execute(
        text(
            """
            SELECT t.ticker, t.first_open_time, last.open_time
            FROM ticker t
            CROSS JOIN LATERAL (SELECT c.open_time FROM candle c
                WHERE c.ticker = t.ticker AND c.timeframe = :timeframe
                ORDER BY c.open_time DESC LIMIT 1) AS last
            WHERE t.timeframe = :timeframe
                AND EXISTS (SELECT 1 FROM unnest(CAST(:prefixes AS text[])) AS p (prefix)
                    WHERE starts_with(t.ticker, p.prefix))
            """
        ),
        {"timeframe": timeframe, "prefixes": list(prefixes)},
    )
    return [Span(*row) for row in rows]


def candles_since(
    connection: Connection, timeframe: str, since: Mapping[str, datetime]
) -> Iterator[tuple[str, list[StoredRow]]]:
    """The stored candles of each ticker that open at its moment in `since` or later, oldest first.

    Read in parts, so that no statement grows with the number of tickers.
    """
    wanted = list(since.items())
    for first in range(0, len(wanted), TICKERS_AT_ONCE):
        tickers, moments = zip(*wanted[first : first + TICKERS_AT_ONCE], strict=True)
        rows = connection.execute(
            text(
                """
                SELECT c.ticker, c.open_time, CAST(c.open AS float8), CAST(c.high AS float8),
                    CAST(c.low AS float8), CAST(c.close AS float8), CAST(c.volume AS float8)
                FROM unnest(CAST(:tickers AS text[]), CAST(:moments AS timestamptz[]))
                    AS wanted (ticker, moment)
                JOIN candle c ON c.ticker = wanted.ticker AND c.timeframe = :timeframe
                    AND c.open_time >= wanted.moment
                ORDER BY c.ticker, c.open_time
                """
            ),
            {"timeframe": timeframe, "tickers": list(tickers), "moments": list(moments)},
        )
        for ticker, candles in groupby((StoredRow(*row) for row in rows), key=lambda each: each.ticker):
            yield ticker, list(candles)


def in_flight(connection: Connection) -> Iterator[tuple[str, StoredRow]]:
    """The candles, each with its timeframe, of batches that some shard has not evaluated yet, oldest first.

    Only of those that are still in the outbox, which keeps what was published for a day.
    """
    rows = connection.execute(
        text(
            """
            SELECT outbox.payload -> 'data' FROM outbox
            JOIN (SELECT feed.name, min(COALESCE(known.sequence, 0)) AS sequence
                FROM feed
                CROSS JOIN generate_series(0, COALESCE((SELECT shards FROM shard_count), 1) - 1) AS number
                LEFT JOIN shard_position AS known ON known.feed = feed.name AND known.shard = number
                GROUP BY feed.name) AS met ON met.name = outbox.aggregate_id
            WHERE outbox.type = :type AND outbox.aggregate_version > met.sequence
            ORDER BY outbox.seq
            """
        ),
        {"type": CandlesClosedV1.routing_key()},
    )
    for data in rows.scalars():
        event = CandlesClosedV1.model_validate(data)
        opened = event.close_time - length_of(event.timeframe)
        columns = (event.open, event.high, event.low, event.close, event.volume)
        for ticker, *values in zip(event.tickers, *columns, strict=True):
            yield event.timeframe, StoredRow(ticker, opened, *values)
