"""Pump and Dump: buy a rise on doubled volume, leave when it tires or overheats."""

from dataclasses import dataclass

from services.signals.algorithms.base import Algorithm, Frame, Rule, Term, above, all_of, any_of, below


@dataclass(frozen=True)
class PumpAndDump(Algorithm):
    """Entry: close > SMA9 > SMA100, volume > 2 x the volume one candle ago, which is > 0.

    Exit: RSI14 < 50 or RSI14 > 77.
    """

    key = "pump_and_dump"
    name = "Pump and Dump"
    version = "1"
    timeframe = "1h"
    indicators = ("rsi14", "sma9", "sma100")

    entry_volume_multiple: float = 2.0
    exit_rsi_below: float = 50.0
    exit_rsi_above: float = 77.0

    def entry(self, frame: Frame) -> Rule:
        """The entry stated above."""
        before = frame.previous.volume
        multiple = self.entry_volume_multiple
        return all_of(
            above(frame, "close", "sma9"),
            above(frame, "sma9", "sma100"),
            above(
                frame,
                "volume",
                Term(f"{multiple:g} x volume one candle ago", multiple * before, positive=True),
            ),
            above(frame, Term("volume one candle ago", before), 0.0),
        )

    def exit(self, frame: Frame) -> Rule:
        """The exit stated above."""
        return any_of(
            below(frame, "rsi14", self.exit_rsi_below),
            above(frame, "rsi14", self.exit_rsi_above),
        )
