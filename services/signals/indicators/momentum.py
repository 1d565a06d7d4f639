"""RSI, MACD and the stochastic oscillator."""

import numpy as np

from services.signals.candles import FloatArray
from services.signals.indicators.stream import History, Indicator, Step, known_from


class Rsi(Indicator):
    """Relative strength index with Wilder's smoothing (New Concepts in Technical Trading Systems, 1978).

    RSI = 100 x gain / (gain + loss), of the smoothed gains and losses; 50 when both are 0. The state has
    `period` times the smoothed ones, the ratio is the same: their sum until the seed, and then each time
    (period - 1) / period of it and what is new.
    """

    def __init__(self, name: str, period: int) -> None:
        super().__init__(name, "gain", "loss")
        self._period = period
        self._share_kept = np.array((period - 1) / period)

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        change = step.series["close"] - step.previous_close
        if step.least == 0:
            change[step.counts == 0] = 0.0
        gained = np.maximum(change, 0.0)
        lost = gained - change
        gain = self._advanced(self.state["gain"], gained, step)
        loss = self._advanced(self.state["loss"], lost, step)
        both = gain + loss
        value = gain / both
        value *= 100.0
        if not both.min() > 0.0:
            value[both == 0.0] = 50.0
        return known_from(self._period, step, value)

    def _advanced(self, state: FloatArray, added: FloatArray, step: Step) -> FloatArray:
        """The state after the step; perhaps the state itself, not to be kept or written to."""
        total = state[step.rows]
        if step.least > self._period:
            total *= self._share_kept
        else:
            total = np.where(step.counts > self._period, total * self._share_kept, total)
        total += added
        if step.scattered or step.least <= self._period:
            state[step.rows] = total
        return total


class Difference(Indicator):
    """One series less another.

    MACD (G. Appel, 1979) is made of it: the line is a fast EMA less a slow one, the histogram the line
    less its own EMA, the signal.
    """

    def __init__(self, name: str, minuend: str, subtrahend: str) -> None:
        super().__init__(name)
        self._minuend = minuend
        self._subtrahend = subtrahend

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        return step.series[self._minuend] - step.series[self._subtrahend]


class KnownFrom(Indicator):
    """A series from the ticker's candle number `first` on, counted from 0."""

    def __init__(self, name: str, source: str, first: int) -> None:
        super().__init__(name)
        self._source = source
        self._first = first

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        return known_from(self._first, step, step.series[self._source])


class Stochastic(Indicator):
    """Where the close stands in the range of the last `period` candles, 0 to 100 (G. Lane, the fast %K).

    100 x (close - lowest low) / (highest high - lowest low); 0 where there is no range, as TA-Lib has it.
    """

    def __init__(self, name: str, period: int, highs: History, lows: History) -> None:
        super().__init__(name)
        self._period = period
        self._highs = highs
        self._lows = lows
        highs.reach(period)
        lows.reach(period)

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        highest, lowest = step.series["high"].copy(), step.series["low"].copy()
        for high in self._highs.window(step, self._period)[1:]:
            np.maximum(highest, high, out=highest)
        for low in self._lows.window(step, self._period)[1:]:
            np.minimum(lowest, low, out=lowest)
        extent = highest - lowest
        value = (step.series["close"] - lowest) / (extent / 100.0)
        value[extent == 0.0] = 0.0
        return known_from(self._period - 1, step, value)
