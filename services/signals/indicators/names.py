"""Which indicators there are, by the names under which an algorithm asks for them.

| name | is |
|---|---|
| `sma9` | simple moving average of 9 closes |
| `ema50` | exponential moving average of 50 closes |
| `rsi14` | relative strength index of 14 changes, Wilder's smoothing |
| `volume_sma20` | simple moving average of 20 volumes |
| `atr14` | average true range of 14 candles, Wilder's smoothing |
| `macd12_26_9` | MACD line: EMA(12) less EMA(26) of the closes |
| `macd_signal12_26_9` | EMA(9) of that line |
| `macd_histogram12_26_9` | the line less its signal |
| `bollinger_middle20_2` | mean of 20 closes |
| `bollinger_upper20_2`, `bollinger_lower20_2` | 2 standard deviations of those 20 closes above it, below it |
| `stochastic_k14_3` | slow %K: where the close stands in the range of 14 candles, averaged over 3 |
| `stochastic_d14_3_3` | slow %D: the average of 3 slow %K; `stochastic_k14_1` is the fast %K |

Every number may be another. Periods are from 1 to 9999 (MACD's and Bollinger's from 2, MACD's second the
longer one). The deviations of Bollinger's bands are below 100 with at most two decimals, their point
written as `_`: `bollinger_upper20_2_5` stands 2.5 above.

An indicator is NaN before the candle on which TA-Lib first gives a value: all three of MACD begin where
its signal does.
"""

import re
from typing import NamedTuple, Self

_PERIODS = re.compile(r"([a-z_]*[a-z])([1-9][0-9]{0,3}(?:_[1-9][0-9]{0,3})*)")
_BOLLINGER = re.compile(
    r"(bollinger_(?:upper|middle|lower))([1-9][0-9]{0,3})_(?=.*[1-9])((?:0|[1-9][0-9]?)(?:_[0-9]?[1-9])?)"
)
_KINDS = {
    "sma": (1, "SMA"),
    "ema": (1, "EMA"),
    "rsi": (1, "RSI"),
    "volume_sma": (1, "volume SMA"),
    "atr": (1, "ATR"),
    "macd": (3, "MACD"),
    "macd_signal": (3, "MACD signal"),
    "macd_histogram": (3, "MACD histogram"),
    "stochastic_k": (2, "stochastic %K"),
    "stochastic_d": (3, "stochastic %D"),
}
"""How many periods each kind has, and what people call it."""


class Name(NamedTuple):
    """The name of an indicator taken apart. `times`, how many deviations, is Bollinger's only."""

    kind: str
    periods: tuple[int, ...]
    times: float = 0.0

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """What a name says; None where it stands for no indicator."""
        if match := _BOLLINGER.fullmatch(name):
            found = cls(match[1], (int(match[2]),), float(match[3].replace("_", ".")))
            return found if found.periods[0] > 1 else None
        match = _PERIODS.fullmatch(name)
        if match is None or match[1] not in _KINDS:
            return None
        found = cls(match[1], tuple(map(int, match[2].split("_"))))
        if len(found.periods) != _KINDS[found.kind][0]:
            return None
        return found if not found.kind.startswith("macd") or 1 < found.periods[0] < found.periods[1] else None

    @property
    def first(self) -> int:
        """The ticker's candle, counted from 0, on which it is first known."""
        match self.kind:
            case "rsi" | "atr":
                return self.periods[0]
            case "macd" | "macd_signal" | "macd_histogram":
                _, slow, signal = self.periods
                return slow + signal - 2
            case _:
                return sum(self.periods) - len(self.periods)

    @property
    def is_positive(self) -> bool:
        """Whether no value is negative, for candles without a negative one."""
        return self.kind in ("sma", "ema", "rsi", "volume_sma", "atr", "bollinger_middle")

    @property
    def label(self) -> str:
        """The indicator as people read it: `RSI14`, `MACD signal(12, 26, 9)`."""
        if self.times:
            return f"{self.kind.replace('_', ' ').capitalize()}({self.periods[0]}, {self.times:g})"
        words = _KINDS[self.kind][1]
        if len(self.periods) == 1:
            return f"{words}{self.periods[0]}"
        return f"{words}({', '.join(map(str, self.periods))})"
