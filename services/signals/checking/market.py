"""The candles on which algorithms are tried: recorded ones, and made ones of every awkward kind."""

import csv
import gzip
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from services.signals.candles import CandleBatch, FloatArray, length_of

CANDLES = 240
RECORDED = ("AAL", "ADM", "AMZN")
START = datetime(2024, 1, 1, tzinfo=UTC)
FIELDS = ("open", "high", "low", "close", "volume")

_DEMO = Path(__file__).parent.parent / "demo"


@dataclass(frozen=True)
class Market:
    """Candles of some tickers, `values` of shape (5, candles, tickers): open, high, low, close, volume.

    A ticker has no candle where its close is NaN.
    """

    tickers: tuple[str, ...]
    values: FloatArray

    def __len__(self) -> int:
        return int(self.values.shape[1])

    def until(self, candles: int) -> "Market":
        """The first candles alone, in memory of their own."""
        return Market(self.tickers, self.values[:, :candles].copy())

    def with_other_future(self, candles: int) -> "Market":
        """The same first candles, with others behind them."""
        values = self.values.copy()
        values[:, candles:] = values[:, candles:][:, ::-1] * 1.5
        return Market(self.tickers, values)

    def batch(self, number: int, timeframe: str) -> CandleBatch:
        """The candle of a number, of all tickers that have it.

        Where all have it the columns are views into all candles: who looks behind an array finds the future.
        """
        there = np.flatnonzero(~np.isnan(self.values[3, number]))
        close_time = START + (number + 1) * length_of(timeframe)
        rows = self.values[:, number]
        if there.size == len(self.tickers):
            return CandleBatch(timeframe, close_time, self.tickers, *rows)
        names = tuple(self.tickers[index] for index in there.tolist())
        return CandleBatch(timeframe, close_time, names, *(row[there] for row in rows))


def made() -> Market:
    """The recorded and the made candles, the same in every process."""
    columns = {name: _recorded(name) for name in RECORDED}
    rng = np.random.default_rng(20261128)
    for number in range(3):
        columns[f"WALK{number}"] = _around(_walk(rng, 0.02), rng)
    columns["CALM"] = _around(_walk(rng, 0.002), rng)
    columns["TINY"] = _around(1e-9 * _walk(rng, 0.05), rng)
    columns["HUGE"] = _around(1e12 * _walk(rng, 0.05), rng)
    columns["WAVE"] = _around(100 + 30 * np.sin(np.arange(CANDLES) / 9.0), rng)
    columns["FLAT"] = _flat()
    spiky = _around(_walk(rng, 0.01), rng)
    spiky[:4, 90::40] *= 1e6
    columns["SPIKY"] = spiky
    gappy = _around(_walk(rng, 0.02), rng)
    gappy[:, 60:64] = gappy[:, 151] = np.nan
    columns["GAPPY"] = gappy
    late = _around(_walk(rng, 0.03), rng)
    late[:, :30] = np.nan
    columns["LATE"] = late
    return Market(tuple(columns), np.ascontiguousarray(np.stack(list(columns.values()), axis=2)))


def _recorded(ticker: str) -> FloatArray:
    with gzip.open(_DEMO / f"{ticker}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[-CANDLES:]
    return np.array([[float(row[name]) for row in rows] for name in FIELDS])


def _walk(rng: np.random.Generator, move: float) -> FloatArray:
    closes: FloatArray = 100 * np.exp(np.cumsum(rng.normal(0, move, CANDLES)))
    return closes


def _around(close: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Candles of shape (5, candles) with these closes; each opens where the one before closed."""
    opened = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opened, close) * (1 + rng.uniform(0, 0.01, close.size))
    low = np.minimum(opened, close) * (1 - rng.uniform(0, 0.01, close.size))
    volume = rng.uniform(1, 100, close.size)
    volume[rng.integers(0, close.size, 5)] = 0.0
    return np.stack([opened, high, low, close, volume])


def _flat() -> FloatArray:
    values = np.full((5, CANDLES), 50.0)
    values[4] = 0.0
    return values
