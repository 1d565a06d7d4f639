"""Ride the Trend: buy strength, leave with a small profit or when the strength is gone."""

from dataclasses import dataclass

from services.signals.algorithms.base import (
    Algorithm,
    Frame,
    Rule,
    Term,
    above,
    all_of,
    any_of,
    at_least,
    below,
)


@dataclass(frozen=True)
class SimpleTrendRide(Algorithm):
    """Entry: RSI14 > 70. Exit: close >= 1.06 x entry price, or RSI14 < 55."""

    key = "simple_trend_ride"
    name = "Ride the Trend"
    version = "1"
    timeframe = "4h"
    indicators = ("rsi14",)

    entry_rsi: float = 70.0
    exit_multiple: float = 1.06
    exit_rsi: float = 55.0

    def entry(self, frame: Frame) -> Rule:
        """The entry stated above."""
        return all_of(above(frame, "rsi14", self.entry_rsi))

    def exit(self, frame: Frame) -> Rule:
        """The exit stated above."""
        target = Term(
            f"{self.exit_multiple:g} x entry price", self.exit_multiple * frame.entry_price, positive=True
        )
        return any_of(at_least(frame, "close", target), below(frame, "rsi14", self.exit_rsi))
