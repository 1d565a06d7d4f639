"""What one evaluation cycle leaves in the database, written in bulk.

Rows go in by COPY or as arrays: ten thousand tickers close at once. Numbers travel as the shortest
decimal that reads back as the same float64; PostgreSQL's own cast from float8 keeps 15 digits only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, repeat
from typing import Any, LiteralString, NamedTuple, cast

import numpy as np
import orjson
import psycopg
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.signals.candles import Candle, CandleBatch, FloatArray
from services.signals.engine import Signal, StepResult
from services.signals.ledger.records import Record
from services.signals.positions import BUY, HOLD, SELL, CodeArray
from services.signals.repository import partitions

ROWS_AT_ONCE = 50_000
"""A new pair has a row at a ticker's first close: of very many tickers one statement would be too slow."""
LINES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """The signals of a close that were not HOLD, ticker by ticker: rows of one index page come together.

    Each array is of shape (signals,): places of tickers in `candles` and of algorithms (key and version) in
    `algorithms`, and codes of the signal and of the view that it left.
    """

    candles: CandleBatch
    algorithms: tuple[tuple[str, str], ...]
    tickers_at: NDArray[np.intp]
    algorithms_at: NDArray[np.intp]
    signals: CodeArray
    views: CodeArray

    @classmethod
    def of(cls, result: StepResult, versions: Mapping[str, str]) -> "Signals":
        """Those of a step. `versions` has the version of each algorithm."""
        keys = sorted(result.signals)
        shape = len(keys), len(result.batch)
        signals = np.array([result.signals[key] for key in keys], dtype=np.int8).reshape(shape)
        views = np.array([result.views[key] for key in keys], dtype=np.int8).reshape(shape)
        tickers_at, algorithms_at = np.nonzero(signals.T)
        return cls(
            result.batch,
            tuple((key, versions[key]) for key in keys),
            tickers_at,
            algorithms_at,
            signals[algorithms_at, tickers_at],
            views[algorithms_at, tickers_at],
        )


class ViewRow(NamedTuple):
    """The view of a pair since a close, in the columns' order."""

    ticker: str
    algorithm: str
    timeframe: str
    view: str
    since: datetime
    close: float
    ledger_partition: int
    ledger_sequence: int


class ChangeRow(NamedTuple):
    """A view that turned, in the columns' order; `why` holds the conditions as they go into the event."""

    ticker: str
    algorithm: str
    timeframe: str
    close_time: datetime
    algorithm_version: str
    from_view: str
    to_view: str
    close: float
    why: list[dict[str, Any]]
    ledger_partition: int
    ledger_sequence: int


class GapRow(NamedTuple):
    """Candles missing between two that were evaluated, in the columns' order."""

    ticker: str
    timeframe: str
    before_open_time: datetime
    after_open_time: datetime


class TickerRow(NamedTuple):
    """A ticker from its first candle on, in the columns' order."""

    ticker: str
    timeframe: str
    partition: int
    first_open_time: datetime


def insert_candles(
    session: Session, timeframe: str, candles: Sequence[Candle], evaluated_in: Sequence[int] | None
) -> None:
    """Store candles of one timeframe, each with the ledger sequence that evaluated it; None: all are late."""
    if not candles:
        return
    opened = {candle.open_time for candle in candles}
    partitions.ensure(session.connection(), timeframe, opened)
    times = {moment: moment.isoformat() for moment in opened}
    sequences = repeat("\\N") if evaluated_in is None else evaluated_in
    lines = [
        f"{ticker}\t{timeframe}\t{times[moment]}\t{open_!r}\t{high!r}\t{low!r}\t{close!r}\t{volume!r}\t{sequence}\n"
        for (ticker, moment, open_, high, low, close, volume), sequence in zip(
            candles, sequences, strict=evaluated_in is not None
        )
    ]
    _copy(
        session,
        "COPY candle (ticker, timeframe, open_time, open, high, low, close, volume, evaluated_in) FROM STDIN",
        lines,
    )


def insert_close(session: Session, candles: CandleBatch, evaluated_in: Sequence[int]) -> None:
    """Store the candles of one close, each with the ledger sequence that evaluated it."""
    if not candles.tickers:
        return
    partitions.ensure(session.connection(), candles.timeframe, [candles.open_time])
    end = f"\t{candles.timeframe}\t{candles.open_time.isoformat()}\n"
    columns = candles.tickers, *map(_decimals, candles.columns), map(str, evaluated_in)
    _copy(
        session,
        "COPY candle (ticker, open, high, low, close, volume, evaluated_in, timeframe, open_time) FROM STDIN",
        (line + end for line in map("\t".join, zip(*columns, strict=True))),
    )


@contextmanager
def inserting_signals(session: Session, signals: Signals) -> Iterator[None]:
    """Store the signals of one close; the database is at it while the block runs, which can't ask it."""
    candles = signals.candles
    if not signals.tickers_at.size:
        yield
        return
    beginnings = list(map("\t".join, zip(candles.tickers, _decimals(candles.close), strict=True)))
    kinds = zip(signals.algorithms_at.tolist(), signals.signals.tolist(), signals.views.tolist(), strict=True)
    ends = {
        (at, signal, view): (
            f"\t{key}\t{version}\t{candles.timeframe}\t{candles.open_time.isoformat()}"
            f"\t{Signal.of(signal)}\t{Signal.of(view)}\n"
        )
        for at, (key, version) in enumerate(signals.algorithms)
        for signal in (BUY, SELL)
        for view in (BUY, HOLD, SELL)
    }
    places = signals.tickers_at.tolist()
    with _copying(
        session,
        "COPY signal (ticker, close, algorithm, algorithm_version, timeframe, open_time, signal, view)"
        " FROM STDIN",
        (beginnings[place] + ends[kind] for place, kind in zip(places, kinds, strict=True)),
    ):
        yield


