"""Moving averages of a series."""

import numpy as np

from services.signals.candles import FloatArray
from services.signals.indicators.stream import (
    History,
    Indicator,
    Step,
    known_from,
    seeding,
    summed,
    zero_before,
)

RECENTRE_EVERY = 64
"""A running sum is taken anew from its candles every so many candles, counted from the ticker's first."""

CANCELLATION = 1e3
"""It is also taken anew when it has fallen below its highest since then by more than this factor: what
the large values left behind as rounding (128 additions x 1.1e-16 x 1e3 = 1.4e-11) stays below 1e-10."""


class Sma(Indicator):
    """Simple moving average: the mean of the last `period` values of a series, as a running sum.

    The sum is taken anew from the values every RECENTRE_EVERY candles of the ticker, and wherever it has
    shrunk so far that earlier rounding would show, so it never drifts. The series is never negative and
    begins with the ticker's candle number `start`, counted from 0.
    """

    def __init__(self, name: str, period: int, source: str, history: History, start: int = 0) -> None:
        super().__init__(name, "peak", "total")
        self._period = period
        self._source = source
        self._history = history
        self._start = start
        self._first = start + period - 1
        history.reach(period)

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        total, peak = self.state["total"][step.rows], self.state["peak"][step.rows]
        total += zero_before(self._start, step, step.series[self._source])
        total -= self._history.leaving(step, self._period)
        np.maximum(peak, total, out=peak)
        anew = peak > total * CANCELLATION
        if step.same is None:
            anew |= (step.counts + 1) % RECENTRE_EVERY == 0
        elif (step.same + 1) % RECENTRE_EVERY == 0:
            anew[:] = True
        if anew.any():
            which = np.flatnonzero(anew)
            total[which] = peak[which] = summed(self._history.window(step, self._period, which), which.size)
        if step.scattered:
            self.state["total"][step.rows], self.state["peak"][step.rows] = total, peak
        return known_from(self._first, step, total / self._period)


class Ema(Indicator):
    """Exponential moving average, k = 2 / (period + 1), seeded with the SMA of its first `period` values.

    These begin with the ticker's candle number `start`, counted from 0. The state is the average, and
    before the seed the sum of the values.
    """

    def __init__(self, name: str, period: int, source: str, start: int = 0) -> None:
        super().__init__(name, "average")
        self._period = period
        self._source = source
        self._start = start
        self._first = start + period - 1

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        state = self.state["average"]
        old, value = state[step.rows], step.series[self._source]
        average = value - old
        average *= 2.0 / (self._period + 1)
        average += old
        if step.least > self._first:
            state[step.rows] = average
            return average
        total = old + zero_before(self._start, step, value)
        average = seeding(average, total, step.counts, self._first, self._period)
        state[step.rows] = average
        return known_from(self._first, step, average)
