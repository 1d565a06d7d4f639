"""A recording through the engine: what the algorithms would have said, candle by candle."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from heapq import merge
from itertools import groupby
from typing import NamedTuple

import numpy as np

from services.signals.algorithms.base import Algorithm
from services.signals.engine import Engine, Signal, StepResult
from services.signals.feeds.csv_files import Recording
from services.signals.positions import HOLD

INDICATORS = ("sma9", "sma50", "sma100", "ema50", "ema100", "rsi14")
SIGNAL_HEADER = ("time", "ticker", "algorithm", "signal", "view", "close")
INDICATOR_HEADER = ("time", "ticker", *INDICATORS)


class Moment(NamedTuple):
    """All candles that opened at one moment, evaluated; one result per timeframe that has some."""

    open_time: datetime
    results: tuple[StepResult, ...]

    @property
    def candles(self) -> int:
        """How many candles were evaluated."""
        return sum(len(result.batch) for result in self.results)


def replay(
    recording: Recording, algorithms: Sequence[Algorithm], indicators: Iterable[str] = ()
) -> Iterator[Moment]:
    """Run every algorithm on every ticker's own timeframe, in one time order over all tickers.

    Timeframes have an engine each, since a ticker's signals depend on its own candles only.
    """
    names = tuple(indicators)
    streams = [
        _steps(recording, timeframe, Engine(timeframe, algorithms, names))
        for timeframe in recording.timeframes
    ]
    in_order = merge(*streams, key=_open_time)
    for open_time, results in groupby(in_order, key=_open_time):
        yield Moment(open_time, tuple(results))


def _steps(recording: Recording, timeframe: str, engine: Engine) -> Iterator[StepResult]:
    return map(engine.step, recording.batches_of(timeframe))


def _open_time(result: StepResult) -> datetime:
    return result.batch.open_time


def signal_rows(moment: Moment) -> list[tuple[str, ...]]:
    """A row of SIGNAL_HEADER for each signal that is not HOLD, ordered by ticker, then algorithm."""
    time = stamp(moment.open_time)
    rows: list[tuple[str, ...]] = []
    for result in moment.results:
        tickers, close = result.batch.tickers, result.batch.close
        for algorithm, signals in result.signals.items():
            said = np.flatnonzero(signals != HOLD)
            columns = (signals[said], result.views[algorithm][said], close[said])
            rows += [
                (time, tickers[index], algorithm, Signal.of(signal), Signal.of(view), repr(price))
                for index, signal, view, price in zip(
                    said.tolist(), *(column.tolist() for column in columns), strict=True
                )
            ]
    rows.sort()
    return rows


def indicator_rows(moment: Moment) -> list[tuple[str, ...]]:
    """A row of INDICATOR_HEADER for each candle, ordered by ticker; empty where it is not known yet."""
    time = stamp(moment.open_time)
    rows: list[tuple[str, ...]] = []
    for result in moment.results:
        columns = [result.indicators[name].tolist() for name in INDICATORS]
        rows += [
            (time, ticker, *("" if value != value else f"{value:.17g}" for value in values))  # noqa: PLR0124 - NaN
            for ticker, *values in zip(result.batch.tickers, *columns, strict=True)
        ]
    rows.sort()
    return rows


def stamp(moment: datetime) -> str:
    """A moment as `YYYY-MM-DDTHH:MM:SSZ`. The year has four digits, which strftime does not promise."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