def insert_gaps(session: Session, rows: Sequence[GapRow]) -> None:
    """Record candles that were missing."""
    lines = [
        f"{ticker}\t{timeframe}\t{before.isoformat()}\t{after.isoformat()}\n"
        for ticker, timeframe, before, after in rows
    ]
    _copy(session, "COPY candle_gap (ticker, timeframe, before_open_time, after_open_time) FROM STDIN", lines)


def insert_tickers(session: Session, rows: Sequence[TickerRow]) -> None:
    """List tickers from their first candle on."""
    lines = [
        f"{ticker}\t{timeframe}\t{partition}\t{opened.isoformat()}\n"
        for ticker, timeframe, partition, opened in rows
    ]
    _copy(session, "COPY ticker (ticker, timeframe, partition, first_open_time) FROM STDIN", lines)


def insert_records(session: Session, records: Sequence[Record]) -> None:
    """Append records to their chains. The primary key refuses a second record in one place."""
    _insert_arrays(
        session,
        """
        INSERT INTO ledger (partition, sequence, timeframe, close_time, late, record, hash)
        SELECT * FROM unnest(CAST(:c0 AS smallint[]), CAST(:c1 AS bigint[]), CAST(:c2 AS text[]),
            CAST(:c3 AS timestamptz[]), CAST(:c4 AS boolean[]), CAST(:c5 AS text[]), CAST(:c6 AS text[]))
        """,
        [(r.partition, r.sequence, r.timeframe, r.close_time, r.late, r.body, r.hash) for r in records],
    )


def upsert_views(session: Session, rows: Sequence[ViewRow]) -> None:
    """Write the views of pairs that are new or have turned."""
    _insert_arrays(
        session,
        """
        INSERT INTO view (ticker, algorithm, timeframe, view, since, close, ledger_partition, ledger_sequence)
        SELECT ticker, algorithm, timeframe, view, since, CAST(close AS numeric), part, seq
        FROM unnest(CAST(:c0 AS text[]), CAST(:c1 AS text[]), CAST(:c2 AS text[]), CAST(:c3 AS text[]),
            CAST(:c4 AS timestamptz[]), CAST(:c5 AS text[]), CAST(:c6 AS smallint[]), CAST(:c7 AS bigint[]))
            AS row (ticker, algorithm, timeframe, view, since, close, part, seq)
        ON CONFLICT (ticker, algorithm) DO UPDATE SET
            timeframe = excluded.timeframe, view = excluded.view, since = excluded.since,
            close = excluded.close, ledger_partition = excluded.ledger_partition,
            ledger_sequence = excluded.ledger_sequence
        """,
        [(*row[:5], repr(row.close), *row[6:]) for row in rows],
    )


def insert_changes(session: Session, rows: Sequence[ChangeRow], *, late: bool) -> None:
    """Store the turns of views with their why; of `late` ones nobody is alerted."""
    times = {moment: moment.isoformat() for moment in {row.close_time for row in rows}}
    lines = []
    for ticker, algorithm, timeframe, moment, version, before, after, close, why, partition, sequence in rows:
        written = orjson.dumps(why).decode().replace("\\", "\\\\")
        lines.append(
            f"{ticker}\t{algorithm}\t{timeframe}\t{times[moment]}\t{version}\t{before}\t{after}\t{close!r}"
            f"\t{written}\t{partition}\t{sequence}\t{late}\n"
        )
    _copy(
        session,
        "COPY view_change (ticker, algorithm, timeframe, close_time, algorithm_version, from_view, to_view,"
        " close, why, ledger_partition, ledger_sequence, late) FROM STDIN",
        lines,
    )


def _decimals(column: FloatArray) -> list[str]:
    """The shortest decimal of each number of a column that is not empty."""
    return orjson.dumps(column, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode().split(",")


def _copy(session: Session, statement: LiteralString, lines: Iterable[str]) -> None:
    """Send lines of COPY's text format. Keys and names in them hold no tab, newline or backslash."""
    with _copying(session, statement, lines):
        pass


@contextmanager
def _copying(session: Session, statement: LiteralString, lines: Iterable[str]) -> Iterator[None]:
    """Send lines as `_copy` does, and wait at the end of the block until the database has them.

    They go out in parts, so that it is at the first ones while the next are written.
    """
    rest = iter(lines)
    part = "".join(islice(rest, LINES_AT_ONCE))
    if not part:
        yield
        return
    connection = cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        while part:
            copy.write(part)
            part = "".join(islice(rest, LINES_AT_ONCE))
        yield


def _insert_arrays(session: Session, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    for first in range(0, len(rows), ROWS_AT_ONCE):
        columns = zip(*rows[first : first + ROWS_AT_ONCE], strict=True)
        session.execute(
            text(statement), {f"c{index}": _array(column) for index, column in enumerate(columns)}
        )


def _array(values: Iterable[Any]) -> str:
    """PostgreSQL's text of an array. psycopg's own takes a regular expression for each value."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    written = str(value)
    return '"' + written.replace("\\", "\\\\").replace('"', '\\"') + '"'
