"""Candles of many tickers as batches: with those of longer timeframes that they complete, in one order."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from services.signals.candles import CandleBatch
from services.signals.feeds.assembly import Assembly
from services.signals.feeds.csv_files import Recording, TickerCandles
from services.signals.feeds.rows import Row


class Batching:
    """Candles of the timeframe `base` in, batches of it and of the timeframes `made` from it out."""

    def __init__(self, base: str, made: Sequence[str]) -> None:
        self.base = base
        self.made = tuple(made)
        self._assemblies: dict[str, Assembly] = {}

    def batches(self, candles: Iterable[tuple[str, Sequence[Row]]]) -> Iterator[CandleBatch]:
        """The batches of the next candles of some tickers, by close, timeframe and ticker.

        Each ticker comes once, in order of their names; none of its candles was given before.
        """
        streams: list[TickerCandles] = []
        for ticker, rows in candles:
            streams.append(_stream(ticker, self.base, rows))
            complete = self._assembly(ticker).add(rows)
            streams += [_stream(ticker, timeframe, made) for timeframe, made in complete.items()]
        present = tuple(each for each in streams if len(each))
        return Recording(present, ()).batches()

    def resume(
        self, released: Iterable[tuple[str, Sequence[Row]]], made: Mapping[str, Mapping[str, Collection[int]]]
    ) -> Iterator[CandleBatch]:
        """Go on behind the released candles of some tickers; batches of what they complete and was not made.

        `made` says by timeframe and ticker when the candles opened that were released too.
        """
        owed: list[TickerCandles] = []
        for ticker, rows in released:
            for timeframe, complete in self._assembly(ticker).add(rows).items():
                known = made[timeframe].get(ticker, ())
                owed.append(
                    _stream(ticker, timeframe, [row for row in complete if row.open_time not in known])
                )
        owed.sort(key=lambda each: each.ticker)
        return Recording(tuple(each for each in owed if len(each)), ()).batches()

    def _assembly(self, ticker: str) -> Assembly:
        known = self._assemblies.get(ticker)
        if known is None:
            known = self._assemblies[ticker] = Assembly(self.base, self.made)
        return known


def _stream(ticker: str, timeframe: str, rows: Sequence[Row]) -> TickerCandles:
    times = np.array([row.open_time for row in rows], dtype=np.int64)
    values = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 5)
    return TickerCandles(ticker, timeframe, times, values)
