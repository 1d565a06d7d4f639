"""Maximized RSI: buy what is oversold below its long average, sell what is overbought."""

from dataclasses import dataclass

from services.signals.algorithms.base import Algorithm, Frame, Rule, above, all_of, below


@dataclass(frozen=True)
class ReversalRsi(Algorithm):
    """Entry: RSI14 < 35 and close < SMA100. Exit: RSI14 > 65."""

    key = "reversal_rsi"
    name = "Maximized RSI"
    version = "1"
    timeframe = "1h"
    indicators = ("rsi14", "sma100")

    entry_rsi: float = 35.0
    exit_rsi: float = 65.0

    def entry(self, frame: Frame) -> Rule:
        """The entry stated above."""
        return all_of(below(frame, "rsi14", self.entry_rsi), below(frame, "close", "sma100"))

    def exit(self, frame: Frame) -> Rule:
        """The exit stated above."""
        return all_of(above(frame, "rsi14", self.exit_rsi))
