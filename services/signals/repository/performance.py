"""Closes and changes for the windows of algorithms, and the table of all of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from services.signals.candles import TIMEFRAMES, FloatArray

Order = Literal["total", "hold", "trades", "win_rate", "drawdown", "ticker"]
ORDERS: tuple[Order, ...] = ("total", "hold", "trades", "win_rate", "drawdown", "ticker")
LOCK_SPACE = 0x50455246
"""First half of the lock of whoever fills the table; the second is 0."""


class Turn(NamedTuple):
    """A change of a view, by its close."""

    algorithm: str
    close_time: datetime
    to_view: str


class Behind(NamedTuple):
    """A ticker whose windows were not worked out up to the newest close of its timeframe."""

    ticker: str
    timeframe: str
    newest: datetime


class Performance(NamedTuple):
    """A window of an algorithm on a ticker as of the newest close of its timeframe; shares of 1.

    `since` and the figures are None where the ticker had no candle in it.
    """

    algorithm: str
    ticker: str
    timeframe: str
    days: int
    newest: datetime
    since: datetime | None = None
    until: datetime | None = None
    trades: int | None = None
    win_rate: float | None = None
    total: float | None = None
    hold: float | None = None
    drawdown: float | None = None
    hold_drawdown: float | None = None
    exposure: float | None = None


class Summary(NamedTuple):
    """All tickers of an algorithm's window together; averages are over tickers."""

    tickers: int
    total: float
    hold: float
    ahead: int
    trades: int


def newest_close(connection: Connection, timeframe: str) -> datetime | None:
    """The newest close of a timeframe; None without one."""
    opened = connection.execute(
        text(
            """
            SELECT open_time + make_interval(secs => :seconds) FROM candle
            WHERE timeframe = :timeframe ORDER BY open_time DESC LIMIT 1
            """
        ),
        {"timeframe": timeframe, "seconds": TIMEFRAMES[timeframe]},
    ).scalar_one_or_none()
    found: datetime | None = opened
    return found


def closes(
    connection: Connection, ticker: str, timeframe: str, after: datetime, most: int
) -> tuple[NDArray[np.int64], FloatArray]:
    """Close times (seconds since 1970) and closes of the newest evaluated candles closing after a moment."""
    rows = connection.execute(
        text(
            """
            SELECT CAST(extract(epoch FROM open_time) AS bigint) + :seconds, CAST(close AS float8)
            FROM candle WHERE ticker = :ticker AND timeframe = :timeframe AND evaluated_in IS NOT NULL
                AND open_time > CAST(:after AS timestamptz) - make_interval(secs => :seconds)
            ORDER BY open_time DESC LIMIT :most
            """
        ),
        {
            "ticker": ticker,
            "timeframe": timeframe,
            "after": after,
            "most": most,
            "seconds": TIMEFRAMES[timeframe],
        },
    ).all()
    times = np.array([row[0] for row in reversed(rows)], dtype=np.int64)
    return times, np.array([row[1] for row in reversed(rows)], dtype=np.float64)


def turns(connection: Connection, ticker: str, timeframe: str, algorithm: str | None) -> list[Turn]:
    """The changes of a ticker, oldest first; of all algorithms for None."""
    rows = connection.execute(
        text(
            """
            SELECT algorithm, close_time, to_view FROM view_change
            WHERE ticker = :ticker AND timeframe = :timeframe
                AND (CAST(:algorithm AS text) IS NULL OR algorithm = :algorithm)
            ORDER BY close_time
            """
        ),
        {"ticker": ticker, "timeframe": timeframe, "algorithm": algorithm},
    )
    return [Turn(*row) for row in rows]


def evaluated_since(connection: Connection, ticker: str, timeframe: str) -> dict[str, datetime]:
    """The first close at which each algorithm was evaluated on a ticker, as far as the ledger was read."""
    rows = connection.execute(
        text(
            """
            SELECT algorithm, since FROM standing WHERE ticker = :ticker AND timeframe = :timeframe
            ORDER BY algorithm
            """
        ),
        {"ticker": ticker, "timeframe": timeframe},
    )
    return {row.algorithm: row.since for row in rows}


