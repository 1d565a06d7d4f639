"""Views and entry prices of all algorithms: what an engine remembers beside its indicators."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from services.signals.algorithms.base import Algorithm
from services.signals.candles import FloatArray, read_only
from services.signals.indicators import IntArray, Rows, grown
from services.signals.state import StateArray

CodeArray = NDArray[np.int8]
BUY, HOLD, SELL = 1, 0, -1
"""Signals and views in arrays."""


class Turned(NamedTuple):
    """The views that turned in one step, by algorithm as the engine lists them, then as in the batch.

    `numbers` are the algorithms' places in the engine and `indices` the tickers' in the batch; `held` is
    what the view was, `said` what it is now. All have the shape (turned views,).
    """

    numbers: NDArray[np.intp]
    indices: NDArray[np.intp]
    held: CodeArray
    said: CodeArray

    @classmethod
    def nothing(cls) -> Self:
        """No view turned."""
        places, codes = np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.int8)
        return cls(places, places, codes, codes)


class Positions:
    """View and entry price of every algorithm and ticker, arrays of shape (algorithms, capacity).

    And of those algorithms that follow it, by their number, the highest close since entry: (capacity,).
    """

    def __init__(self, algorithms: Sequence[Algorithm]) -> None:
        self.views: CodeArray = np.zeros((len(algorithms), 0), dtype=np.int8)
        self.entry_prices: FloatArray = np.zeros((len(algorithms), 0))
        self.highest_closes: dict[int, FloatArray] = {
            number: np.zeros(0) for number, each in enumerate(algorithms) if each.follows_highest_close
        }

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` tickers; what is there stays."""
        self.views = grown(self.views, capacity, HOLD)
        self.entry_prices = grown(self.entry_prices, capacity, np.nan)
        self.highest_closes = {
            number: grown(highest, capacity, np.nan) for number, highest in self.highest_closes.items()
        }

    def snapshot(self, number: int, rows: IntArray) -> dict[str, StateArray]:
        """The state of one algorithm for some rows, by the names of EngineState behind its key."""
        parts = {"view": self.views[number, rows], "entry_price": self.entry_prices[number, rows]}
        if number in self.highest_closes:
            parts["highest_close"] = self.highest_closes[number][rows]
        return parts

    def lacks_highest_close(self, number: int, parts: Mapping[str, StateArray]) -> bool:
        """Whether a state knows entries of an algorithm, but not the highest closes since."""
        return number in self.highest_closes and "view" in parts and "highest_close" not in parts

    def restore(self, number: int, rows: IntArray, parts: Mapping[str, StateArray]) -> None:
        """Take back what `snapshot` gave; HOLD without an entry where it gave nothing."""
        self.views[number, rows] = parts.get("view", HOLD)
        self.entry_prices[number, rows] = parts.get("entry_price", np.nan)
        if number in self.highest_closes:
            self.highest_closes[number][rows] = parts.get("highest_close", np.nan)

    def followed(self, number: int, rows: Rows, close: FloatArray) -> FloatArray | None:
        """The highest closes since entry once these closes have come; None if nobody follows them."""
        if number not in self.highest_closes:
            return None
        highest = read_only(np.maximum(self.highest_closes[number][rows], close))
        self.highest_closes[number][rows] = highest
        return highest

    def turn(
        self, rows: Rows, signals: CodeArray, given: NDArray[np.bool_], close: FloatArray
    ) -> tuple[CodeArray, Turned]:
        """Turn the views whose signal is `given` and not what they are; the views after it, and which.

        Signals, where one that is not HOLD is given, and views have the shape (algorithms, tickers of the
        step). BUY notes the close as the entry price, SELL ends it.
        """
        views = self.views[:, rows].copy()
        turned = np.flatnonzero((signals != views) & given)
        numbers = turned // close.size
        indices = turned - numbers * close.size
        held, said = views.ravel()[turned], signals.ravel()[turned]
        views.ravel()[turned] = said
        entries = np.where(said == BUY, close[indices], np.nan)
        places = indices if isinstance(rows, slice) else rows[indices]
        ours = numbers * self.views.shape[1] + places
        self.views.ravel()[ours] = said
        self.entry_prices.ravel()[ours] = entries
        for number, highest in self.highest_closes.items():
            own = numbers == number
            highest[places[own]] = entries[own]
        return views, Turned(numbers, indices, held, said)
