"""Indicators as streams: one value per ticker and candle, all tickers at once.

Every indicator keeps its state in arrays over the tickers and advances in O(1) per ticker and step; a
ticker that is missing from a step stands still. Values are NaN during warm-up. All work is elementwise
or in a fixed order over time, so a ticker's values do not depend on which tickers stand beside it.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.signals.candles import FloatArray

IntArray = NDArray[np.int64]
Rows = slice | IntArray
Number = TypeVar("Number", bound=np.number[Any])

RECENTRE_EVERY = 64
"""A running sum is taken anew from its candles every so many candles, counted from the ticker's first."""

CANCELLATION = 1e3
"""It is also taken anew when it has fallen below its highest since then by more than this factor: what
the large values left behind as rounding (128 additions x 1.1e-16 x 1e3 = 1.4e-11) stays below 1e-10."""


@dataclass(frozen=True, slots=True)
class Step:
    """One candle for each of some tickers, and where they stand.

    `rows` are the tickers' places in the state arrays and `counts` how many candles each had before;
    `least` is the smallest count, `same` the count of all of them or None when they differ. `close` and
    `previous_close` (NaN for a first candle) have the shape of `counts`: (tickers of the step,).
    """

    rows: Rows
    counts: IntArray
    least: int
    same: int | None
    close: FloatArray
    previous_close: FloatArray

    @classmethod
    def of(cls, rows: Rows, counts: IntArray, close: FloatArray, previous_close: FloatArray) -> "Step":
        """The step of a batch that is not empty."""
        least, most = int(counts.min()), int(counts.max())
        return cls(rows, counts, least, least if least == most else None, close, previous_close)

    @property
    def scattered(self) -> bool:
        """Whether indexing a state array by `rows` copies, so that a change has to be written back."""
        return not isinstance(self.rows, slice)

    @property
    def row_numbers(self) -> IntArray:
        """The rows as numbers, shape (tickers of the step,)."""
        return np.arange(self.counts.size, dtype=np.int64) if isinstance(self.rows, slice) else self.rows


