"""The published rules for peers: what each says of one candle, on values that the peer's library gave.

Plain comparisons of NumPy, over all tickers at once wherever a peer gets at its values as arrays: what a
peer's table row costs is its library, not the rules.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
CodeArray = NDArray[np.int8]

KEYS = (
    "golden_crossover",
    "buy_the_dip",
    "reversal_rsi",
    "simple_trend_ride",
    "dollar_cost_averaging",
    "pump_and_dump",
)
"""Rows of all arrays of signals, views and entry prices."""

INDICATORS = ("sma9", "sma50", "sma100", "ema50", "ema100", "rsi14")
BUY, SELL = 1, -1


class Followed:
    """Views and entry prices of all algorithms, arrays of shape (6, tickers)."""

    def __init__(self, views: CodeArray, prices: FloatArray) -> None:
        self.views = views.copy()
        self.prices = prices.copy()

    def turn(self, signals: CodeArray, close: FloatArray) -> None:
        """Turn the views whose signal is not HOLD and another one."""
        turned = (signals != 0) & (signals != self.views)
        self.views[turned] = signals[turned]
        self.prices[turned] = np.where(signals == BUY, close, np.nan)[turned]


def signals(now: Mapping[str, FloatArray], before: Mapping[str, FloatArray], prices: FloatArray) -> CodeArray:
    """Signals of shape (6, tickers); `now` and `before` hold indicators, close and volume."""
    rsi, close = now["rsi14"], now["close"]
    crossed_up = (before["sma9"] <= before["sma50"]) & (now["sma9"] > now["sma50"])
    crossed_down = (before["sma9"] >= before["sma50"]) & (now["sma9"] < now["sma50"])
    averages_cross = (before["ema50"] <= before["ema100"]) & (now["ema50"] > now["ema100"])
    pumped = (now["volume"] > 2 * before["volume"]) & (before["volume"] > 0)
    entries = (
        crossed_up & (rsi > 55),
        (rsi < 40) & (before["rsi14"] - rsi >= 3) & (now["ema100"] > now["ema50"]),
        (rsi < 35) & (close < now["sma100"]),
        rsi > 70,
        (rsi < 50) & (close < now["sma50"]),
        (close > now["sma9"]) & (now["sma9"] > now["sma100"]) & pumped,
    )
    exits = (
        crossed_down,
        (rsi > 65) & averages_cross,
        rsi > 65,
        (close >= 1.06 * prices[3]) | (rsi < 55),
        close >= 2 * prices[4],
        (rsi < 50) | (rsi > 77),
    )
    return np.where(np.stack(entries), BUY, np.where(np.stack(exits), SELL, 0)).astype(np.int8)
