"""What people and programs read: hot reads by Core on an autocommit connection."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text


class TickerItem(NamedTuple):
    """A ticker; `time` and `close` are open time and price of its newest evaluated candle.

    They are None when that one is so old that it was let go. `stale_since` is None while candles come.
    """

    ticker: str
    timeframe: str
    first_time: datetime
    time: datetime | None
    close: float | None
    stale_since: datetime | None


class ViewItem(NamedTuple):
    """The view of a pair, since which close, and the price of that close.

    `stale_since` is when its ticker fell silent; the view stands as it was decided before.
    """

    algorithm: str
    ticker: str
    timeframe: str
    view: str
    since: datetime
    close: float
    stale_since: datetime | None


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


def tickers(
    connection: Connection,
    *,
    tickers: Sequence[str] | None,
    timeframe: str | None,
    stale: bool | None,
    after: tuple[str, str] | None,
    limit: int,
) -> list[TickerItem]:
    """Tickers in order of name and timeframe."""
    after_ticker, after_timeframe = after or ("", "")
    rows = connection.execute(
        text(
            """
            SELECT t.ticker, t.timeframe, t.first_open_time, newest.open_time, CAST(newest.close AS float8),
                t.stale_since
            FROM ticker AS t
            LEFT JOIN LATERAL (SELECT open_time, close FROM candle
                WHERE ticker = t.ticker AND timeframe = t.timeframe AND evaluated_in IS NOT NULL
                ORDER BY open_time DESC LIMIT 1) AS newest ON true
            WHERE (t.ticker, t.timeframe) > (:after_ticker, :after_timeframe)
                AND (CAST(:tickers AS text[]) IS NULL OR t.ticker = ANY(:tickers))
                AND (CAST(:timeframe AS text) IS NULL OR t.timeframe = :timeframe)
                AND (CAST(:stale AS boolean) IS NULL OR (t.stale_since IS NOT NULL) = :stale)
            ORDER BY t.ticker, t.timeframe LIMIT :limit
            """
        ),
        {
            "after_ticker": after_ticker,
            "after_timeframe": after_timeframe,
            "tickers": tickers,
            "timeframe": timeframe,
            "stale": stale,
            "limit": limit,
        },
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
    tickers: Sequence[str] | None,
    algorithm: str | None,
    timeframe: str | None,
    view: str | None,
    stale: bool | None,
    after: tuple[str, str] | None,
    limit: int,
) -> list[ViewItem]:
    """Views in order of ticker and algorithm."""
    after_ticker, after_algorithm = after or ("", "")
    rows = connection.execute(
        text(
            """
            SELECT v.algorithm, v.ticker, v.timeframe, v.view, v.since, CAST(v.close AS float8), t.stale_since
            FROM view AS v LEFT JOIN ticker AS t ON t.ticker = v.ticker AND t.timeframe = v.timeframe
            WHERE (v.ticker, v.algorithm) > (:after_ticker, :after_algorithm)
                AND (CAST(:tickers AS text[]) IS NULL OR v.ticker = ANY(:tickers))
                AND (CAST(:algorithm AS text) IS NULL OR v.algorithm = :algorithm)
                AND (CAST(:timeframe AS text) IS NULL OR v.timeframe = :timeframe)
                AND (CAST(:view AS text) IS NULL OR v.view = :view)
                AND (CAST(:stale AS boolean) IS NULL OR (t.stale_since IS NOT NULL) = :stale)
            ORDER BY v.ticker, v.algorithm LIMIT :limit
            """
        ),
        {
            "after_ticker": after_ticker,
            "after_algorithm": after_algorithm,
            "tickers": tickers,
            "algorithm": algorithm,
            "timeframe": timeframe,
            "view": view,
            "stale": stale,
            "limit": limit,
        },
    )
    return [ViewItem(*row) for row in rows]


def candles(
    connection: Connection,
    ticker: str,
    timeframe: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int,
) -> list[CandleItem]:
    """Candles of a ticker that opened from `since` on, before `until`, newest first."""
    rows = connection.execute(
        text(
            """
            SELECT open_time, CAST(open AS float8), CAST(high AS float8), CAST(low AS float8),
                CAST(close AS float8), CAST(volume AS float8), evaluated_in IS NULL
            FROM candle WHERE ticker = :ticker AND timeframe = :timeframe
                AND (CAST(:since AS timestamptz) IS NULL OR open_time >= :since)
                AND (CAST(:until AS timestamptz) IS NULL OR open_time < :until)
            ORDER BY open_time DESC LIMIT :limit
            """
        ),
        {"ticker": ticker, "timeframe": timeframe, "since": since, "until": until, "limit": limit},
    )
    return [CandleItem(*row) for row in rows]


def signals(
    connection: Connection,
    *,
    tickers: Sequence[str] | None,
    algorithm: str | None,
    timeframe: str | None,
    signal: str | None,
    since: datetime | None,
    until: datetime | None,
    before: tuple[datetime, str, str, str] | None,
    limit: int,
) -> list[SignalItem]:
    """Signals of candles that opened from `since` on, before `until`.

    The newest candle comes first, then they are in order of ticker, algorithm and timeframe.
    """
    moment, before_ticker, before_algorithm, before_timeframe = before or (None, "", "", "")
    rows = connection.execute(
        text(
            """
            SELECT open_time, ticker, algorithm, timeframe, signal, view, CAST(close AS float8),
                algorithm_version, COALESCE((SELECT v.parameters FROM algorithm_version AS v
                    WHERE v.algorithm = signal.algorithm AND v.version = signal.algorithm_version), '{}')
            FROM signal
            WHERE (CAST(:tickers AS text[]) IS NULL OR ticker = ANY(:tickers))
                AND (CAST(:algorithm AS text) IS NULL OR algorithm = :algorithm)
                AND (CAST(:timeframe AS text) IS NULL OR timeframe = :timeframe)
                AND (CAST(:signal AS text) IS NULL OR signal = :signal)
                AND (CAST(:since AS timestamptz) IS NULL OR open_time >= :since)
                AND (CAST(:until AS timestamptz) IS NULL OR open_time < :until)
                AND (CAST(:moment AS timestamptz) IS NULL OR (open_time <= :moment
                    AND (open_time < :moment OR (ticker, algorithm, timeframe)
                        > (:before_ticker, :before_algorithm, :before_timeframe))))
            ORDER BY open_time DESC, ticker, algorithm, timeframe LIMIT :limit
            """
        ),
        {
            "tickers": tickers,
            "algorithm": algorithm,
            "timeframe": timeframe,
            "signal": signal,
            "since": since,
            "until": until,
            "moment": moment,
            "before_ticker": before_ticker,
            "before_algorithm": before_algorithm,
            "before_timeframe": before_timeframe,
            "limit": limit,
        },
    )
    return [SignalItem(*row) for row in rows]


def board_tickers(
    connection: Connection,
    *,
    search: str,
    view: str | None,
    algorithm: str | None,
    after: str,
    limit: int,
) -> list[str]:
    """Names of tickers that contain `search`, of which the algorithm (or any) has the view (or any).

    The view STALE is that of a ticker that fell silent, whatever was thought of it before.
    """
    pattern = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    rows = connection.execute(
        text(
            """
            SELECT DISTINCT t.ticker FROM ticker AS t
            WHERE t.ticker > :after AND t.ticker ILIKE :pattern
                AND ((CAST(:view AS text) IS NULL AND CAST(:algorithm AS text) IS NULL) OR EXISTS (
                    SELECT 1 FROM view AS v WHERE v.ticker = t.ticker
                    AND v.timeframe = t.timeframe
                    AND (CAST(:view AS text) IS NULL OR v.view = :view
                        OR (:view = 'STALE' AND t.stale_since IS NOT NULL))
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
            SELECT v.algorithm, v.ticker, v.timeframe, v.view, v.since, CAST(v.close AS float8), t.stale_since
            FROM view AS v LEFT JOIN ticker AS t ON t.ticker = v.ticker AND t.timeframe = v.timeframe
            WHERE v.ticker = ANY(:names)
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
