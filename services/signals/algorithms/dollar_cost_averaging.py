"""Dollar Cost Averaging: buy weakness again and again, sell once the first price has doubled."""

from dataclasses import dataclass

from services.signals.algorithms.base import Algorithm, Frame, Rule, Term, all_of, at_least, below


@dataclass(frozen=True)
class DollarCostAveraging(Algorithm):
    """Entry: RSI14 < 50 and close < SMA50. Exit: close >= 2 x entry price."""

    key = "dollar_cost_averaging"
    name = "Dollar Cost Averaging"
    version = "1"
    timeframe = "1h"
    indicators = ("rsi14", "sma50")

    entry_rsi: float = 50.0
    exit_multiple: float = 2.0

    def entry(self, frame: Frame) -> Rule:
        """The entry stated above."""
        return all_of(below(frame, "rsi14", self.entry_rsi), below(frame, "close", "sma50"))

    def exit(self, frame: Frame) -> Rule:
        """The exit stated above."""
        target = Term(
            f"{self.exit_multiple:g} x entry price", self.exit_multiple * frame.entry_price, positive=True
        )
        return all_of(at_least(frame, "close", target))
