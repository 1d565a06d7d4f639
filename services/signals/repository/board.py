"""What people and programs read: hot reads by Core on an autocommit connection."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text


class TickerItem(NamedTuple):
    """A ticker; `time` and `close` are open time and price of its newest evaluated candle."""

    ticker: str
    timeframe: str
    first_time: datetime
    time: datetime
    close: float


class ViewItem(NamedTuple):
    """The view of a pair, since which close, and the price of that close."""

    algorithm: str
    ticker: str
    timeframe: str
    view: str
    since: datetime
    close: float


class CandleItem(NamedTuple):
    """A closed candle by the moment it opened; a late one was stored but never evaluated."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    late: bool


class SignalItem(NamedTuple):
    """A signal that was not HOLD; `time` is the open of its candle."""

    time: datetime
    ticker: str
    algorithm: str
    timeframe: str
    signal: str
    view: str
    close: float
    algorithm_version: str
    parameters: dict[str, float]


class ChangeItem(NamedTuple):
    """A view that turned, with its why and its place in the ledger."""

    algorithm: str
    algorithm_version: str
    timeframe: str
    close_time: datetime
    from_view: str
    to_view: str
    close: float
    why: list[dict[str, Any]]
    ledger_partition: int
    ledger_sequence: int


def tickers(connection: Connection, after: tuple[str, str] | None, limit: int) -> list[TickerItem]:
    """Tickers in order of name and timeframe."""
    ticker, timeframe = after or ("", "")
    rows = connection.execute(
        text(
            """
            SELECT t.ticker, t.timeframe, t.first_open_time, newest.open_time, CAST(newest.close AS float8)
            FROM ticker AS t
            CROSS JOIN LATERAL (SELECT open_time, close FROM candle
                WHERE ticker = t.ticker AND timeframe = t.timeframe AND evaluated_in IS NOT NULL
                ORDER BY open_time DESC LIMIT 1) AS newest
            WHERE (t.ticker, t.timeframe) > (:ticker, :timeframe)
            ORDER BY t.ticker, t.timeframe LIMIT :limit
            """
        ),
        {"ticker": ticker, "timeframe": timeframe, "limit": limit},
    )
    return [TickerItem(*row) for row in rows]


def timeframes_of(connection: Connection, ticker: str) -> list[str]:
    """The timeframes in which a ticker has candles; none for an unknown one."""
    rows = connection.execute(
        text("SELECT timeframe FROM ticker WHERE ticker = :ticker ORDER BY first_open_time"),
        {"ticker": ticker},
    )
    return list(rows.scalars())


def views(
    connection: Connection,
    *,
    ticker: str | None,
    algorithm: str | None,
    after: tuple[str, str] | None,
    limit: int,
) -> list[ViewItem]:
    """Views in order of ticker and algorithm."""
    after_ticker, after_algorithm = after or ("", "")
    rows = connection.execute(
        text(
            """
            SELECT algorithm, ticker, timeframe, view, since, CAST(close AS float8) FROM view
            WHERE (ticker, algorithm) > (:after_ticker, :after_algorithm)
                AND (CAST(:ticker AS text) IS NULL OR ticker = :ticker)
                AND (CAST(:algorithm AS text) IS NULL OR algorithm = :algorithm)
            ORDER BY ticker, algorithm LIMIT :limit
            """
        ),
        {
            "after_ticker": after_ticker,
            "after_algorithm": after_algorithm,
            "ticker": ticker,
            "algorithm": algorithm,
            "limit": limit,
        },
    )
    return [ViewItem(*row) for row in rows]


def candles(
    connection: Connection, ticker: str, timeframe: str, before: datetime | None, limit: int
) -> list[CandleItem]:
    """Candles of a ticker, newest first."""
    rows = connection.execute(
        text(
            """
            SELECT open_time, CAST(open AS float8), CAST(high AS float8), CAST(low AS float8),
                CAST(close AS float8), CAST(volume AS float8), evaluated_in IS NULL
            FROM candle WHERE ticker = :ticker AND timeframe = :timeframe
                AND (CAST(:before AS timestamptz) IS NULL OR open_time < :before)
            ORDER BY open_time DESC LIMIT :limit
            """
        ),
        {"ticker": ticker, "timeframe": timeframe, "before": before, "limit": limit},
    )
    return [CandleItem(*row) for row in rows]


