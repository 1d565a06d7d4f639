"""Band Breakout: buy a close above the upper Bollinger band on high volume, leave when it has failed."""

from dataclasses import dataclass

from services.signals.algorithms.base import (
    Algorithm,
    Frame,
    Rule,
    Term,
    above,
    all_of,
    any_of,
    at_most,
    crosses_above,
    crosses_below,
)


@dataclass(frozen=True)
class BandBreakout(Algorithm):
    """Entry: close crosses above the upper band (20, 2); volume > 1.5 x its mean of 20.

    Exit: close crosses below the middle band, or close <= entry price - 2 x ATR14.
    """

    key = "band_breakout"
    name = "Band Breakout"
    version = "1"
    timeframe = "1h"
    indicators = ("bollinger_upper20_2", "bollinger_middle20_2", "volume_sma20", "atr14")

    volume_multiple: float = 1.5
    stop_ranges: float = 2.0

    def entry(self, frame: Frame) -> Rule:
        """The entry stated above."""
        usual = Term(f"{self.volume_multiple:g} x its mean of 20", self.volume_multiple * frame.volume_sma20)
        return all_of(crosses_above(frame, "close", "bollinger_upper20_2"), above(frame, "volume", usual))

    def exit(self, frame: Frame) -> Rule:
        """The exit stated above."""
        stop = Term(
            f"entry price - {self.stop_ranges:g} x ATR14", frame.entry_price - self.stop_ranges * frame.atr14
        )
        return any_of(
            crosses_below(frame, "close", "bollinger_middle20_2"),
            at_most(frame, "close", stop),
        )
