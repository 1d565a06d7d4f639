"""This repository's engine as one of the ways, and the limit that the machine's memory sets."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.engine.peers import Start, Way
from benchmarks.engine.rules import KEYS, CodeArray, FloatArray
from services.signals.algorithms import ALGORITHMS
from services.signals.candles import CandleBatch
from services.signals.engine import Engine, StepResult

HOUR = timedelta(hours=1)
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
SOURCE = Path(__file__).with_name("limit.c")
LANES = 4


class Ours(Way):
    """The engine's step over all tickers; it took in the candles of the start one after the other."""

    name = "this engine"

    def __init__(self, start: Start) -> None:
        self.engine = Engine("1h", [ALGORITHMS[key] for key in KEYS])
        self._tickers = tuple(f"T{index}" for index in range(start.closes.shape[1]))
        self._closed = BEGIN
        self.views = np.zeros((len(KEYS), len(self._tickers)), dtype=np.int8)
        self.prices = np.full((len(KEYS), len(self._tickers)), np.nan)
        for close, volume in zip(start.closes, start.volumes, strict=True):
            self._note(self.step(close, volume), close)

    def step(self, close: FloatArray, volume: FloatArray) -> StepResult:
        """One step of the engine."""
        self._closed += HOUR
        return self.engine.step(
            CandleBatch("1h", self._closed, self._tickers, close, close, close, close, volume)
        )

    def close(self, close: FloatArray, volume: FloatArray) -> StepResult:
        """Evaluate one candle of each ticker."""
        return self.step(close, volume)

    def codes(self, closed: StepResult) -> CodeArray:
        """The signals of a step."""
        return _codes(closed.signals)

    def _note(self, result: StepResult, close: FloatArray) -> None:
        """Keep who holds what, for the others to start from."""
        views = _codes(result.views)
        turned = views != self.views
        self.prices[turned] = np.where(views == 1, close, np.nan)[turned]
        self.views = views


def _codes(by_key: Mapping[str, CodeArray]) -> CodeArray:
    return np.stack([by_key[key] for key in KEYS])


class OursExplained(Ours):
    """The same with every change made out, with its conditions, values and thresholds."""

    name = "this engine, with the why of each change"

    def close(self, close: FloatArray, volume: FloatArray) -> StepResult:
        """Evaluate one candle of each ticker."""
        result = self.step(close, volume)
        assert isinstance(result.changes, list)
        return result


class Limit(Way):
    """limit.c: one pass over the state, in C with vector registers."""

    name = "the limit: one pass over the state in C, vectorised"
    compiler: ClassVar[str | None] = shutil.which("cc")

    def __init__(self, start: Start) -> None:
        candles, self._size = start.closes.shape
        if self._size % LANES:
            raise ValueError(f"{self._size} tickers are not a multiple of {LANES}")
        self._step = _compiled()
        self._ring = np.zeros((101, self._size))
        self._count = candles
        for age in range(min(candles, 101)):
            self._ring[(candles - 1 - age) % 101] = start.closes[-1 - age]
        last = start.closes[-1]
        sums = [start.closes[-period:].sum(axis=0) for period in (9, 50, 100)]
        averages = [_exponential(start.closes, period) for period in (50, 100)]
        change = np.diff(start.closes, axis=0)
        smoothed = [_wilder(np.maximum(change, 0)), _wilder(np.maximum(-change, 0))]
        self._state = [*sums, *averages, *smoothed, start.volumes[-1].copy()]
        self._prices, self._views = start.prices.copy(), start.views.copy()
        self._signals = np.zeros((len(KEYS), last.size), dtype=np.int8)

    def close(self, close: FloatArray, volume: FloatArray) -> CodeArray:
        """Evaluate one candle of each ticker; the answer is valid until the next one."""
        ring, at = self._ring, self._count
        rows = [ring[(at - age) % 101] for age in (1, 9, 50, 100, 0)]
        arrays = [close, volume, *rows, *self._state, self._prices, self._views, self._signals]
        self._step(self._size, *(array.ctypes.data for array in arrays))
        self._count += 1
        return self._signals


def _compiled() -> Callable[..., None]:
    assert Limit.compiler is not None
    library = Path("/tmp") / f"boritrader-limit-{SOURCE.stat().st_mtime_ns}.so"
    subprocess.run(
        [Limit.compiler, "-O3", "-march=native", "-shared", "-fPIC", "-o", str(library), str(SOURCE)],
        check=True,
    )
    step = ctypes.CDLL(str(library)).step
    step.argtypes = [ctypes.c_long] + [ctypes.c_void_p] * 18
    step.restype = None
    library.unlink()
    pointer: Callable[..., None] = step
    return pointer


def _exponential(closes: FloatArray, period: int) -> FloatArray:
    average: FloatArray = closes[:period].mean(axis=0)
    for close in closes[period:]:
        average += (close - average) * (2 / (period + 1))
    return average


def _wilder(moves: FloatArray) -> FloatArray:
    average: FloatArray = moves[:14].mean(axis=0)
    for move in moves[14:]:
        average = (average * 13 + move) / 14
    return average
