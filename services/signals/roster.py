"""Tickers by number: what is known of each stands in arrays over those numbers."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

RowArray = NDArray[np.int64]
Value = TypeVar("Value", bound=np.generic)


class Roster:
    """Numbers tickers in the order in which they first come: the rows of arrays. None is ever taken out."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._rows: dict[str, int] = {}
        self._last: tuple[str, ...] = ()
        self._last_rows: RowArray = np.zeros(0, dtype=np.int64)

    def row(self, ticker: str) -> int:
        """The row of a ticker; a new one gets the next."""
        row = self._rows.get(ticker)
        if row is None:
            row = self._rows[ticker] = len(self.names)
            self.names.append(ticker)
        return row

    def rows(self, tickers: tuple[str, ...]) -> RowArray:
        """The row of each ticker, shape (len(tickers),). Those of the call before are not looked up again."""
        if tickers != self._last:
            self._last_rows = np.array([self.row(ticker) for ticker in tickers], dtype=np.int64)
            self._last = tickers
        return self._last_rows

    def fitted(self, array: NDArray[Value], fill: float) -> NDArray[Value]:
        """An array of which the first axis has room for all rows; the new ones are `fill`."""
        size = len(self.names)
        if len(array) >= size:
            return array
        larger = np.full((max(size, 2 * len(array)), *array.shape[1:]), fill, dtype=array.dtype)
        larger[: len(array)] = array
        return larger
