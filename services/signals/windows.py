"""The last 30, 90 and 365 days of every algorithm on every ticker, from stored candles and changes.

A window ends with the ticker's newest evaluated candle and begins so many days before the newest close of
its timeframe, or where the algorithm was first evaluated on the ticker if that is later: what it would have
made before is not known. A position that is open when it begins is taken at its first close, fee and all, as
somebody would who starts then.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from services.signals.backtest import DEFAULT_FEE, Backtest, IntArray, drawdowns
from services.signals.candles import FloatArray, length_of
from services.signals.engine import Signal
from services.signals.repository import performance
from services.signals.repository.performance import Behind, Performance, Turn
from shared.db.engine import Database

DAYS = (30, 90, 365)
"""The windows that are kept; the longest is read, the others are its ends."""
FEE = DEFAULT_FEE
MOST_CANDLES = 50_000
"""A window of more candles is cut to the newest of them: 34 days of minutes."""
POINTS = 400
"""Points of a curve: more than a screen is wide give no better picture."""
TICKERS_AT_ONCE = 20
SECONDS_AT_ONCE = 10.0


class Window(NamedTuple):
    """One algorithm on one ticker for so many days; `since` and `until` are its first and last close.

    `evaluated_since` is the first close at which the algorithm was evaluated on the ticker.
    """

    days: int
    timeframe: str
    evaluated_since: datetime
    since: datetime
    until: datetime
    is_cut: bool
    result: Backtest


class Point(NamedTuple):
    """The curves at a close: worth of 1 by the algorithm, by holding, and the algorithm's drawdown."""

    time: datetime
    equity: float
    hold: float
    drawdown: float


def window(connection: Connection, algorithm: str, ticker: str, timeframe: str, days: int) -> Window | None:
    """One window, from what is stored; None without a candle in it that the track record knows of."""
    newest = performance.newest_close(connection, timeframe)
    since = performance.evaluated_since(connection, ticker, timeframe).get(algorithm)
    if newest is None or since is None:
        return None
    start = _start(newest, days, since, timeframe)
    candles = _Candles(
        timeframe, start, *performance.closes(connection, ticker, timeframe, start, MOST_CANDLES)
    )
    return _window(days, candles, performance.turns(connection, ticker, timeframe, algorithm), since)


def refresh(database: Database, seconds: float = SECONDS_AT_ONCE) -> int:
    """Bring the table of all windows up to the newest closes; how many tickers were worked on.

    It ends when all are, or after so many seconds; the next call goes on with those longest behind. A
    transaction each for a few tickers.
    """
    until = time.monotonic() + seconds
    done = 0
    while time.monotonic() < until:
        with database.transaction() as session:
            behind = performance.behind(session, DAYS[0], TICKERS_AT_ONCE)
            for each in behind:
                performance.store(session, _performances(session, each))
        done += len(behind)
        if len(behind) < TICKERS_AT_ONCE:
            break
    return done


def _performances(session: Session, behind: Behind) -> list[Performance]:
    connection = session.connection()
    ticker, timeframe, newest = behind
    start = newest - timedelta(days=max(DAYS))
    candles = _Candles(
        timeframe, start, *performance.closes(connection, ticker, timeframe, start, MOST_CANDLES)
    )
    turns = performance.turns(connection, ticker, timeframe, None)
    found = []
    for algorithm, since in performance.evaluated_since(connection, ticker, timeframe).items():
        mine = [turn for turn in turns if turn.algorithm == algorithm]
        for days in DAYS:
            row = Performance(algorithm, ticker, timeframe, days, newest)
            each = _window(days, candles.after(_start(newest, days, since, timeframe)), mine, since)
            found.append(row if each is None else _filled(row, each))
    return found


class _Candles(NamedTuple):
    """Close times, in seconds since 1970, and closes of a ticker: those after `start`."""

    timeframe: str
    start: datetime
    times: IntArray
    closes: FloatArray

    def after(self, start: datetime) -> "_Candles":
        """Those after a later moment."""
        place = int(np.searchsorted(self.times, int(start.timestamp()), side="right"))
        return _Candles(self.timeframe, start, self.times[place:], self.closes[place:])


def _start(newest: datetime, days: int, since: datetime, timeframe: str) -> datetime:
    """The moment after which the candles of a window close."""
    return max(newest - timedelta(days=days), since - length_of(timeframe))


def _window(days: int, candles: _Candles, turns: Iterable[Turn], evaluated_since: datetime) -> Window | None:
    timeframe, start, times, closes = candles
    if not len(times):
        return None
    first = int(times[0])
    placed: list[tuple[int, Signal]] = []
    for turn in turns:
        at = int(turn.close_time.timestamp())
        if at > int(times[-1]):
            break
        place = int(np.searchsorted(times, at)) if at >= first else -1
        placed.append((place, Signal(turn.to_view)))
    before = [each for each in placed if each[0] < 0][-1:]
    result = Backtest.of(times, closes, before + [each for each in placed if each[0] >= 0], FEE)
    is_cut = len(times) == MOST_CANDLES and _moment(first) - start > 2 * length_of(timeframe)
    until = _moment(int(times[-1]))
    return Window(days, timeframe, evaluated_since, _moment(first), until, is_cut, result)


def _filled(row: Performance, found: Window) -> Performance:
    figures = found.result.statistics
    return row._replace(
        since=found.since,
        until=found.until,
        trades=figures.trades,
        win_rate=figures.win_rate,
        total=figures.total,
        hold=figures.hold,
        drawdown=figures.drawdown,
        hold_drawdown=figures.hold_drawdown,
        exposure=figures.exposure,
    )


def points(found: Window, most: int = POINTS) -> list[Point]:
    """The curves of a window, evenly thinned out; the deepest drawdown and its peak are always among them."""
    result = found.result
    size = len(result.closes)
    falls = drawdowns(result.equity)
    chosen: Sequence[int] = range(size)
    if size > most:
        bottom = int(falls.argmax())
        peak = int(result.equity[: bottom + 1].argmax())
        even = np.linspace(0, size - 1, most - 2).round().astype(np.int64)
        chosen = np.unique(np.append(even, [peak, bottom])).tolist()
    hold = result.hold
    return [
        Point(
            _moment(int(result.open_times[place])),
            float(result.equity[place]),
            float(hold[place]),
            float(falls[place]),
        )
        for place in chosen
    ]


def trades(found: Window) -> list[dict[str, Any]]:
    """The trades of a window, newest first, with the close times of their candles."""
    times = found.result.open_times
    return [
        {
            "entry": _moment(int(times[trade.entry])),
            "exit": _moment(int(times[trade.exit])),
            "entry_price": trade.entry_price,
            "exit_price": trade.exit_price,
            "gain": trade.gain,
            "is_open": trade.is_open,
            "held_before": trade.held_before,
        }
        for trade in reversed(found.result.trades)
    ]


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
