"""What a rule would have made of money: the trades of one ticker's views, and their statistics.

All capital goes in at the close of the candle that turns the view to BUY and comes out at the close of the
one that turns it to SELL; a fee is taken on both sides; nothing is sold short, so a SELL without a position
does nothing; a position that is open at the end is closed at the last close, and marked. Views come from
the engine's own step. Definitions of statistics are those of backtesting.py 0.6.6, which the tests compare
with.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.signals.algorithms.base import Algorithm
from services.signals.candles import FloatArray
from services.signals.engine import Failure, Signal
from services.signals.feeds.csv_files import Recording, TickerCandles
from services.signals.replay import Moment, replay

IntArray = NDArray[np.int64]

DEFAULT_FEE = 0.001
"""Share of the traded value that each side costs."""
HIGHEST_FEE = 0.1

DAY = 86_400
YEAR = 365.25 * DAY
FIRST_WEEKEND_DAY = 5
EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday; Monday is 0."""
WEEKEND_SHARE = 2 / 7 * 0.6
"""A market with more of its candles on weekends than this trades 365 days a year, another one 252."""


class Trade(NamedTuple):
    """A position from its entry to its exit: places of both candles, their closes, and the return.

    `gain` is the return as a share of the entry price, after both fees: (exit - entry - fee x (exit +
    entry)) / entry. `is_open` marks one that no SELL ended, `held_before` one that was there at the first
    candle and is counted from its close on.
    """

    entry: int
    exit: int
    entry_price: float
    exit_price: float
    gain: float
    is_open: bool
    held_before: bool


class Statistics(NamedTuple):
    """The figures of a backtest; shares are of 1, durations in seconds. None where there is no such figure.

    `average` is the geometric mean of the trades' gains. `hold` is the return from the first close to the
    last without fees, and `hold_drawdown` its drawdown. A drawdown is the largest fall of the equity below
    its peak before; `drawdown_seconds` is the longest time from a peak until it was reached again, or the
    end. `exposure` is the share of candles with a position, those of entry and exit among them. `cagr` is
    the yearly growth over the time from the first candle to the last, in years of 365.25 days. `sharpe` is
    the annualised return over the annualised volatility, both of daily returns that compound, without a
    risk-free rate.
    """

    trades: int
    win_rate: float | None
    best: float | None
    worst: float | None
    average: float | None
    total: float
    hold: float
    drawdown: float
    drawdown_seconds: int
    hold_drawdown: float
    exposure: float
    cagr: float | None
    sharpe: float | None


@dataclass(frozen=True, eq=False)
class Backtest:
    """One rule on one ticker.

    `open_times` are seconds since 1970 and `closes` prices, both of shape (candles,), oldest first, at least
    one. `equity` is of the same shape and starts at 1: the worth at each close before that close's own order,
    and at the last close after everything was sold.
    """

    open_times: IntArray
    closes: FloatArray
    fee: float
    trades: tuple[Trade, ...]
    equity: FloatArray

    @classmethod
    def of(
        cls, open_times: IntArray, closes: FloatArray, turns: Iterable[tuple[int, Signal]], fee: float
    ) -> "Backtest":
        """The trades of a view that turned at the candles of some places, in their order.

        A place of -1 stands for a view that was held before the first candle: a BUY is then a position taken
        at the first close.
        """
        last = len(closes) - 1
        trades: list[Trade] = []
        entry: int | None = None
        for place, view in turns:
            if view is Signal.BUY and entry is None:
                entry = place
            elif view is Signal.SELL and entry is not None:
                if place >= 0:
                    trades.append(_trade(closes, entry, place, fee, is_open=False))
                entry = None
        if entry is not None:
            trades.append(_trade(closes, entry, last, fee, is_open=True))
        return cls(open_times, closes, fee, tuple(trades), _equity(closes, trades, fee))

    @property
    def hold(self) -> FloatArray:
        """Worth of what was 1 at the first close and was held; shape (candles,)."""
        worth: FloatArray = self.closes / self.closes[0]
        return worth

    @cached_property
    def statistics(self) -> Statistics:
        """The figures."""
        gains = np.array([trade.gain for trade in self.trades])
        some = len(gains) > 0
        seconds = int(self.open_times[-1] - self.open_times[0])
        final = float(self.equity[-1])
        held = sum(trade.exit - trade.entry + 1 for trade in self.trades)
        return Statistics(
            trades=len(gains),
            win_rate=float(np.mean(gains > 0)) if some else None,
            best=float(gains.max()) if some else None,
            worst=float(gains.min()) if some else None,
            average=_geometric_mean(gains) if some else None,
            total=final - 1,
            hold=float(self.hold[-1]) - 1,
            drawdown=_deepest(drawdowns(self.equity)),
            drawdown_seconds=_longest_drawdown(self.open_times, drawdowns(self.equity)),
            hold_drawdown=_deepest(drawdowns(self.hold)),
            exposure=held / len(self.closes),
            cagr=_yearly_growth(final, seconds),
            sharpe=_sharpe(self.open_times, self.equity),
        )