class History:
    """The newest closes of every ticker, in a ring of shape (periods, capacity).

    It holds one candle more than the longest window, so that the close that leaves the window is still
    there when the new one is written. A slot that was not written yet holds zero, so a window that is
    not full yet sums rightly.
    """

    def __init__(self, longest: int) -> None:
        self._length = longest + 1
        self._ring: FloatArray = np.zeros((self._length, 0))

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` tickers; what is there stays."""
        ring = np.zeros((self._length, capacity))
        ring[:, : self._ring.shape[1]] = self._ring
        self._ring = ring

    def write(self, step: Step) -> None:
        """Take in the step's closes."""
        if step.same is not None:
            self._ring[step.same % self._length][step.rows] = step.close
        else:
            self._ring[step.counts % self._length, step.row_numbers] = step.close

    def newest(self, rows: IntArray, counts: IntArray) -> FloatArray:
        """The closes of some rows, newest first, as far back as any window reaches; 0 before the first.

        Shape (longest window, len(rows)); `counts` says how many candles each row has had.
        """
        closes: FloatArray = self._ring[self._slots(counts), rows]
        return closes

    def resume(self, rows: IntArray, counts: IntArray, newest: FloatArray) -> None:
        """Take back what `newest` gave, also that of a longer history."""
        self._ring[self._slots(counts), rows] = newest[: self._length - 1]

    def _slots(self, counts: IntArray) -> IntArray:
        ages = np.arange(1, self._length, dtype=np.int64)[:, np.newaxis]
        slots: IntArray = (counts - ages) % self._length
        return slots

    def leaving(self, step: Step, period: int) -> FloatArray:
        """The closes that a window of `period` candles loses with this step; shape (tickers of the step,)."""
        if step.same is not None:
            old: FloatArray = self._ring[(step.same - period) % self._length][step.rows]
        else:
            old = self._ring[(step.counts - period) % self._length, step.row_numbers]
        return old

    def total(self, step: Step, period: int, which: IntArray) -> FloatArray:
        """Sum of the last `period` closes, this step's included, of the step's tickers at `which`.

        Newest first, one after the other for every ticker: NumPy's own sums change their order with the
        shape, and a value must not depend on its neighbours.
        """
        if step.same is not None and which.size == step.counts.size:
            summed: FloatArray = np.zeros(which.size)
            for age in range(period):
                summed += self._ring[(step.same - age) % self._length][step.rows]
            return summed
        ages = np.arange(period, dtype=np.int64)[:, np.newaxis]
        slots = (step.counts[which] - ages) % self._length
        running = np.add.accumulate(self._ring[slots, step.row_numbers[which]], axis=0)
        newest: FloatArray = running[-1]
        return newest


class Indicator(ABC):
    """A value per ticker, advanced candle by candle. `name` is how algorithms ask for it.

    `state` is all that it remembers, arrays of shape (capacity,) by the names of its parts.
    """

    def __init__(self, name: str, *parts: str) -> None:
        self.name = name
        self.state: dict[str, FloatArray] = {part: np.zeros(0) for part in parts}

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` tickers; what is there stays."""
        self.state = {part: grown(values, capacity) for part, values in self.state.items()}

    @abstractmethod
    def update(self, step: Step) -> FloatArray:
        """Take in one candle per ticker of the step; the values after it, shape (tickers of the step,)."""


class Sma(Indicator):
    """Simple moving average: the mean of the last `period` closes, as a running sum.

    The sum is taken anew from the closes every RECENTRE_EVERY candles of the ticker, and wherever it has
    shrunk so far that earlier rounding would show, so it never drifts.
    """

    def __init__(self, name: str, period: int, history: History) -> None:
        super().__init__(name, "peak", "total")
        self._period = period
        self._history = history

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        total, peak = self.state["total"][step.rows], self.state["peak"][step.rows]
        total += step.close
        total -= self._history.leaving(step, self._period)
        np.maximum(peak, total, out=peak)
        anew = peak > total * CANCELLATION
        if step.same is None:
            anew |= (step.counts + 1) % RECENTRE_EVERY == 0
        elif (step.same + 1) % RECENTRE_EVERY == 0:
            anew[:] = True
        if anew.any():
            which = np.flatnonzero(anew)
            total[which] = peak[which] = self._history.total(step, self._period, which)
        if step.scattered:
            self.state["total"][step.rows], self.state["peak"][step.rows] = total, peak
        mean = total / self._period
        if step.least < self._period - 1:
            mean[step.counts < self._period - 1] = np.nan
        return mean


class Ema(Indicator):
    """Exponential moving average, k = 2 / (period + 1), seeded with the SMA of the first `period` closes.

    The state is the average, and before the seed the sum of the closes.
    """

    def __init__(self, name: str, period: int) -> None:
        super().__init__(name, "average")
        self._period = period

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        state = self.state["average"]
        old = state[step.rows]
        average = step.close - old
        average *= 2.0 / (self._period + 1)
        average += old
        seed_at = self._period - 1
        if step.least > seed_at:
            state[step.rows] = average
            return average
        average = _seeding(average, old + step.close, step.counts, seed_at, self._period)
        state[step.rows] = average
        return _known_from(seed_at, step, average)


class Rsi(Indicator):
    """Relative strength index with Wilder's smoothing (New Concepts in Technical Trading Systems, 1978).

    Averages of gains and losses are seeded with the mean of the first `period` of them and then move by
    (average x (period - 1) + new) / period. RSI = 100 x gain / (gain + loss); 50 when both are 0.
    """

    def __init__(self, name: str, period: int) -> None:
        super().__init__(name, "gain", "loss")
        self._period = period

    def update(self, step: Step) -> FloatArray:
        """Advance by one candle."""
        change = step.close - step.previous_close
        if step.least == 0:
            change[step.counts == 0] = 0.0
        gained = np.maximum(change, 0.0)
        lost = gained - change
        gain = self._smoothed(self.state["gain"], gained, step)
        loss = self._smoothed(self.state["loss"], lost, step)
        both = gain + loss
        value = gain / both
        value *= 100.0
        if not both.all():
            value[both == 0.0] = 50.0
        return value if step.least > self._period else _known_from(self._period, step, value)

    def _smoothed(self, state: FloatArray, added: FloatArray, step: Step) -> FloatArray:
        old = state[step.rows]
        average: FloatArray = old * (self._period - 1)
        average += added
        average /= self._period
        if step.least <= self._period:
            average = _seeding(average, old + added, step.counts, self._period, self._period)
        state[step.rows] = average
        return average


def grown(array: NDArray[Number], capacity: int, fill: float = 0.0) -> NDArray[Number]:
    """A copy of a 1-D array with room for `capacity` values, the new ones `fill`."""
    larger = np.full(capacity, fill, dtype=array.dtype)
    larger[: array.size] = array
    return larger


def _seeding(
    advanced: FloatArray, summed: FloatArray, counts: IntArray, seed_at: int, period: int
) -> FloatArray:
    """State of a seeded average: the sum before candle number `seed_at`, its mean there, then `advanced`."""
    return np.where(counts > seed_at, advanced, np.where(counts == seed_at, summed / period, summed))


def _known_from(seed_at: int, step: Step, values: FloatArray) -> FloatArray:
    return np.where(step.counts >= seed_at, values, np.nan)


_NAME = re.compile(r"(sma|ema|rsi)([1-9][0-9]{0,3})")


class IndicatorSet:
    """The indicators of one engine, each once, with the closes that they share.

    Names are a kind and a period, such as `sma9`, `ema100` and `rsi14`. Raises ValueError for any other.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(set(names)))
        parsed = {name: _NAME.fullmatch(name) for name in self.names}
        unknown = [name for name, match in parsed.items() if match is None]
        if unknown:
            raise ValueError(f"unknown indicators: {', '.join(unknown)}")
        kinds = {name: (match[1], int(match[2])) for name, match in parsed.items() if match}
        self._history = History(max((period for kind, period in kinds.values() if kind == "sma"), default=0))
        self._indicators: list[Indicator] = []
        for name, (kind, period) in kinds.items():
            if kind == "sma":
                self._indicators.append(Sma(name, period, self._history))
            else:
                self._indicators.append(Ema(name, period) if kind == "ema" else Rsi(name, period))

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` tickers; what is there stays."""
        self._history.grow(capacity)
        for indicator in self._indicators:
            indicator.grow(capacity)

    def snapshot(self, rows: IntArray, counts: IntArray) -> dict[str, FloatArray]:
        """What they remember of some rows, by the names of EngineState; the last axis is the rows."""
        arrays = {
            f"indicator/{indicator.name}/{part}": values[rows]
            for indicator in self._indicators
            for part, values in indicator.state.items()
        }
        return arrays | {"history/close": self._history.newest(rows, counts)}

    def restore(self, rows: IntArray, counts: IntArray, arrays: Mapping[str, FloatArray]) -> None:
        """Take back what `snapshot` gave, also that of a larger set. KeyError where something is missing."""
        for indicator in self._indicators:
            for part, values in indicator.state.items():
                values[rows] = arrays[f"indicator/{indicator.name}/{part}"]
        self._history.resume(rows, counts, arrays["history/close"])

    def update(self, step: Step) -> dict[str, FloatArray]:
        """Advance all by one step; name -> values after it, shape (tickers of the step,)."""
        self._history.write(step)
        return {indicator.name: indicator.update(step) for indicator in self._indicators}
