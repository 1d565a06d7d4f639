"""Moving Average Crossover: buy strength when the fast average overtakes the slow one."""

from dataclasses import dataclass

from services.signals.algorithms.base import (
    Algorithm,
    Frame,
    Rule,
    above,
    all_of,
    crosses_above,
    crosses_below,
)


@dataclass(frozen=True)
class GoldenCrossover(Algorithm):
    """Entry: SMA9 crosses above SMA50 while RSI14 > 55. Exit: SMA9 crosses below SMA50."""

    key = "golden_crossover"
    name = "Moving Average Crossover"
    version = "1"
    timeframe = "1h"
    indicators = ("sma9", "sma50", "rsi14")

    entry_rsi: float = 55.0

    def entry(self, frame: Frame) -> Rule:
        """The entry stated above."""
        return all_of(crosses_above(frame, "sma9", "sma50"), above(frame, "rsi14", self.entry_rsi))

    def exit(self, frame: Frame) -> Rule:
        """The exit stated above."""
        return all_of(crosses_below(frame, "sma9", "sma50"))