class Tested(NamedTuple):
    """The backtest of one ticker of a recording."""

    ticker: TickerCandles
    result: Backtest


def backtest(
    recording: Recording,
    algorithm: Algorithm,
    fee: float,
    watch: Callable[[Iterator[Moment]], Iterable[Moment]] = lambda moments: moments,
) -> tuple[list[Tested], Failure | None]:
    """A rule on every ticker of a recording through the engine's step, each from HOLD on.

    `watch` sees the moments pass. Beside the results comes the first failure of the rule, if it raised.
    """
    turns: dict[str, list[tuple[int, Signal]]] = {each.ticker: [] for each in recording.tickers}
    places = {each.ticker: each.open_times for each in recording.tickers}
    failure: Failure | None = None
    for moment in watch(replay(recording, [algorithm])):
        opened = int(moment.open_time.timestamp())
        for result in moment.results:
            failure = failure or next(iter(result.failures), None)
            for change in result.changes:
                place = int(np.searchsorted(places[change.ticker], opened))
                turns[change.ticker].append((place, change.to_view))
    return [
        Tested(each, Backtest.of(each.open_times, each.values[:, 3], turns[each.ticker], fee))
        for each in recording.tickers
    ], failure


def drawdowns(equity: FloatArray) -> FloatArray:
    """How far below its peak so far the equity is, as a share of that peak; shape (candles,), 0 at peaks."""
    depths: FloatArray = 1 - equity / np.maximum.accumulate(equity)
    return depths


def _trade(closes: FloatArray, entry: int, exit_: int, fee: float, *, is_open: bool) -> Trade:
    held_before, entry = entry < 0, max(0, entry)
    bought, sold = float(closes[entry]), float(closes[exit_])
    gain = (sold - bought - fee * (sold + bought)) / bought
    return Trade(entry, exit_, bought, sold, gain, is_open, held_before)


def _equity(closes: FloatArray, trades: Sequence[Trade], fee: float) -> FloatArray:
    """The worth of 1 at each close, before its own order; at the last one after it."""
    equity = np.ones(len(closes))
    capital = 1.0
    for trade in trades:
        units = capital / (trade.entry_price * (1 + fee))
        equity[trade.entry + 1 : trade.exit + 1] = units * closes[trade.entry + 1 : trade.exit + 1]
        capital = units * trade.exit_price * (1 - fee)
        equity[trade.exit + 1 :] = capital
    equity[-1] = capital
    return equity


def _deepest(depths: FloatArray) -> float:
    return float(depths.max())


def _longest_drawdown(times: IntArray, depths: FloatArray) -> int:
    """Seconds of the longest stretch between two peaks that do not follow each other, or to the end."""
    peaks = np.unique(np.append(np.flatnonzero(depths == 0), len(depths) - 1))
    stretches = np.diff(times[peaks])[np.diff(peaks) > 1]
    return int(stretches.max()) if stretches.size else 0


def _geometric_mean(gains: FloatArray) -> float:
    """The gain that, made each time, gives the same in the end; 0 when all was lost once."""
    if not gains.size or (gains <= -1).any():
        return 0.0
    return float(np.expm1(np.log1p(gains).mean()))


def _yearly_growth(final: float, seconds: int) -> float | None:
    """Growth a year of what became `final` in so many seconds; None where that is beyond all numbers."""
    with np.errstate(over="ignore"):
        growth = float(np.float64(final) ** (YEAR / seconds)) - 1 if seconds else np.inf
    return growth if np.isfinite(growth) else None


def _sharpe(times: IntArray, equity: FloatArray) -> float | None:
    """Annualised return over annualised volatility; None with fewer than two daily returns or no risk."""
    days = times // DAY
    lasts = np.append(np.flatnonzero(np.diff(days)), len(days) - 1)
    daily = equity[lasts][1:] / equity[lasts][:-1] - 1
    if daily.size < 2:
        return None
    weekdays = (days + EPOCH_WEEKDAY) % 7
    trading_days = 365 if np.mean(weekdays >= FIRST_WEEKEND_DAY) > WEEKEND_SHARE else 252
    growth = np.float64(1 + _geometric_mean(daily))
    with np.errstate(over="ignore", invalid="ignore"):
        variance = (daily.var(ddof=1) + growth**2) ** trading_days - growth ** (2 * trading_days)
        if not 0 < variance < np.inf:
            return None
        return float((growth**trading_days - 1) / np.sqrt(variance))
