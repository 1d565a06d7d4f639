"""The figures of what became of changes, counted by the database.

Averages are taken of NUMERIC, so that they do not depend on the order of the rows: read again from the
ledger's beginning they are the same to the last digit.
"""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text


class Changes(NamedTuple):
    """The changes of an algorithm, and the closes of the first and the last of them.

    `late` ones stand in supplementary records; they are among the others.
    """

    changes: int
    buys: int
    sells: int
    late: int
    tickers: int
    since: datetime | None
    until: datetime | None


class Moves(NamedTuple):
    """What the changes had become after some candles; shares of 1.

    `changes` counts those that have had as many candles. A move is in the direction of the change, and a
    hit where it is above 0; `hold` is the average move of the price itself.
    """

    changes: int
    hits: int
    hit_rate: float
    average: float
    median: float
    hold: float


class Pairs(NamedTuple):
    """Following every change of a ticker, averaged over tickers, beside holding it; shares of 1.

    `ahead` counts the tickers with which following gave more than holding. Drawdowns are those of each
    ticker's own equity: `drawdown` their average, `deepest` the largest of them.
    """

    tickers: int
    average: float
    median: float
    hold: float
    ahead: int
    drawdown: float
    deepest: float
    hold_drawdown: float


def through(connection: Connection) -> datetime | None:
    """The newest close that was read; None before the first."""
    newest: datetime | None = connection.execute(text("SELECT max(until) FROM standing")).scalar_one()
    return newest


def changes(connection: Connection) -> dict[str | None, Changes]:
    """By algorithm; None is all of them."""
    rows = connection.execute(
        text(
            """
            SELECT algorithm, count(*), count(*) FILTER (WHERE to_view = 'BUY'),
                count(*) FILTER (WHERE to_view = 'SELL'), count(*) FILTER (WHERE late),
                count(DISTINCT ticker), min(close_time), max(close_time)
            FROM outcome GROUP BY GROUPING SETS ((algorithm), ()) HAVING count(*) > 0
            """
        )
    )
    return {row[0]: Changes(*row[1:]) for row in rows}


def moves(connection: Connection) -> dict[tuple[str | None, str | None, int], Moves]:
    """By algorithm, side and number of candles; None is all algorithms or both sides."""
    rows = connection.execute(
        text(
            """
            SELECT algorithm, to_view, after, count(*), count(*) FILTER (WHERE gain > 0),
                CAST(CAST(count(*) FILTER (WHERE gain > 0) AS numeric) / count(*) AS float8),
                CAST(avg(gain) AS float8),
                percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(gain AS float8)),
                CAST(avg(move) AS float8)
            FROM (
                SELECT algorithm, to_view, after, move,
                    CASE to_view WHEN 'BUY' THEN move ELSE -move END AS gain
                FROM outcome
                CROSS JOIN LATERAL (VALUES (1, close_1), (4, close_4), (24, close_24)) AS later (after, price)
                CROSS JOIN LATERAL (SELECT (price - close) / close) AS moved (move)
                WHERE price IS NOT NULL
            ) AS known
            GROUP BY GROUPING SETS
                ((algorithm, to_view, after), (algorithm, after), (to_view, after), (after))
            """
        )
    )
    return {(row[0], row[1], row[2]): Moves(*row[3:]) for row in rows}


def standings(connection: Connection) -> dict[str | None, Pairs]:
    """By algorithm; None is all of them."""
    rows = connection.execute(
        text(
            """
            SELECT algorithm, count(*), CAST(avg(CAST(worth - 1 AS numeric)) AS float8),
                percentile_cont(0.5) WITHIN GROUP (ORDER BY worth - 1),
                CAST(avg((last_close - first_close) / first_close) AS float8),
                count(*) FILTER (WHERE CAST(worth AS numeric) > last_close / first_close),
                CAST(avg(CAST(drawdown AS numeric)) AS float8), max(drawdown),
                CAST(avg(CAST(hold_drawdown AS numeric)) AS float8)
            FROM standing GROUP BY GROUPING SETS ((algorithm), ()) HAVING count(*) > 0
            """
        )
    )
    return {row[0]: Pairs(*row[1:]) for row in rows}
