"""How far the engine's indicators are from TA-Lib's: `python -m tests.signals.agreement DIR [DIR ...]`.

Prints, for every TICKER.csv in each folder, the largest relative deviation of each indicator over all
values after warm-up. Where that is above 1e-9 it also prints how far each of the two is from sums taken
by `math.fsum`: TA-Lib adds and subtracts in one running sum, which keeps what large values leave behind.
"""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import talib
from numpy.typing import NDArray

from services.signals.candles import FloatArray, length_of
from services.signals.engine import Engine
from services.signals.feeds.csv_files import read_directory
from services.signals.indicators import Name
from tests.signals.market import START, side_by_side

TOLERANCE = 1e-9
NAMES = (
    *("sma9", "sma50", "sma100", "ema50", "ema100", "rsi14", "volume_sma20", "atr14"),
    *("macd12_26_9", "macd_signal12_26_9", "macd_histogram12_26_9"),
    *("bollinger_upper20_2", "bollinger_middle20_2", "bollinger_lower20_2"),
    *("stochastic_k14_3", "stochastic_d14_3_3"),
)
MACD = ("macd", "macd_signal", "macd_histogram")
BANDS = ("bollinger_upper", "bollinger_middle", "bollinger_lower")


def by_talib(name: str, values: FloatArray) -> FloatArray:
    """TA-Lib's indicator over open, high, low, close, volume of shape (candles, 5); shape (candles,)."""
    parts = Name.parse(name)
    assert parts is not None, name
    _, high, low, close, volume = (column.copy() for column in values.T)
    kind, (period, *more) = parts.kind, parts.periods
    if kind in MACD:
        return talib.MACD(close, period, *more)[MACD.index(kind)]
    if kind in BANDS:
        return talib.BBANDS(close, period, parts.times, parts.times)[BANDS.index(kind)]
    plain: Mapping[str, Callable[[], FloatArray]] = {
        "sma": lambda: talib.SMA(close, period) if period > 1 else close,
        "ema": lambda: talib.EMA(close, period) if period > 1 else close,
        "rsi": lambda: talib.RSI(close, period),
        "volume_sma": lambda: talib.SMA(volume, period),
        "atr": lambda: talib.ATR(high, low, close, period),
        "stochastic_k": lambda: talib.STOCH(high, low, close, period, more[0], 0, 1, 0)[0],
        "stochastic_d": lambda: talib.STOCH(high, low, close, period, more[0], 0, more[-1], 0)[1],
    }
    return plain[kind]()


def by_fsum(name: str, values: FloatArray) -> FloatArray | None:
    """The same by correctly rounded sums over each window; None where TA-Lib keeps no running sum."""
    parts = Name.parse(name)
    assert parts is not None, name
    _, _, _, close, volume = values.T
    period, *more = parts.periods
    match parts.kind:
        case "sma" | "bollinger_middle":
            return means(close, period)
        case "volume_sma":
            return means(volume, period)
        case "bollinger_upper":
            return means(close, period) + parts.times * deviations(close, period)
        case "bollinger_lower":
            return means(close, period) - parts.times * deviations(close, period)
        case "stochastic_k":
            return means(by_talib(f"stochastic_k{period}_1", values), more[0])
        case "stochastic_d":
            return means(means(by_talib(f"stochastic_k{period}_1", values), more[0]), more[1])
    return None


def means(series: FloatArray, period: int) -> FloatArray:
    """The mean of each window, NaN until the first is full."""
    return _over_windows(series, period, lambda window: math.fsum(window) / period)


def deviations(series: FloatArray, period: int) -> FloatArray:
    """The standard deviation of each window, NaN until the first is full."""

    def deviation(window: list[float]) -> float:
        mean = math.fsum(window) / period
        return math.sqrt(math.fsum((value - mean) ** 2 for value in window) / period)

    return _over_windows(series, period, deviation)


def _over_windows(series: FloatArray, period: int, of: Callable[[list[float]], float]) -> FloatArray:
    listed = series.tolist()
    ends = range(period, len(listed) + 1)
    return np.array([math.nan] * (period - 1) + [of(listed[end - period : end]) for end in ends])[
        : len(listed)
    ]


def deviation(ours: FloatArray, reference: FloatArray) -> float:
    """The largest relative deviation where either is known; infinite where only one of the two is."""
    known = ~np.isnan(ours)
    if not np.array_equal(known, ~np.isnan(reference)):
        return math.inf
    off, size = np.abs(ours - reference)[known], np.abs(reference)[known]
    return float(np.divide(off, size, out=np.where(off > 0, math.inf, 0.0), where=size > 0).max(initial=0.0))


def indicators_of(
    series: Mapping[str, FloatArray],
    names: Iterable[str],
    present: Mapping[str, NDArray[np.bool_]] | None = None,
) -> dict[str, dict[str, FloatArray]]:
    """Ticker -> name -> the engine's values over its candles, shape (candles,); NaN where none is present."""
    places = {ticker: place for place, ticker in enumerate(series)}
    longest = max(map(len, series.values()))
    found = {name: np.full((len(series), longest), math.nan) for name in names}
    engine = Engine("1h", [], found)
    for batch in side_by_side(series, present):
        there = [places[ticker] for ticker in batch.tickers]
        number = (batch.open_time - START) // length_of("1h")
        for name, values in engine.step(batch).indicators.items():
            found[name][there, number] = values
    return {
        ticker: {name: found[name][place, : len(series[ticker])] for name in found}
        for ticker, place in places.items()
    }


def main(folders: list[str]) -> None:
    """Print a line for each ticker and indicator of the folders."""
    worst: dict[str, float] = {}
    for folder in folders:
        series = {each.ticker: each.values for each in read_directory(Path(folder)).tickers}
        ours = indicators_of(series, NAMES)
        for ticker, values in series.items():
            for name in NAMES:
                off = deviation(ours[ticker][name], by_talib(name, values))
                line = f"{folder} {ticker} {len(values)} {name} {off:.1e}"
                exact = by_fsum(name, values) if off > TOLERANCE else None
                if exact is not None:
                    own, theirs = (
                        deviation(ours[ticker][name], exact),
                        deviation(by_talib(name, values), exact),
                    )
                    line += f"; from fsum ours {own:.1e}, TA-Lib's {theirs:.1e}"
                    off = own
                print(line)  # noqa: T201 - a command's answer
                worst[name] = max(off, worst.get(name, 0.0))
    for name, off in worst.items():
        print(f"largest {name} {off:.1e}")  # noqa: T201 - a command's answer


if __name__ == "__main__":
    main(sys.argv[1:])