def behind(session: Session, days: int, limit: int) -> list[Behind]:
    """The tickers that are longest behind, for this transaction alone; none while another is at it.

    One behind with its windows of so many days is with all of them.
    """
    taken = session.execute(text("SELECT pg_try_advisory_xact_lock(:space, 0)"), {"space": LOCK_SPACE})
    if not taken.scalar_one():
        return []
    connection = session.connection()
    newest = {name: newest_close(connection, name) for name in TIMEFRAMES}
    known = [(name, moment) for name, moment in newest.items() if moment is not None]
    rows = session.execute(
        text(
            """
            SELECT p.ticker, p.timeframe, n.newest
            FROM (SELECT ticker, timeframe,
                    CASE WHEN bool_and(newest IS NOT NULL) THEN min(newest) END AS done
                FROM standing LEFT JOIN (SELECT * FROM performance WHERE days = :days) AS known
                    USING (algorithm, ticker, timeframe)
                GROUP BY ticker, timeframe) AS p
            JOIN unnest(CAST(:timeframes AS text[]), CAST(:newest AS timestamptz[])) AS n (timeframe, newest)
                ON n.timeframe = p.timeframe
            WHERE p.done IS DISTINCT FROM n.newest
            ORDER BY p.done NULLS FIRST, p.ticker LIMIT :limit
            """
        ),
        {
            "timeframes": [name for name, _ in known],
            "newest": [each for _, each in known],
            "days": days,
            "limit": limit,
        },
    )
    return [Behind(*row) for row in rows]


def store(session: Session, rows: Sequence[Performance]) -> None:
    """Write windows over what was known of them."""
    if not rows:
        return
    columns = zip(*rows, strict=True)
    session.execute(
        text(
            """
            INSERT INTO performance (algorithm, ticker, timeframe, days, newest, since, until, trades,
                win_rate, total, hold, drawdown, hold_drawdown, exposure)
            SELECT * FROM unnest(CAST(:c0 AS text[]), CAST(:c1 AS text[]), CAST(:c2 AS text[]),
                CAST(:c3 AS smallint[]), CAST(:c4 AS timestamptz[]), CAST(:c5 AS timestamptz[]),
                CAST(:c6 AS timestamptz[]), CAST(:c7 AS integer[]), CAST(:c8 AS float8[]),
                CAST(:c9 AS float8[]), CAST(:c10 AS float8[]), CAST(:c11 AS float8[]),
                CAST(:c12 AS float8[]), CAST(:c13 AS float8[]))
            ON CONFLICT (algorithm, days, ticker, timeframe) DO UPDATE SET newest = excluded.newest,
                since = excluded.since, until = excluded.until, trades = excluded.trades,
                win_rate = excluded.win_rate, total = excluded.total, hold = excluded.hold,
                drawdown = excluded.drawdown, hold_drawdown = excluded.hold_drawdown,
                exposure = excluded.exposure
            """
        ),
        {f"c{index}": list(column) for index, column in enumerate(columns)},
    )


def page(
    connection: Connection, algorithm: str, days: int, order: Order, *, offset: int, limit: int
) -> list[Performance]:
    """Windows of an algorithm: by name, or the highest first, of drawdown the smallest."""
    direction = {"ticker": "ASC", "drawdown": "ASC NULLS LAST"}.get(order, "DESC NULLS LAST")
    rows = connection.execute(
        text(
            f"""
            SELECT algorithm, ticker, timeframe, days, newest, since, until, trades, win_rate, total, hold,
                drawdown, hold_drawdown, exposure
            FROM performance WHERE algorithm = :algorithm AND days = :days AND since IS NOT NULL
            ORDER BY {order} {direction}, ticker OFFSET :offset LIMIT :limit
            """  # noqa: S608 - one of ORDERS
        ),
        {"algorithm": algorithm, "days": days, "offset": offset, "limit": limit},
    )
    return [Performance(*row) for row in rows]


def summary(connection: Connection, algorithm: str, days: int) -> Summary | None:
    """All tickers of an algorithm's window; None without one."""
    row: Any = connection.execute(
        text(
            """
            SELECT count(*), avg(total), avg(hold), count(*) FILTER (WHERE total > hold), sum(trades)
            FROM performance WHERE algorithm = :algorithm AND days = :days AND since IS NOT NULL
            """
        ),
        {"algorithm": algorithm, "days": days},
    ).one()
    return Summary(*row) if row[0] else None


def last_turned(connection: Connection, algorithm: str) -> tuple[str, str] | None:
    """Ticker and timeframe of the view of an algorithm that turned last; any ticker before the first turn."""
    row = connection.execute(
        text(
            """
            SELECT ticker, timeframe FROM view WHERE algorithm = :algorithm
            ORDER BY view <> 'HOLD' DESC, since DESC, ticker LIMIT 1
            """
        ),
        {"algorithm": algorithm},
    ).one_or_none()
    return None if row is None else (row.ticker, row.timeframe)


def tickers_of(connection: Connection, algorithm: str) -> dict[str, str]:
    """The timeframe of each ticker that an algorithm has been evaluated on, in order of names."""
    rows = connection.execute(
        text("SELECT ticker, timeframe FROM view WHERE algorithm = :algorithm ORDER BY ticker"),
        {"algorithm": algorithm},
    )
    return {row.ticker: row.timeframe for row in rows}
