"""The indicators of one engine, and what each is made of."""

from collections.abc import Iterable, Mapping

from services.signals.candles import FloatArray
from services.signals.indicators.averages import Ema, Sma
from services.signals.indicators.momentum import Difference, KnownFrom, Rsi, Stochastic
from services.signals.indicators.names import Name
from services.signals.indicators.stream import History, Indicator, IntArray, Step
from services.signals.indicators.volatility import Atr, Band, Deviation, Mean


class IndicatorSet:
    """The indicators of one engine, each once, with the series that they share.

    Raises ValueError for a name that is not in the table of `names`.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(set(names)))
        self._histories: dict[str, History] = {}
        self._indicators: dict[str, Indicator] = {}
        parsed = {name: Name.parse(name) for name in self.names}
        unknown = [name for name, parts in parsed.items() if parts is None]
        if unknown:
            raise ValueError(f"unknown indicators: {', '.join(unknown)}")
        for name, parts in parsed.items():
            if parts is not None:
                self._add(name, parts)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` tickers; what is there stays."""
        for history in self._histories.values():
            history.grow(capacity)
        for indicator in self._indicators.values():
            indicator.grow(capacity)

    def snapshot(self, rows: IntArray, counts: IntArray) -> dict[str, FloatArray]:
        """What they remember of some rows, by the names of EngineState; the last axis is the rows."""
        arrays = {
            f"indicator/{indicator.name}/{part}": values[rows]
            for indicator in self._indicators.values()
            for part, values in indicator.state.items()
        }
        histories = self._histories.items()
        arrays.update((f"history/{source}", history.newest(rows, counts)) for source, history in histories)
        return arrays

    def restore(self, rows: IntArray, counts: IntArray, arrays: Mapping[str, FloatArray]) -> None:
        """Take back what `snapshot` gave, also that of a larger set. KeyError where something is missing."""
        for indicator in self._indicators.values():
            for part, values in indicator.state.items():
                values[rows] = arrays[f"indicator/{indicator.name}/{part}"]
        for source, history in self._histories.items():
            history.resume(rows, counts, arrays[f"history/{source}"])

    def update(self, step: Step) -> dict[str, FloatArray]:
        """Advance all by one step; name -> values after it, shape (tickers of the step,).

        The step's series receive the values of all, also of those that others are made of.
        """
        series = step.series
        for source, history in self._histories.items():
            if source in series:
                history.write(step, series[source])
        for name, indicator in self._indicators.items():
            series[name] = indicator.update(step)
            if name in self._histories:
                self._histories[name].write(step, series[name])
        return {name: series[name] for name in self.names}

    def _add(self, name: str, parts: Name) -> None:
        period = parts.periods[0]
        match parts.kind:
            case "sma":
                self._have(Sma(name, period, "close", self._history("close")))
            case "volume_sma":
                self._have(Sma(name, period, "volume", self._history("volume")))
            case "ema":
                self._have(Ema(name, period, "close"))
            case "rsi":
                self._have(Rsi(name, period))
            case "atr":
                self._have(Atr(name, period))
            case "macd" | "macd_signal" | "macd_histogram":
                self._add_macd(*parts.periods)
            case "stochastic_k":
                self._add_stochastic_k(*parts.periods)
            case "stochastic_d":
                self._add_stochastic_d(*parts.periods)
            case _:
                self._add_band(name, parts.kind, period, parts.times)

    def _add_macd(self, fast: int, slow: int, signal: int) -> None:
        """All three of a MACD. Both averages are first known on one candle, as TA-Lib has it.

        So the fast one begins as much later as it is shorter.
        """
        first = slow - 1
        late, line, numbers = f"ema{fast}_after{slow - fast}", f"macd{fast}_{slow}", f"{fast}_{slow}_{signal}"
        self._have(Ema(late, fast, "close", slow - fast))
        self._have(Ema(f"ema{slow}", slow, "close"))
        self._have(Difference(line, late, f"ema{slow}"))
        self._have(Ema(f"macd_signal{numbers}", signal, line, first))
        self._have(KnownFrom(f"macd{numbers}", line, first + signal - 1))
        self._have(Difference(f"macd_histogram{numbers}", line, f"macd_signal{numbers}"))

    def _add_stochastic_k(self, period: int, slowing: int) -> None:
        fast, first = f"stochastic{period}", period - 1
        self._have(Stochastic(fast, period, self._history("high"), self._history("low")))
        self._have(Sma(f"stochastic_k{period}_{slowing}", slowing, fast, self._history(fast, first), first))

    def _add_stochastic_d(self, period: int, slowing: int, smoothing: int) -> None:
        self._add_stochastic_k(period, slowing)
        slow, first = f"stochastic_k{period}_{slowing}", period + slowing - 2
        average = Sma(
            f"stochastic_d{period}_{slowing}_{smoothing}", smoothing, slow, self._history(slow, first), first
        )
        self._have(average)

    def _add_band(self, name: str, kind: str, period: int, times: float) -> None:
        mean, deviation, closes = f"mean{period}", f"deviation{period}", self._history("close")
        self._have(Mean(mean, period, closes))
        if kind == "bollinger_middle":
            self._have(KnownFrom(name, mean, period - 1))
            return
        self._have(Deviation(deviation, period, mean, closes))
        self._have(Band(name, mean, deviation, times if kind == "bollinger_upper" else -times))

    def _have(self, indicator: Indicator) -> None:
        """Add an indicator behind those that it is made of, unless it is there already."""
        self._indicators.setdefault(indicator.name, indicator)

    def _history(self, source: str, start: int = 0) -> History:
        return self._histories.setdefault(source, History(start))
