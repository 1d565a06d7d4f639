"""How others would evaluate a close, each in its library's documented best use.

A way starts from a window of candles and from views, and takes one closed candle of each of its tickers
at a time; it answers the signals of all algorithms, int8 of shape (6, tickers). Windows move on by shifting
an array, which costs less than the libraries' own ways to append a row.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import talib
import talib.abstract as ta
from talib import stream
from talipp.indicators import EMA, RSI, SMA  # type: ignore[import-untyped]

from benchmarks.engine.rules import BUY, INDICATORS, KEYS, SELL, CodeArray, FloatArray, Followed, signals

COLUMNS = ["open", "high", "low", "close", "volume"]


@dataclass(frozen=True)
class Start:
    """What every way starts from: `closes` and `volumes` of shape (window, tickers), and who holds what."""

    closes: FloatArray
    volumes: FloatArray
    views: CodeArray
    prices: FloatArray

    def of(self, tickers: int) -> "Start":
        """The same for the first so many tickers."""
        return Start(
            self.closes[:, :tickers],
            self.volumes[:, :tickers],
            self.views[:, :tickers],
            self.prices[:, :tickers],
        )


class Way(ABC):
    """One way to evaluate closes."""

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, start: Start) -> None:
        """Make its state."""

    @abstractmethod
    def close(self, close: FloatArray, volume: FloatArray) -> Any:
        """Evaluate one candle of each ticker."""

    def codes(self, closed: Any) -> CodeArray:
        """The signals in what `close` gave."""
        codes: CodeArray = closed
        return codes


class _Frames(Way):
    """One DataFrame of the window for each ticker, made anew from its values at each close."""

    def __init__(self, start: Start) -> None:
        self._followed = Followed(start.views, start.prices)
        columns = [start.closes.T] * 4 + [start.volumes.T]
        self._windows = np.stack(columns, axis=2)
        self._frames = [pd.DataFrame(window, columns=COLUMNS) for window in self._windows]

    def close(self, close: FloatArray, volume: FloatArray) -> CodeArray:
        out = np.zeros((len(KEYS), close.size), dtype=np.int8)
        for index, window in enumerate(self._windows):
            window[:-1] = window[1:]
            window[-1, :4], window[-1, 4] = close[index], volume[index]
            frame = self._frames[index] = pd.DataFrame(window, columns=COLUMNS)
            out[:, index] = self._evaluate(frame, self._followed.prices[:, index])
        self._followed.turn(out, close)
        return out

    @abstractmethod
    def _evaluate(self, frame: pd.DataFrame, prices: FloatArray) -> list[int]:
        """The signals of the frame's last candle; `prices` are the entry prices of the open positions."""


class PandasRecompute(_Frames):
    """`rolling` and `ewm` over each ticker's window, seeded as the rules say; signals as boolean columns."""

    name = "pandas: a DataFrame per ticker, recomputed"

    def _evaluate(self, frame: pd.DataFrame, prices: FloatArray) -> list[int]:
        now = pandas_indicators(frame["close"])
        now |= {"close": frame["close"], "volume": frame["volume"]}
        entries, exits = pandas_rules(now, (now["close"] >= 1.06 * prices[3], now["close"] >= 2 * prices[4]))
        return [
            BUY if entry.iat[-1] else SELL if exit_.iat[-1] else 0
            for entry, exit_ in zip(entries, exits, strict=True)
        ]


class PandasWide(Way):
    """The same over one DataFrame of closes in which each ticker is a column."""

    name = "pandas: one DataFrame of all tickers, recomputed"

    def __init__(self, start: Start) -> None:
        self._followed = Followed(start.views, start.prices)
        self._closes, self._volumes = start.closes.copy(), start.volumes.copy()

    def close(self, close: FloatArray, volume: FloatArray) -> CodeArray:
        """Evaluate one candle of each ticker."""
        for window, newest in ((self._closes, close), (self._volumes, volume)):
            window[:-1] = window[1:]
            window[-1] = newest
        now = pandas_indicators(pd.DataFrame(self._closes))
        values = {name: frame.to_numpy() for name, frame in now.items()}
        values |= {"close": self._closes, "volume": self._volumes}
        last = {name: each[-1] for name, each in values.items()}
        before = {name: each[-2] for name, each in values.items()}
        out = signals(last, before, self._followed.prices)
        self._followed.turn(out, close)
        return out


