"""The rule on frames made by hand: an algorithm is a function of its frame, so no engine is needed."""

import numpy as np
from boritrader_example_algorithm.band_breakout import BandBreakout

from services.signals.algorithms.base import Frame

COLUMNS = ("close", "volume", *BandBreakout.indicators)


def frame(now: list[tuple[float, ...]], before: list[tuple[float, ...]], entry_price: list[float]) -> Frame:
    """Rows of tickers: close, volume, upper band, middle band, mean volume, ATR; now and one candle ago."""
    current, previous = (
        dict(zip(COLUMNS, np.array(rows, dtype=np.float64).T, strict=True)) for rows in (now, before)
    )
    return Frame(current, previous, np.array(entry_price), frozenset(COLUMNS))


def test_a_close_above_the_upper_band_on_high_volume_is_an_entry() -> None:
    """The second ticker's volume is too low, the third was above the band already."""
    now = [(111, 16, 110, 100, 10, 4), (111, 14, 110, 100, 10, 4), (111, 16, 110, 100, 10, 4)]
    before = [(109, 10, 110, 100, 10, 4), (109, 10, 110, 100, 10, 4), (112, 10, 110, 100, 10, 4)]
    assert BandBreakout().entry(frame(now, before, [np.nan] * 3)).holds.tolist() == [True, False, False]


def test_a_close_below_the_middle_band_or_two_ranges_below_the_entry_is_an_exit() -> None:
    """The third ticker's entry price is not known, so the stop says nothing."""
    now = [(99, 1, 110, 100, 10, 4), (102, 1, 110, 100, 10, 4), (102, 1, 110, 100, 10, 4)]
    before = [(101, 1, 110, 100, 10, 4), (103, 1, 110, 100, 10, 4), (103, 1, 110, 100, 10, 4)]
    assert BandBreakout().exit(frame(now, before, [105, 110, np.nan])).holds.tolist() == [True, True, False]


def test_nothing_is_said_while_indicators_warm_up() -> None:
    """A comparison with NaN is false."""
    unknown = [(111.0, 16.0, *[np.nan] * 4)]
    rule = BandBreakout()
    assert not rule.entry(frame(unknown, unknown, [np.nan])).holds.any()
    assert not rule.exit(frame(unknown, unknown, [np.nan])).holds.any()
