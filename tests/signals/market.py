"""Candles for tests: recorded ones, generated ones, and the way to send them through an engine."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.signals.algorithms.base import Algorithm
from services.signals.candles import CandleBatch, FloatArray, length_of
from services.signals.config import DEMO_DIR
from services.signals.engine import Engine, Signal, StepResult
from services.signals.feeds.csv_files import TickerCandles, read_directory

DATA = Path(__file__).parent / "data"
START = datetime(2020, 1, 1, tzinfo=UTC)
INDICATORS = ("sma9", "sma50", "sma100", "ema50", "ema100", "rsi14")


@cache
def recorded() -> list[TickerCandles]:
    """The recorded candles of every ticker in the test data."""
    recordings = [read_directory(DATA / folder) for folder in ("daily", "m15")]
    assert not any(recording.rejected for recording in recordings)
    return [each for recording in recordings for each in recording.tickers]


@cache
def demo() -> list[TickerCandles]:
    """The candles that come with the product."""
    recording = read_directory(DEMO_DIR)
    assert not recording.rejected
    return recording.tickers


@cache
def markets() -> dict[str, FloatArray]:
    """Candles by ticker on which every algorithm buys and sells: the recorded ones and generated ones.

    The longest recording comes in parts, each a ticker of its own, so that all are about as long.
    """
    closes = random_walk(3000, 1, seed=8)[:, 0]
    volumes = np.random.default_rng(8).choice([0.0, 1.0, 2.0, 3.0, 10.0], 3000)
    parts = {"generated": np.column_stack([closes, closes, closes, closes, volumes])}
    for each in recorded():
        parts.update(in_parts(each))
    return parts


def in_parts(each: TickerCandles) -> dict[str, FloatArray]:
    """A recording in parts of at most 4000 candles, each a ticker of its own."""
    pieces = np.array_split(each.values, -(-len(each.values) // 4000))
    return {f"{each.ticker}-{number}": piece for number, piece in enumerate(pieces)}


def random_walk(steps: int, tickers: int, seed: int) -> FloatArray:
    """Closes of shape (steps, tickers) with moves of about 2 percent."""
    moves = np.random.default_rng(seed).normal(0, 0.02, (steps, tickers))
    closes: FloatArray = 100 * np.exp(np.cumsum(moves, axis=0))
    return closes


def candles(steps: int, seed: int) -> FloatArray:
    """Generated open, high, low, close, volume of shape (steps, 5), as an exchange could give them."""
    rng = np.random.default_rng(seed)
    close = random_walk(steps, 1, seed)[:, 0]
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opened, close) * (1 + rng.exponential(0.005, steps))
    low = np.minimum(opened, close) * (1 - rng.uniform(0, 0.01, steps))
    return np.column_stack([opened, high, low, close, rng.exponential(1000.0, steps)])


def batches(
    closes: FloatArray, *, volumes: FloatArray | None = None, present: NDArray[np.bool_] | None = None
) -> Iterator[CandleBatch]:
    """One hourly batch per row of closes, shape (steps, tickers); tickers T0, T1 … where `present`."""
    steps, size = closes.shape
    volumes = np.ones((steps, size)) if volumes is None else volumes
    present = np.ones((steps, size), dtype=np.bool_) if present is None else present
    for number in range(steps):
        there = np.flatnonzero(present[number])
        close = closes[number, there]
        yield CandleBatch(
            "1h",
            START + (number + 1) * length_of("1h"),
            tuple(f"T{index}" for index in there.tolist()),
            *(close, close, close, close),
            volumes[number, there],
        )


def one_ticker(values: FloatArray, ticker: str = "T0") -> Iterator[CandleBatch]:
    """Hourly batches of one ticker from open, high, low, close, volume of shape (steps, 5)."""
    for number, row in enumerate(values):
        close_time = START + timedelta(hours=number + 1)
        yield CandleBatch(
            "1h", close_time, (ticker,), *(row[column : column + 1].copy() for column in range(5))
        )


def side_by_side(
    series: Mapping[str, FloatArray], present: Mapping[str, NDArray[np.bool_]] | None = None
) -> Iterator[CandleBatch]:
    """Hourly batches of the n-th candle of every ticker that has so many, whatever its time was.

    `series` are open, high, low, close, volume of shape (candles, 5) by ticker, and `present` where they
    count. What an engine says of a ticker does not depend on its neighbours, so that many are as good as
    one after the other, and faster.
    """
    for number in range(max(map(len, series.values()))):
        there = {
            ticker: values[number]
            for ticker, values in series.items()
            if number < len(values) and (present is None or present[ticker][number])
        }
        if there:
            columns = np.array(list(there.values())).T.copy()
            yield CandleBatch("1h", START + (number + 1) * length_of("1h"), tuple(there), *columns)


def told(results: Iterable[StepResult], key: str) -> dict[str, list[tuple[str, str]]]:
    """Ticker -> signal and view of one algorithm at each of its candles."""
    out: dict[str, list[tuple[str, str]]] = {}
    for result in results:
        codes = zip(result.signals[key].tolist(), result.views[key].tolist(), strict=True)
        for ticker, (signal, view) in zip(result.batch.tickers, codes, strict=True):
            out.setdefault(ticker, []).append((Signal.of(signal).value, Signal.of(view).value))
    return out


def run(
    stream: Iterable[CandleBatch], algorithms: Iterable[Algorithm] = (), indicators: Iterable[str] = ()
) -> list[StepResult]:
    """The results of one fresh engine."""
    engine = Engine("1h", algorithms, indicators)
    return [engine.step(batch) for batch in stream]


def indicator(stream: Iterable[CandleBatch], name: str) -> FloatArray:
    """Values of one indicator, shape (steps, tickers), where every batch has the same tickers."""
    return np.array([result.indicators[name] for result in run(stream, indicators=[name])])
