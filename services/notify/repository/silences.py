"""The queries of notify on tickers that fell silent.

Both kinds of news name a candle, so it does not matter in which order they come: what is about an older
candle than the one known here changes nothing. Nobody can be told twice of the same.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.contracts.signals import SilentTicker, TickerRecoveredV1, TickerStaleV1

_STALE = text(
    """
    INSERT INTO board_silence AS known (ticker, timeframe, last_close, since)
    SELECT ticker, :timeframe, max(last_close), :as_of
      FROM unnest(CAST(:tickers AS text[]), CAST(:closes AS timestamptz[])) AS given(ticker, last_close)
     GROUP BY ticker ORDER BY ticker
    ON CONFLICT (ticker, timeframe) DO UPDATE
       SET last_close = excluded.last_close, since = excluded.since
     WHERE known.last_close < excluded.last_close
        OR (known.last_close = excluded.last_close AND known.since IS NULL)
    RETURNING ticker, last_close
    """
)
_RECOVERED = text(
    """
    INSERT INTO board_silence AS known (ticker, timeframe, last_close, since)
    SELECT DISTINCT ticker, :timeframe, CAST(:close_time AS timestamptz), CAST(NULL AS timestamptz)
      FROM unnest(CAST(:tickers AS text[])) AS given(ticker) ORDER BY ticker
    ON CONFLICT (ticker, timeframe) DO UPDATE SET last_close = excluded.last_close, since = NULL
     WHERE known.last_close < excluded.last_close
    RETURNING ticker
    """
)


def fall_silent(session: Session, event: TickerStaleV1) -> list[SilentTicker]:
    """Keep that tickers are STALE; returns those of which that is news."""
    parameters = {
        "timeframe": event.timeframe,
        "as_of": event.as_of,
        "tickers": [each.ticker for each in event.tickers],
        "closes": [each.last_close for each in event.tickers],
    }
    found = session.execute(_STALE, parameters)
    return [SilentTicker(ticker=row.ticker, last_close=row.last_close) for row in found]


def recover(session: Session, event: TickerRecoveredV1) -> list[str]:
    """Keep that tickers are STALE no more; returns those of which that is news."""
    parameters = {
        "timeframe": event.timeframe,
        "close_time": event.close_time,
        "tickers": list(event.tickers),
    }
    return [row.ticker for row in session.execute(_RECOVERED, parameters)]