def signals(
    connection: Connection,
    *,
    ticker: str | None,
    algorithm: str | None,
    before: tuple[datetime, str, str, str] | None,
    limit: int,
) -> list[SignalItem]:
    """Signals, newest candle first, then by ticker, algorithm and timeframe."""
    moment, before_ticker, before_algorithm, before_timeframe = before or (None, "", "", "")
    rows = connection.execute(
        text(
            """
            SELECT open_time, ticker, algorithm, timeframe, signal, view, CAST(close AS float8),
                algorithm_version, COALESCE((SELECT v.parameters FROM algorithm_version AS v
                    WHERE v.algorithm = signal.algorithm AND v.version = signal.algorithm_version), '{}')
            FROM signal
            WHERE (CAST(:ticker AS text) IS NULL OR ticker = :ticker)
                AND (CAST(:algorithm AS text) IS NULL OR algorithm = :algorithm)
                AND (CAST(:moment AS timestamptz) IS NULL OR (open_time <= :moment
                    AND (open_time < :moment OR (ticker, algorithm, timeframe)
                        > (:before_ticker, :before_algorithm, :before_timeframe))))
            ORDER BY open_time DESC, ticker, algorithm, timeframe LIMIT :limit
            """
        ),
        {
            "ticker": ticker,
            "algorithm": algorithm,
            "moment": moment,
            "before_ticker": before_ticker,
            "before_algorithm": before_algorithm,
            "before_timeframe": before_timeframe,
            "limit": limit,
        },
    )
    return [SignalItem(*row) for row in rows]


def changes(connection: Connection, ticker: str, algorithm: str | None, limit: int) -> list[ChangeItem]:
    """The newest changes of a ticker's views."""
    rows = connection.execute(
        text(
            """
            SELECT algorithm, algorithm_version, timeframe, close_time, from_view, to_view,
                CAST(close AS float8), why, ledger_partition, ledger_sequence
            FROM view_change
            WHERE ticker = :ticker AND (CAST(:algorithm AS text) IS NULL OR algorithm = :algorithm)
            ORDER BY close_time DESC, algorithm LIMIT :limit
            """
        ),
        {"ticker": ticker, "algorithm": algorithm, "limit": limit},
    )
    return [ChangeItem(*row) for row in rows]


def board_tickers(
    connection: Connection,
    *,
    search: str,
    view: str | None,
    algorithm: str | None,
    after: str,
    limit: int,
) -> list[str]:
    """Names of tickers that contain `search`, of which the algorithm (or any) has the view (or any)."""
    pattern = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    rows = connection.execute(
        text(
            """
            SELECT DISTINCT t.ticker FROM ticker AS t
            WHERE t.ticker > :after AND t.ticker ILIKE :pattern
                AND ((CAST(:view AS text) IS NULL AND CAST(:algorithm AS text) IS NULL) OR EXISTS (
                    SELECT 1 FROM view AS v WHERE v.ticker = t.ticker
                    AND (CAST(:view AS text) IS NULL OR v.view = :view)
                    AND (CAST(:algorithm AS text) IS NULL OR v.algorithm = :algorithm)))
            ORDER BY t.ticker LIMIT :limit
            """
        ),
        {"after": after, "pattern": pattern, "view": view, "algorithm": algorithm, "limit": limit},
    )
    return list(rows.scalars())


def views_of(connection: Connection, names: Sequence[str]) -> dict[tuple[str, str], ViewItem]:
    """The views of some tickers by (ticker, algorithm)."""
    rows = connection.execute(
        text(
            """
            SELECT algorithm, ticker, timeframe, view, since, CAST(close AS float8) FROM view
            WHERE ticker = ANY(:names)
            """
        ),
        {"names": list(names)},
    )
    return {(item.ticker, item.algorithm): item for item in (ViewItem(*row) for row in rows)}


def ticker_count(connection: Connection) -> int:
    """How many tickers there are."""
    count: int = connection.execute(text("SELECT count(DISTINCT ticker) FROM ticker")).scalar_one()
    return count


def newest_change(connection: Connection) -> datetime | None:
    """The newest close at which a view turned; None before the first."""
    newest: datetime | None = connection.execute(text("SELECT max(close_time) FROM view_change")).scalar_one()
    return newest