def pandas_indicators(close: Any) -> dict[str, Any]:
    """The six indicators of a Series, or of a DataFrame with a ticker in each column."""
    change = close.diff()
    gain = _seeded(change.clip(lower=0), 14, 1 / 14, first=1)
    loss = _seeded(-change.clip(upper=0), 14, 1 / 14, first=1)
    return {
        "sma9": close.rolling(9).mean(),
        "sma50": close.rolling(50).mean(),
        "sma100": close.rolling(100).mean(),
        "ema50": _seeded(close, 50, 2 / 51),
        "ema100": _seeded(close, 100, 2 / 101),
        "rsi14": 100 * gain / (gain + loss),
    }


def _seeded(values: Any, period: int, alpha: float, first: int = 0) -> Any:
    """An exponential average that starts with the mean of the first `period` values from `first` on."""
    seed = first + period - 1
    started = values.copy()
    started.iloc[:seed] = np.nan
    started.iloc[seed] = values.iloc[first : seed + 1].mean()
    return started.ewm(alpha=alpha, adjust=False).mean()


def pandas_rules(now: Mapping[str, Any], reached: tuple[Any, Any]) -> tuple[list[Any], list[Any]]:
    """Entries and exits as columns; `reached` says where the two take-profits are."""
    rsi, close, volume = now["rsi14"], now["close"], now["volume"]
    short, middle, long_ = now["sma9"], now["sma50"], now["sma100"]
    entries = [
        (short > middle) & (short.shift(1) <= middle.shift(1)) & (rsi > 55),
        (rsi < 40) & (rsi.shift(1) - rsi >= 3) & (now["ema100"] > now["ema50"]),
        (rsi < 35) & (close < long_),
        rsi > 70,
        (rsi < 50) & (close < middle),
        (close > short) & (short > long_) & (volume > 2 * volume.shift(1)) & (volume.shift(1) > 0),
    ]
    crossed = (now["ema50"] > now["ema100"]) & (now["ema50"].shift(1) <= now["ema100"].shift(1))
    exits = [
        (short < middle) & (short.shift(1) >= middle.shift(1)),
        (rsi > 65) & crossed,
        rsi > 65,
        reached[0] | (rsi < 55),
        reached[1],
        (rsi < 50) | (rsi > 77),
    ]
    return entries, exits


class FreqtradeStyle(_Frames):
    """As a strategy of freqtrade does: `talib.abstract` on each ticker's DataFrame, signals as its columns.

    Profit targets are asked of the open trade's rate, as its `custom_exit` does. Freqtrade itself runs one
    strategy in a process, sets columns by `loc`, which takes twice the time, and does more around each
    call; here six strategies share their indicators.
    """

    name = "freqtrade-style: a DataFrame per ticker, talib.abstract"

    def _evaluate(self, frame: pd.DataFrame, prices: FloatArray) -> list[int]:
        for kind, period in ((ta.SMA, 9), (ta.SMA, 50), (ta.SMA, 100)):
            frame[f"sma{period}"] = kind(frame, timeperiod=period)
        for period in (50, 100):
            frame[f"ema{period}"] = ta.EMA(frame, timeperiod=period)
        frame["rsi14"] = ta.RSI(frame, timeperiod=14)
        close = frame["close"]
        entries, exits = pandas_rules(frame, (close >= 1.06 * prices[3], close >= 2 * prices[4]))
        for key, entry, exit_ in zip(KEYS, entries, exits, strict=True):
            frame[f"enter_{key}"], frame[f"exit_{key}"] = entry, exit_
        last = frame.iloc[-1]
        return [BUY if last[f"enter_{key}"] else SELL if last[f"exit_{key}"] else 0 for key in KEYS]


