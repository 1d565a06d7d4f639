"""What all indicators stand on: the step, the newest values of a series, and state per ticker."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.signals.candles import FloatArray

IntArray = NDArray[np.int64]
Rows = slice | IntArray
Number = TypeVar("Number", bound=np.number[Any])


@dataclass(frozen=True, slots=True)
class Step:
    """One candle for each of some tickers, and where they stand.

    `rows` are the tickers' places in the state arrays and `counts` how many candles each had before;
    `least` is the smallest count, `same` the count of all of them or None when they differ. `series`
    holds the candle's columns by name and, as they are made, the values of each indicator; these and
    `previous_close` (NaN for a first candle) have the shape of `counts`: (tickers of the step,).
    """

    rows: Rows
    counts: IntArray
    least: int
    same: int | None
    series: dict[str, FloatArray]
    previous_close: FloatArray

    @classmethod
    def of(
        cls,
        rows: Rows,
        counts: IntArray,
        spread: tuple[int, int],
        series: dict[str, FloatArray],
        previous_close: FloatArray,
    ) -> "Step":
        """The step of counts that spread from the least to the greatest of them."""
        least, most = spread
        return cls(rows, counts, least, least if least == most else None, series, previous_close)

    @property
    def scattered(self) -> bool:
        """Whether indexing a state array by `rows` copies, so that a change has to be written back."""
        return not isinstance(self.rows, slice)

    @property
    def row_numbers(self) -> IntArray:
        """The rows as numbers, shape (tickers of the step,)."""
        return np.arange(self.counts.size, dtype=np.int64) if isinstance(self.rows, slice) else self.rows


class History:
    """The newest values of one series of every ticker, in a ring of shape (values, capacity).

    It holds one more than the longest window, so that the value that leaves the window is still there
    when the new one is written. A slot that was not written yet holds zero, and so does a value before the
    ticker's candle number `start`, counted from 0, so a window that is not full yet sums rightly.
    """

    def __init__(self, start: int = 0) -> None:
        self._start = start
        self._length = 1
        self._ring: FloatArray = np.zeros((1, 0))

    def reach(self, period: int) -> None:
        """Serve windows of `period` too; before the first ticker."""
        self._length = max(self._length, period + 1)
        self._ring = np.zeros((self._length, 0))

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` tickers; what is there stays."""
        ring = np.zeros((self._length, capacity))
        ring[:, : self._ring.shape[1]] = self._ring
        self._ring = ring

    def write(self, step: Step, values: FloatArray) -> None:
        """Take in the step's values."""
        values = zero_before(self._start, step, values)
        if step.same is not None:
            self._ring[step.same % self._length][step.rows] = values
        else:
            self._ring[step.counts % self._length, step.row_numbers] = values

    def newest(self, rows: IntArray, counts: IntArray) -> FloatArray:
        """The values of some rows, newest first, as far back as any window reaches; 0 before the first.

        Shape (longest window, len(rows)); `counts` says how many candles each row has had.
        """
        values: FloatArray = self._ring[self._slots(counts), rows]
        return values

    def resume(self, rows: IntArray, counts: IntArray, newest: FloatArray) -> None:
        """Take back what `newest` gave, also that of a longer history."""
        self._ring[self._slots(counts), rows] = newest[: self._length - 1]

    def _slots(self, counts: IntArray) -> IntArray:
        ages = np.arange(1, self._length, dtype=np.int64)[:, np.newaxis]
        slots: IntArray = (counts - ages) % self._length
        return slots

    def leaving(self, step: Step, period: int) -> FloatArray:
        """The values that a window of `period` loses with this step; shape (tickers of the step,)."""
        if step.same is not None:
            old: FloatArray = self._ring[(step.same - period) % self._length][step.rows]
        else:
            old = self._ring[(step.counts - period) % self._length, step.row_numbers]
        return old

    def window(self, step: Step, period: int, which: IntArray | None = None) -> Sequence[FloatArray]:
        """The last `period` values, this step's included, newest first; not to be written to.

        Each has the shape (tickers of the step,), or that of `which`, places in the step.
        """
        if step.same is not None and (which is None or which.size == step.counts.size):
            return [self._ring[(step.same - age) % self._length][step.rows] for age in range(period)]
        counts = step.counts if which is None else step.counts[which]
        rows = step.row_numbers if which is None else step.row_numbers[which]
        ages = np.arange(period, dtype=np.int64)[:, np.newaxis]
        return list(self._ring[(counts - ages) % self._length, rows])


class Indicator(ABC):
    """A value per ticker, advanced candle by candle. `name` is how algorithms or others ask for it.

    `state` is all that it remembers itself, arrays of shape (capacity,) by the names of its parts.
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


def grown(array: NDArray[Number], capacity: int, fill: float = 0.0) -> NDArray[Number]:
    """A copy of an array with room for `capacity` values on its last axis, the new ones `fill`."""
    larger = np.full((*array.shape[:-1], capacity), fill, dtype=array.dtype)
    larger[..., : array.shape[-1]] = array
    return larger


def summed(values: Iterable[FloatArray], size: int) -> FloatArray:
    """The sum of arrays of shape (size,), one after the other.

    NumPy's own sums change their order with the shape, and a value must not depend on its neighbours.
    """
    total: FloatArray = np.zeros(size)
    for each in values:
        total += each
    return total


def smoothed(state: FloatArray, added: FloatArray, step: Step, period: int) -> FloatArray:
    """Wilder's smoothing of a series that begins with a ticker's second candle; `state` is advanced.

    Seeded with the mean of its first `period` values, then (average x (period - 1) + new) / period. Before
    the seed it is the sum so far. What is returned may be the state itself: not to be kept or written to.
    """
    average = state[step.rows]
    if step.least <= period:
        average = seeding(
            (average * (period - 1) + added) / period, average + added, step.counts, period, period
        )
    else:
        average *= period - 1
        average += added
        average /= period
        if not step.scattered:
            return average
    state[step.rows] = average
    return average


def seeding(
    advanced: FloatArray, total: FloatArray, counts: IntArray, seed_at: int, period: int
) -> FloatArray:
    """State of a seeded average: the sum before candle number `seed_at`, its mean there, then `advanced`."""
    return np.where(counts > seed_at, advanced, np.where(counts == seed_at, total / period, total))


def known_from(first: int, step: Step, values: FloatArray) -> FloatArray:
    """The values from each ticker's candle number `first` on, counted from 0; NaN before."""
    return values if step.least >= first else np.where(step.counts >= first, values, np.nan)


def zero_before(start: int, step: Step, values: FloatArray) -> FloatArray:
    """The values from each ticker's candle number `start` on, counted from 0; 0 before."""
    return values if step.least >= start else np.where(step.counts >= start, values, 0.0)
