"""STALE: a ticker of which no candle came for two timeframes. Its view stands, and nobody evaluates it.

The clock is the market's: each close tells which tickers it brought nothing of. When a live feed is silent
altogether no close comes, and the wall clock tells. A replay makes nothing STALE when it ends.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from services.signals.candles import TIMEFRAMES, length_of
from services.signals.evaluation import Evaluation, Silence
from services.signals.repository import locks, silences
from shared.contracts.signals import (
    MAX_TICKERS,
    CandlesClosedV1,
    SilentTicker,
    TickerRecoveredV1,
    TickerStaleV1,
)
from shared.db import outbox

GRACE = timedelta(seconds=60)
"""How long a live candle may be on its way before the wall clock counts it as missing."""


def after_close(
    session: Session, event: CandlesClosedV1, partitions: Sequence[int], result: Evaluation
) -> int:
    """Note which tickers of some partitions a close has made STALE or found again.

    Returns how many it brought nothing of that were not STALE before.
    """
    stale = silences.stale(session, event.timeframe, partitions)
    fallen = [each for each in result.silent if each.ticker not in stale]
    found = [ticker for ticker in result.candles.tickers if ticker in stale] if result.is_recent else []
    if fallen:
        _tell_stale(session, event.timeframe, fallen, event.close_time, version=event.sequence)
    if found:
        silences.mark_recovered(session, event.timeframe, found)
    for start in range(0, len(found), MAX_TICKERS):
        outbox.add(
            session,
            TickerRecoveredV1(
                timeframe=event.timeframe,
                close_time=event.close_time,
                tickers=tuple(found[start : start + MAX_TICKERS]),
            ),
            aggregate_id=f"stale:{event.timeframe}",
            aggregate_version=event.sequence,
        )
    return len(set(result.missing) - stale)


class WallClock:
    """Watches a live feed that may have fallen silent altogether."""

    def __init__(self) -> None:
        self._sequence: int | None = None

    def look(self, session: Session, now: datetime) -> bool:
        """Note which tickers are STALE at a moment, if a live feed is in use and rests since the last look.

        While it brings batches, of history for one, the closes themselves tell. False while one is being
        evaluated: what it brings isn't seen yet, so that is to be asked again.
        """
        connection = session.connection()
        before, self._sequence = self._sequence, silences.live_sequence(connection)
        if self._sequence is None or self._sequence != before:
            return True
        if not locks.keep_closes_out(connection):
            return False
        for timeframe in TIMEFRAMES:
            fallen = silences.silent(session, timeframe, length_of(timeframe), now - GRACE)
            if fallen:
                _tell_stale(session, timeframe, fallen, now, version=int(now.timestamp()))
        return True


def _tell_stale(
    session: Session, timeframe: str, fallen: Sequence[Silence], now: datetime, *, version: int
) -> None:
    silences.mark_stale(session, timeframe, [each.ticker for each in fallen], now)
    for start in range(0, len(fallen), MAX_TICKERS):
        silent = fallen[start : start + MAX_TICKERS]
        event = TickerStaleV1.model_validate(
            {
                "timeframe": timeframe,
                "as_of": now,
                "tickers": tuple(SilentTicker(ticker=name, last_close=closed) for name, closed in silent),
            }
        )
        outbox.add(session, event, aggregate_id=f"stale:{timeframe}", aggregate_version=version)