class _Valued(Way):
    """A way whose library gives the newest value of each indicator, ticker by ticker."""

    def __init__(self, start: Start) -> None:
        self._followed = Followed(start.views, start.prices)
        self._before: Mapping[str, FloatArray] = {"volume": start.volumes[-1]}

    def _decide(self, values: FloatArray, close: FloatArray, volume: FloatArray) -> CodeArray:
        """The signals; `values` has the shape (tickers, 6)."""
        now = dict(zip(INDICATORS, np.ascontiguousarray(values.T), strict=True))
        now |= {"close": close, "volume": volume}
        out = signals(now, self._before, self._followed.prices)
        self._before = now
        self._followed.turn(out, close)
        return out


class TalibLoop(_Valued):
    """TA-Lib's functions over each ticker's window; the rules over the last values of all at once."""

    name = "TA-Lib: functions over each ticker's window"

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self._windows = np.ascontiguousarray(start.closes.T)
        self._volumes = np.ascontiguousarray(start.volumes.T)
        values = np.array([self._values(window) for window in self._windows])
        self._before = {**self._before, **dict(zip(INDICATORS, values.T, strict=True))}

    def close(self, close: FloatArray, volume: FloatArray) -> CodeArray:
        """Evaluate one candle of each ticker."""
        for windows, newest in ((self._windows, close), (self._volumes, volume)):
            windows[:, :-1] = windows[:, 1:]
            windows[:, -1] = newest
        return self._decide(np.array([self._values(window) for window in self._windows]), close, volume)

    def _values(self, window: FloatArray) -> tuple[float, ...]:
        return (
            talib.SMA(window, 9)[-1],
            talib.SMA(window, 50)[-1],
            talib.SMA(window, 100)[-1],
            talib.EMA(window, 50)[-1],
            talib.EMA(window, 100)[-1],
            talib.RSI(window, 14)[-1],
        )


class _Incremental(_Valued):
    """A way whose library advances objects, six for each ticker, in the order of INDICATORS."""

    def _follow(self, updates: list[Callable[[float], float]], before: list[float]) -> None:
        self._updates = updates
        values = np.array(before).reshape(-1, len(INDICATORS))
        self._before = {**self._before, **dict(zip(INDICATORS, values.T, strict=True))}

    def close(self, close: FloatArray, volume: FloatArray) -> CodeArray:
        repeated = np.repeat(close, len(INDICATORS)).tolist()
        values = [update(price) for update, price in zip(self._updates, repeated, strict=True)]
        return self._decide(np.array(values).reshape(-1, len(INDICATORS)), close, volume)


class TalibStreams(_Incremental):
    """TA-Lib's streaming handles (new in 0.8), O(1) a candle; the rules over all tickers at once."""

    name = "TA-Lib: streaming handles"

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        handles = [
            handle
            for window in np.ascontiguousarray(start.closes.T)
            for handle in (
                stream.SMA(window, 9),
                stream.SMA(window, 50),
                stream.SMA(window, 100),
                stream.EMA(window, 50),
                stream.EMA(window, 100),
                stream.RSI(window, 14),
            )
        ]
        self._follow([handle.update for handle in handles], [handle.value for handle in handles])


class Talipp(_Incremental):
    """talipp's indicators, O(1) a candle; purging their history, which is the caller's, is not timed."""

    name = "talipp: incremental"

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        indicators = [
            indicator
            for window in start.closes.T.tolist()
            for indicator in (
                SMA(9, window),
                SMA(50, window),
                SMA(100, window),
                EMA(50, window),
                EMA(100, window),
                RSI(14, window),
            )
        ]
        self._follow([_adder(each) for each in indicators], [each[-1] for each in indicators])


def _adder(indicator: Any) -> Callable[[float], float]:
    def update(price: float) -> float:
        indicator.add(price)
        return float(indicator[-1])

    return update
