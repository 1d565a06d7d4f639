"""What was evaluated and when, for those who evaluate it again."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import orjson
from sqlalchemy import Connection, text

from services.signals.candles import CandleBatch, length_of

CANDLES_AT_ONCE = 50_000


class ToldChange(NamedTuple):
    """A change that names a record, and why it was."""

    ticker: str
    algorithm: str
    why: list[dict[str, Any]]


class StoredState(NamedTuple):
    """An engine's state before the cycle of a record, and what that record says its hash is."""

    sequence: int
    state: bytes
    said: str | None


def told(connection: Connection, partition: int, sequence: int) -> list[ToldChange]:
    """The changes of a record by ticker and algorithm."""
    rows = connection.execute(
        text(
            """
            SELECT ticker, algorithm, why FROM view_change
            WHERE ledger_partition = :partition AND ledger_sequence = :sequence ORDER BY ticker, algorithm
            """
        ),
        {"partition": partition, "sequence": sequence},
    )
    return [ToldChange(*row) for row in rows]


def checkpoint_before(
    connection: Connection, partition: int, timeframe: str, sequence: int
) -> StoredState | None:
    """The newest checkpoint of a chain and timeframe from which a record can be reached."""
    row = connection.execute(
        text(
            """
            SELECT c.sequence, c.state, CAST(l.record AS json) ->> 'checkpoint' FROM checkpoint AS c
            JOIN ledger AS l ON l.partition = c.partition AND l.sequence = c.sequence
            WHERE c.partition = :partition AND c.timeframe = :timeframe AND c.sequence <= :sequence
            ORDER BY c.sequence DESC LIMIT 1
            """
        ),
        {"partition": partition, "timeframe": timeframe, "sequence": sequence},
    ).one_or_none()
    return None if row is None else StoredState(row[0], bytes(row[1]), row[2])


def set_aside(
    connection: Connection, partition: int, timeframe: str, first: int, last: int
) -> dict[int, tuple[str, ...]]:
    """The algorithms that were set aside, by the sequence of the record, of those records that have some."""
    rows = connection.execute(
        text(
            """
            SELECT sequence, record FROM ledger
            WHERE partition = :partition AND sequence BETWEEN :first AND :last AND timeframe = :timeframe
                AND record LIKE '%"set_aside":["%'
            """
        ),
        {"partition": partition, "timeframe": timeframe, "first": first, "last": last},
    )
    return {row.sequence: tuple(orjson.loads(row.record)["set_aside"]) for row in rows}


def candles(
    connection: Connection,
    timeframe: str,
    tickers: Sequence[str],
    *,
    since: datetime,
    until: datetime,
    first: int,
    last: int,
) -> Iterator[tuple[int, CandleBatch]]:
    """The candles of some tickers of one chain, evaluated in the records from one sequence to another.

    They open from `since` to `until`, both included; read in parts by time. In order of time, each batch
    with the sequence of its record.
    """
    length = length_of(timeframe)
    span = length * max(1, CANDLES_AT_ONCE // len(tickers))
    while since <= until:
        rows = connection.execute(
            text(
                """
                SELECT evaluated_in, open_time, array_agg(ticker ORDER BY ticker),
                    array_agg(CAST(open AS float8) ORDER BY ticker),
                    array_agg(CAST(high AS float8) ORDER BY ticker),
                    array_agg(CAST(low AS float8) ORDER BY ticker),
                    array_agg(CAST(close AS float8) ORDER BY ticker),
                    array_agg(CAST(volume AS float8) ORDER BY ticker)
                FROM candle WHERE ticker = ANY(:tickers) AND timeframe = :timeframe
                    AND open_time >= :since AND open_time < :end AND open_time <= :until
                    AND evaluated_in BETWEEN :first AND :last
                GROUP BY open_time, evaluated_in ORDER BY open_time, evaluated_in
                """
            ),
            {
                "tickers": list(tickers),
                "timeframe": timeframe,
                "since": since,
                "end": since + span,
                "until": until,
                "first": first,
                "last": last,
            },
        ).all()
        since += span
        for sequence, opened, names, *columns in rows:
            arrays = (np.array(each, np.float64) for each in columns)
            yield sequence, CandleBatch(timeframe, opened + length, tuple(names), *arrays)
