"""Catching the Bottom: buy a fast fall below the long average, sell into the recovery."""

from dataclasses import dataclass

from services.signals.algorithms.base import (
    Algorithm,
    Frame,
    Rule,
    Term,
    above,
    all_of,
    at_least,
    below,
    crosses_above,
)


@dataclass(frozen=True)
class BuyTheDip(Algorithm):
    """Entry: RSI14 < 40, at least 3 points below its value one candle ago, EMA100 > EMA50.

    Exit: RSI14 > 65 and EMA50 crosses above EMA100.
    """

    key = "buy_the_dip"
    name = "Catching the Bottom"
    version = "1"
    timeframe = "1h"
    indicators = ("rsi14", "ema50", "ema100")

    entry_rsi: float = 40.0
    entry_rsi_fall: float = 3.0
    exit_rsi: float = 65.0

    def entry(self, frame: Frame) -> Rule:
        """The entry stated above."""
        fall = Term("fall of RSI14 since one candle ago", frame.previous.rsi14 - frame.rsi14)
        return all_of(
            below(frame, "rsi14", self.entry_rsi),
            at_least(frame, fall, self.entry_rsi_fall),
            above(frame, "ema100", "ema50"),
        )

    def exit(self, frame: Frame) -> Rule:
        """The exit stated above."""
        return all_of(above(frame, "rsi14", self.exit_rsi), crosses_above(frame, "ema50", "ema100"))
