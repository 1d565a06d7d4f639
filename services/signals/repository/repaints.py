"""Days that were evaluated again, and what of the ledger belongs to a day."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from services.signals.candles import length_of


class RepaintCheck(NamedTuple):
    """A day of a timeframe, evaluated again: what was compared, and how much of it is otherwise.

    `details` has some differences in words under `candles` and `changes`, and under `left_out` what could
    not be compared.
    """

    day: date
    timeframe: str
    candles: int
    candle_differences: int
    changes: int
    change_differences: int
    details: dict[str, Any]
    checked_at: datetime | None = None


class Summary(NamedTuple):
    """Days that were evaluated again from refetched candles, and how much came out otherwise."""

    days: int
    last: date | None
    candles: int
    candle_differences: int
    changes: int
    change_differences: int


class DayChange(NamedTuple):
    """One turn of a view within a day."""

    ticker: str
    algorithm: str
    close_time: datetime
    from_view: str
    to_view: str
    close: float


def summary(connection: Connection) -> Summary:
    """What the days gave that were evaluated again, all together."""
    row = connection.execute(
        text(
            """
            SELECT count(DISTINCT day), max(day), COALESCE(sum(candles), 0),
                COALESCE(sum(candle_differences), 0), COALESCE(sum(changes), 0),
                COALESCE(sum(change_differences), 0)
            FROM repaint_check
            """
        )
    ).one()
    return Summary(*row)


def page(connection: Connection, before: tuple[date, str] | None, limit: int) -> list[RepaintCheck]:
    """Checks, newest day first, then by timeframe."""
    day, timeframe = before or (None, "")
    rows = connection.execute(
        text(
            """
            SELECT day, timeframe, candles, candle_differences, changes, change_differences, details,
                checked_at FROM repaint_check
            WHERE CAST(:day AS date) IS NULL OR day < :day OR (day = :day AND timeframe > :timeframe)
            ORDER BY day DESC, timeframe LIMIT :limit
            """
        ),
        {"day": day, "timeframe": timeframe, "limit": limit},
    )
    return [RepaintCheck(*row) for row in rows]


def store(session: Session, check: RepaintCheck) -> None:
    """Store what a check gave, in place of an earlier one of the same day."""
    session.execute(
        text(
            """
            INSERT INTO repaint_check (day, timeframe, candles, candle_differences, changes,
                change_differences, details)
            VALUES (:day, :timeframe, :candles, :candle_differences, :changes, :change_differences, :details)
            ON CONFLICT (day, timeframe) DO UPDATE SET candles = excluded.candles,
                candle_differences = excluded.candle_differences, changes = excluded.changes,
                change_differences = excluded.change_differences, details = excluded.details,
                checked_at = now()
            """
        ).bindparams(bindparam("details", type_=JSONB)),
        {name: value for name, value in check._asdict().items() if name != "checked_at"},
    )


def last_whole_day(connection: Connection) -> date | None:
    """The last day of which every shard has evaluated all that the feed in use has released."""
    close: datetime | None = connection.execute(
        text(
            """
            SELECT r.close_time FROM released_batch AS r
            JOIN (SELECT name FROM feed ORDER BY chosen_at DESC LIMIT 1) AS f ON f.name = r.feed
            WHERE r.sequence = (
                SELECT CASE WHEN count(*) = COALESCE((SELECT shards FROM shard_count), 1)
                    THEN min(sequence) END
                FROM shard_position WHERE feed = f.name)
            """
        )
    ).scalar_one_or_none()
    return None if close is None else close.date() - timedelta(days=1)


def unchecked_timeframes(connection: Connection, day: date) -> list[str]:
    """The timeframes that have tickers and of which this day was not checked yet."""
    rows = connection.execute(
        text(
            """
            SELECT DISTINCT timeframe FROM ticker
            EXCEPT SELECT timeframe FROM repaint_check WHERE day = :day ORDER BY 1
            """
        ),
        {"day": day},
    )
    return list(rows.scalars())


def tickers(connection: Connection, timeframes: Sequence[str]) -> list[str]:
    """The tickers of some timeframes."""
    rows = connection.execute(
        text("SELECT DISTINCT ticker FROM ticker WHERE timeframe = ANY(:timeframes) ORDER BY 1"),
        {"timeframes": list(timeframes)},
    )
    return list(rows.scalars())


def records_between(
    connection: Connection, timeframe: str, begin: datetime, end: datetime
) -> dict[int, tuple[int, int]]:
    """By chain, the first and last sequence of records that close from a moment on, before another."""
    rows = connection.execute(
        text(
            """
            SELECT partition, min(sequence), max(sequence) FROM ledger
            WHERE close_time >= :begin AND close_time < :end AND timeframe = :timeframe
            GROUP BY partition ORDER BY partition
            """
        ),
        {"timeframe": timeframe, "begin": begin, "end": end},
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def algorithms_between(
    connection: Connection, partition: int, timeframe: str, first: int, last: int
) -> list[str]:
    """The different lists of algorithms, as JSON, that the records between two sequences have."""
    rows = connection.execute(
        text(
            """
            SELECT DISTINCT CAST(CAST(record AS json) -> 'algorithms' AS text) FROM ledger
            WHERE partition = :partition AND timeframe = :timeframe AND sequence BETWEEN :first AND :last
            """
        ),
        {"partition": partition, "timeframe": timeframe, "first": first, "last": last},
    )
    return list(rows.scalars())


def changes_between(
    connection: Connection, partition: int, timeframe: str, begin: datetime, end: datetime
) -> list[DayChange]:
    """The changes of a chain that close from a moment on, before another."""
    rows = connection.execute(
        text(
            """
            SELECT ticker, algorithm, close_time, from_view, to_view, CAST(close AS float8) FROM view_change
            WHERE close_time >= :begin AND close_time < :end AND timeframe = :timeframe
                AND ledger_partition = :partition
            """
        ),
        {"partition": partition, "timeframe": timeframe, "begin": begin, "end": end},
    )
    return [DayChange(*row) for row in rows]


def stored_candles(
    connection: Connection, timeframe: str, begin: datetime, end: datetime
) -> set[tuple[str, datetime]]:
    """Ticker and open time of all candles, also late ones, that close from a moment on, before another."""
    length = length_of(timeframe)
    rows = connection.execute(
        text(
            """
            SELECT ticker, open_time FROM candle
            WHERE timeframe = :timeframe AND open_time >= :begin AND open_time < :end
            """
        ),
        {"timeframe": timeframe, "begin": begin - length, "end": end - length},
    )
    return {(row.ticker, row.open_time) for row in rows}


def first_open_times(connection: Connection, timeframe: str) -> dict[str, datetime]:
    """When the first candle of each ticker opened."""
    rows = connection.execute(
        text("SELECT ticker, first_open_time FROM ticker WHERE timeframe = :timeframe"),
        {"timeframe": timeframe},
    )
    return {row.ticker: row.first_open_time for row in rows}
