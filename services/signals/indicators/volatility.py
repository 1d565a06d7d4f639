"""Average true range and Bollinger's bands."""

import numpy as np

from services.signals.candles import FloatArray
from services.signals.indicators.stream import History, Indicator, Step, known_from, smoothed, summed


class Atr(Indicator):
    """Average true range (Wilder, New Concepts in Technical Trading Systems, 1978).

    The true range is the highest of high - low, |high - close before| and |low - close before|; it begins
    with a ticker's second candle.
    """

    def __init__(self, name: str, period: int) -> None:
        super().__init__(name, "average")
        self._period = period

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        high, low = step.series["high"], step.series["low"]
        extent = high - low
        np.maximum(extent, np.abs(high - step.previous_close), out=extent)
        np.maximum(extent, np.abs(low - step.previous_close), out=extent)
        if step.least == 0:
            extent[step.counts == 0] = 0.0
        average = smoothed(self.state["average"], extent, step, self._period)
        return known_from(self._period, step, average.copy())


class Mean(Indicator):
    """The mean of the last `period` closes, summed anew at each candle: the centre of a deviation."""

    def __init__(self, name: str, period: int, closes: History) -> None:
        super().__init__(name)
        self._period = period
        self._closes = closes
        closes.reach(period)

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        total = summed(self._closes.window(step, self._period), step.counts.size)
        return known_from(self._period - 1, step, total / self._period)


class Deviation(Indicator):
    """The standard deviation (of the whole window, not of a sample) of the last `period` closes.

    Taken from the closes less their mean at each candle: the mean of squares less the square of the mean
    loses all digits where the price is large against its moves.
    """

    def __init__(self, name: str, period: int, mean: str, closes: History) -> None:
        super().__init__(name)
        self._period = period
        self._mean = mean
        self._closes = closes
        closes.reach(period)

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        mean = step.series[self._mean]
        squares = ((close - mean) ** 2 for close in self._closes.window(step, self._period))
        return np.sqrt(summed(squares, step.counts.size) / self._period)


class Band(Indicator):
    """`times` deviations from the mean (J. Bollinger, Bollinger on Bollinger Bands, 2001)."""

    def __init__(self, name: str, mean: str, deviation: str, times: float) -> None:
        super().__init__(name)
        self._mean = mean
        self._deviation = deviation
        self._times = times

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        return step.series[self._mean] + self._times * step.series[self._deviation]
