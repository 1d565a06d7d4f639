"""Our backtests beside those of backtesting.py 0.6.6 on the same recorded candles, trade for trade.

The reference sees the same views and decides nothing; it buys, sells and counts. Four things make its
trades ours:

- It buys whole units. With capital of 1e13 times the price, what rounding leaves over is below 1e-12.
- It fills an order "on close" when the next candle comes, at the close before. So a last candle that repeats
  the last close is added, in which it also sells what is still open; the worth after that is put where ours
  stands, on the last real candle.
- Its cash carries the rounding of every trade; worth is rounded to 12 digits, so that what did not change is
  no drawdown.
- Its statistics are then asked for on the real candles alone, with its own function.

`pytest -rP` on this file prints the largest deviation of each figure.
"""

import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from backtesting import Backtest as ReferenceBacktest
from backtesting import Strategy
from backtesting.lib import compute_stats

from services.signals.algorithms import ALGORITHMS
from services.signals.backtest import backtest
from services.signals.config import DEMO_DIR
from services.signals.feeds.csv_files import Recording, read_directory
from services.signals.replay import replay
from tests.signals.market import DATA

TICKERS = {DATA / "daily": ("AAPL", "FB"), DATA / "m15": ("BTC-USD",), DEMO_DIR: ("AMD", "AMZN")}
MOST_CANDLES = 1500
FEWEST_TRADES = dict.fromkeys(ALGORITHMS, 1)
UNITS = 1e13
SAME = 1e-10
"""Relative: what whole units leave over, and the rounding of some hundred trades."""
SAME_SHARPE = 1e-6
"""A difference of two numbers close to each other raised to the 252nd or 365th power."""


@cache
def recording() -> Recording:
    """Daily candles of four stocks and 15-minute candles of a coin, of each the first ones."""
    chosen = [
        replace(each, open_times=each.open_times[:MOST_CANDLES], values=each.values[:MOST_CANDLES])
        for directory, tickers in TICKERS.items()
        for each in read_directory(directory).tickers
        if each.ticker in tickers
    ]
    assert len(chosen) == 5
    return Recording(tuple(chosen), ())


def reference(ticker, buys, sells, fee):
    """Trades, equity and statistics of the reference, on the real candles."""
    times = pd.to_datetime(ticker.open_times, unit="s")
    step = times[-1] - times[-2]
    values = np.vstack([ticker.values, ticker.values[-1]])
    values[-1, :3] = values[-1, 3]
    columns = ["Open", "High", "Low", "Close", "Volume"]
    data = pd.DataFrame(values, times.append(times[-1:] + step), columns)

    class Follow(Strategy):
        def init(self):
            pass

        def next(self):
            at = len(self.data) - 1
            if at in buys:
                self.buy()
            elif at in sells:
                self.position.close()

    cash = UNITS * float(values[:, 3].max())
    with np.errstate(all="ignore"):  # as below
        run = ReferenceBacktest(
            data, Follow, cash=cash, commission=fee, trade_on_close=True, finalize_trades=True
        ).run()
    worth = run["_equity_curve"]["Equity"].to_numpy()
    equity = np.append(worth[:-2], worth[-1]) / cash
    run["_equity_curve"] = pd.DataFrame({"Equity": np.round(equity, 12)}, times)
    with np.errstate(all="ignore"):  # it divides by a risk that is nothing
        stats = compute_stats(stats=run, data=data.iloc[:-1])
    return run["_trades"], equity, stats


@cache
def views() -> dict[tuple[str, str], list[int]]:
    """The view after each candle, by algorithm and ticker, as replay shows it."""
    held = {(key, each.ticker): [] for key in ALGORITHMS for each in recording().tickers}
    for moment in replay(recording(), ALGORITHMS.values()):
        for result in moment.results:
            for key, codes in result.views.items():
                for name, view in zip(result.batch.tickers, codes.tolist(), strict=True):
                    held[key, name].append(view)
    return held


def turns(key: str, ticker: str, view: int) -> set[int]:
    """The places of the candles at which a view turns to another one."""
    held = views()[key, ticker]
    return {at for at, (was, now) in enumerate(zip([0, *held], held, strict=False)) if was != now == view}


def percent(value: float | None) -> float:
    return np.nan if value is None else 100 * value


@pytest.mark.filterwarnings("ignore:DatetimeIndex.dayofweek is deprecated")  # the reference asks pandas so
@pytest.mark.parametrize("key", ALGORITHMS)
def test_every_trade_and_figure_is_that_of_the_reference(key):
    algorithm = ALGORITHMS[key]
    trades = 0
    largest = dict.fromkeys(["return of a trade", "equity", "drawdown", "other figures", "Sharpe ratio"], 0.0)

    def compare(what, ours, theirs, within):
        np.testing.assert_allclose(ours, theirs, rtol=SAME, atol=within, err_msg=f"{key} {name} {fee} {what}")
        ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
        away = np.nan_to_num(np.abs(ours - theirs) / np.maximum(1, np.abs(theirs)))
        largest[what] = max(largest[what], float(away.max(initial=0)))

    for fee in (0.0, 0.001):
        tested, failure = backtest(recording(), algorithm, fee)
        assert failure is None
        for ticker, ours in tested:
            name = ticker.ticker
            theirs, equity, stats = reference(ticker, turns(key, name, 1), turns(key, name, -1), fee)
            assert [trade.entry for trade in ours.trades] == theirs["EntryBar"].tolist()
            assert [trade.exit for trade in ours.trades] == theirs["ExitBar"].tolist()
            assert [trade.entry_price for trade in ours.trades] == theirs["EntryPrice"].tolist()
            assert [trade.exit_price for trade in ours.trades] == theirs["ExitPrice"].tolist()
            gains = [trade.gain for trade in ours.trades]
            compare("return of a trade", gains, theirs["ReturnPct"], SAME)
            compare("equity", ours.equity / equity, 1.0, SAME)
            figures = ours.statistics
            assert figures.trades == stats["# Trades"] == len(theirs)
            assert figures.drawdown_seconds == _seconds(stats["Max. Drawdown Duration"])
            compare("drawdown", percent(-figures.drawdown), stats["Max. Drawdown [%]"], 100 * SAME)
            for figure, of_theirs in (
                (figures.win_rate, "Win Rate [%]"),
                (figures.best, "Best Trade [%]"),
                (figures.worst, "Worst Trade [%]"),
                (figures.average, "Avg. Trade [%]"),
                (figures.hold, "Buy & Hold Return [%]"),
                (figures.exposure, "Exposure Time [%]"),
                (figures.cagr, "CAGR [%]"),
            ):
                compare("other figures", percent(figure), stats[of_theirs], 100 * SAME)
            total = stats["Return [%]"]
            assert percent(figures.total) == pytest.approx(total, rel=SAME, abs=100 * SAME)
            sharpe = np.nan if figures.sharpe is None else figures.sharpe
            compare("Sharpe ratio", sharpe, stats["Sharpe Ratio"], SAME_SHARPE)
            trades += len(theirs)
    assert trades >= FEWEST_TRADES[key]
    deviations = ", ".join(f"{what} {away:.1e}" for what, away in largest.items())
    sys.stdout.write(f"{key}: {trades} trades; largest deviation: {deviations}\n")


def _seconds(duration: pd.Timedelta | float) -> int:
    """A duration, which is NaN where the reference finds no drawdown."""
    return 0 if pd.isna(duration) else int(duration.total_seconds())
