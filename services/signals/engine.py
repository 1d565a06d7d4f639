"""The one engine: live, replay and backtest run this step.

A step takes one closed candle for each of its tickers and advances every algorithm for all of them at
once, on arrays of shape (tickers,). Nothing is recomputed, no clock is read: what comes out depends only
on the candles each ticker had, bit for bit, whatever tickers stand beside it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np

from services.signals.algorithms.base import Algorithm, Condition, Frame, Rule
from services.signals.candles import COLUMNS, EPOCH, CandleBatch, FloatArray, kept, length_of, read_only
from services.signals.indicators import IndicatorSet, IntArray, Name, Rows, Step, grown
from services.signals.positions import BUY, HOLD, SELL, CodeArray, Positions, Turned
from services.signals.state import EngineState, IncompleteState, StateArray

_SECOND = timedelta(seconds=1)


class Signal(StrEnum):
    """What an algorithm says of one candle; and, as a view, the last such word that was not HOLD."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"

    @classmethod
    def of(cls, code: int) -> "Signal":
        """The signal of an array's code."""
        return _SIGNALS[code]


View = Signal

_SIGNALS = {BUY: Signal.BUY, HOLD: Signal.HOLD, SELL: Signal.SELL}
_CODES = {signal: code for code, signal in _SIGNALS.items()}


class ViewChange(NamedTuple):
    """One (algorithm, ticker) whose view turned, with the conditions of the rule that turned it."""

    algorithm: str
    algorithm_version: str
    ticker: str
    from_view: View
    to_view: View
    close: float
    why: tuple[Condition, ...]


class Failure(NamedTuple):
    """An algorithm that was set aside for one step, and what it raised."""

    algorithm: str
    error: BaseException


@dataclass(frozen=True, eq=False)
class StepResult:
    """What one step said, in arrays over the tickers of its batch, in the batch's order.

    `signals` and `views` are int8 codes by algorithm key (BUY, HOLD, SELL); an algorithm that failed
    said HOLD and kept its views. `indicators` are float64 by name, read-only, NaN during warm-up.
    """

    batch: CandleBatch
    signals: Mapping[str, CodeArray]
    views: Mapping[str, CodeArray]
    indicators: Mapping[str, FloatArray]
    failures: list[Failure]
    _turned: Turned
    _algorithms: tuple[Algorithm, ...]
    _rules: Mapping[int, tuple[Rule, Rule]]

    @cached_property
    def changes(self) -> list[ViewChange]:
        """Every view that changed, ordered by algorithm as the engine lists them, then as in the batch.

        Made when first asked for: a backtest over arrays does not pay for explanations.
        """
        return [change for number in self._rules for change in self._changes_of(number)]

    def _changes_of(self, number: int) -> Iterator[ViewChange]:
        """Those of one algorithm, by its number, with what its rules saw."""
        own = slice(*np.searchsorted(self._turned.numbers, (number, number + 1)).tolist())
        indices, bought = self._turned.indices[own], self._turned.said[own] == BUY
        algorithm, (entry, exit_) = self._algorithms[number], self._rules[number]
        entries = iter(entry.why("entry", indices[bought]).conditions())
        exits = iter(exit_.why("exit", indices[~bought]).conditions())
        key, version, tickers = algorithm.key, algorithm.version, self.batch.tickers
        closes = self.batch.close[indices].tolist()
        rows = zip(indices.tolist(), self._turned.held[own].tolist(), bought.tolist(), closes, strict=True)
        for index, held, buys, close in rows:
            to_view, why = (Signal.BUY, next(entries)) if buys else (Signal.SELL, next(exits))
            yield ViewChange(key, version, tickers[index], _SIGNALS[held], to_view, close, why)


class Engine:
    """All given algorithms on all tickers of one timeframe.

    `indicators` names further ones to compute beside those the algorithms need. Raises ValueError for an
    unknown timeframe or indicator, or two algorithms of one key.
    """

    def __init__(
        self, timeframe: str, algorithms: Iterable[Algorithm], indicators: Iterable[str] = ()
    ) -> None:
        length_of(timeframe)
        self.timeframe = timeframe
        self.algorithms = tuple(algorithms)
        keys = [algorithm.key for algorithm in self.algorithms]
        if len(set(keys)) != len(keys):
            raise ValueError(f"an algorithm stands twice in {', '.join(keys)}")
        needed = {name for algorithm in self.algorithms for name in algorithm.indicators}
        self._indicators = IndicatorSet(needed.union(indicators))
        self._names = {each.key: tuple({*COLUMNS, *each.indicators}) for each in self.algorithms}
        self._numbers = {key: number for number, key in enumerate(keys)}
        self._positions = Positions(self.algorithms)
        self._known_from = [
            max((name.first for name in map(Name.parse, each.indicators) if name), default=0)
            for each in self.algorithms
        ]
        self._rows: dict[str, int] = {}
        self._capacity = 0
        self._counts: IntArray = np.zeros(0, dtype=np.int64)
        self._opened: IntArray = np.zeros(0, dtype=np.int64)
        self._latest: dict[str, FloatArray] = {name: np.zeros(0) for name in COLUMNS + self._indicators.names}
        self._last_tickers: tuple[str, ...] = ()
        self._last_rows: Rows = slice(0, 0)
        self._spread = 0, 0
        self._recent: dict[str, FloatArray] = {}
        self._recent_opened = 0

    @property
    def tickers(self) -> tuple[str, ...]:
        """All tickers it has seen, in the order in which they came."""
        return tuple(self._rows)

    def step(self, batch: CandleBatch) -> StepResult:
        """Advance every algorithm by one candle for each ticker of the batch.

        The candles come validated and, per ticker, in order of time. Raises ValueError for a batch of
        another timeframe. An algorithm that raises is set aside for this step and reported. Where one of
        its indicators is not known yet, an algorithm says HOLD.
        """
        if batch.timeframe != self.timeframe:
            raise ValueError(f"a batch of {batch.timeframe} in an engine of {self.timeframe}")
        if not batch.tickers:
            nothing = {key: np.zeros(0, dtype=np.int8) for key in self._numbers}
            unknown = {name: np.zeros(0) for name in self._indicators.names}
            return StepResult(batch, nothing, nothing, unknown, [], Turned.nothing(), self.algorithms, {})
        rows = self._rows_of(batch.tickers)
        with np.errstate(all="ignore"):  # a warm-up's NaN and an algorithm's own arithmetic are no events
            return self._advance(rows, batch)

    def resume_views(self, algorithm: str, held: Mapping[str, tuple[View, float]]) -> None:
        """Take an algorithm's views, with the close at which each turned, from a record of what was told.

        For a restart: the candles are stepped again first, then this says what people know. A ticker that
        `held` does not name has the view HOLD; one that the engine has not seen has its view from its first
        candle on. Where the candles gave another entry, the highest close since it is the entry price or the
        last close.
        """
        number = self._numbers.get(algorithm)
        if number is None:
            return
        rows = self._numbers_of(tuple(held))
        positions = self._positions
        views, entry_prices = positions.views[number], positions.entry_prices[number]
        stepped = entry_prices.copy()
        views[:] = HOLD
        entry_prices[:] = np.nan
        for row, (view, close) in zip(rows.tolist(), held.values(), strict=True):
            views[row] = _CODES[view]
            entry_prices[row] = close if view is Signal.BUY else np.nan
        if number in positions.highest_closes:
            self._settle()
            other = entry_prices != stepped
            known = np.maximum(entry_prices, np.nan_to_num(self._latest["close"], nan=0.0))
            positions.highest_closes[number][other] = known[other]

    def snapshot(self, tickers: Iterable[str]) -> EngineState:
        """The state of those of its tickers that are among `tickers`."""
        self._settle()
        chosen = tuple(sorted(self._rows.keys() & set(tickers)))
        rows = np.array([self._rows[ticker] for ticker in chosen], dtype=np.int64)
        counts = self._counts[rows]
        arrays: dict[str, StateArray] = {"count": counts, "opened": self._opened[rows]}
        arrays.update((f"latest/{name}", values[rows]) for name, values in self._latest.items())
        arrays.update(self._indicators.snapshot(rows, counts))
        for key, number in self._numbers.items():
            parts = self._positions.snapshot(number, rows)
            arrays.update((f"algorithm/{key}/{part}", values) for part, values in parts.items())
        return EngineState(self.timeframe, chosen, arrays)

    def restore(self, state: EngineState) -> None:
        """Take a state that `snapshot` gave; its tickers go on from there, all others stay as they are.

        An algorithm that the state does not know starts at HOLD, one that the engine does not have is
        passed over. Raises IncompleteState, before anything is changed, where the state lacks an
        indicator of the engine, and ValueError for a state of another timeframe.
        """
        if state.timeframe != self.timeframe:
            raise ValueError(f"a state of {state.timeframe} in an engine of {self.timeframe}")
        arrays = state.arrays
        missing = [name for name in self._indicators.names if f"latest/{name}" not in arrays]
        parts = {key: state.of_algorithm(key) for key in self._numbers}
        missing += [
            f"highest closes of {key}"
            for key, number in self._numbers.items()
            if self._positions.lacks_highest_close(number, parts[key])
        ]
        if missing:
            raise IncompleteState(missing)
        self._settle()
        self._last_tickers, self._recent = (), {}
        rows = self._numbers_of(state.tickers)
        self._counts[rows] = arrays["count"]
        self._opened[rows] = arrays["opened"]
        for name, values in self._latest.items():
            values[rows] = arrays[f"latest/{name}"]
        self._indicators.restore(rows, self._counts[rows], arrays)
        for key, number in self._numbers.items():
            self._positions.restore(number, rows, parts[key])

    def _advance(self, rows: Rows, batch: CandleBatch) -> StepResult:
        counts = self._counts[rows]
        previous = self._recent or {n: read_only(values[rows].copy()) for n, values in self._latest.items()}
        columns = zip(COLUMNS, batch.columns, strict=True)
        current = {name: kept(values) for name, values in columns}
        step = Step.of(rows, counts, self._spread, current.copy(), previous["close"])
        indicators = {name: read_only(values) for name, values in self._indicators.update(step).items()}
        current |= indicators
        shape = len(self.algorithms), len(batch)
        entries, exits = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        rules: dict[int, tuple[Rule, Rule]] = {}
        failures: list[Failure] = []
        for number, algorithm in enumerate(self.algorithms):
            frame = Frame(
                current,
                previous,
                self._positions.entry_prices[number, rows],
                self._names[algorithm.key],
                self._positions.followed(number, rows, batch.close),
            )
            try:
                entry = Rule.of(algorithm.entry(frame), len(batch))
                exit_ = Rule.of(algorithm.exit(frame), len(batch))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code: it may stop nobody else
                failures.append(Failure(algorithm.key, error))
                continue
            entries[number], exits[number] = entry.holds, exit_.holds
            if step.least < self._known_from[number]:
                known = counts >= self._known_from[number]
                entries[number] &= known
                exits[number] &= known
            rules[number] = entry, exit_
        signals = entries.view(np.int8) - (exits > entries).view(np.int8)
        views, turned = self._positions.turn(rows, signals, entries | exits, current["close"])
        self._recent = current
        self._counts[rows] += 1
        self._spread = self._spread[0] + 1, self._spread[1] + 1
        self._recent_opened = (batch.open_time - EPOCH) // _SECOND
        by_key = dict(zip(self._numbers, signals, strict=True)), dict(zip(self._numbers, views, strict=True))
        return StepResult(batch, *by_key, indicators, failures, turned, self.algorithms, rules)

    def _rows_of(self, tickers: tuple[str, ...]) -> Rows:
        """The tickers' rows; new tickers get the next ones. A slice when they are the first rows in order."""
        if tickers is self._last_tickers or tickers == self._last_tickers:
            return self._last_rows
        if len(set(tickers)) != len(tickers):
            raise ValueError("a ticker stands twice in the batch")
        self._settle()
        self._recent = {}
        numbers = self._numbers_of(tickers)
        in_order = bool((numbers == np.arange(numbers.size)).all())
        self._last_tickers, self._last_rows = tickers, slice(0, numbers.size) if in_order else numbers
        counts = self._counts[numbers]
        self._spread = int(counts.min()), int(counts.max())
        return self._last_rows

    def _settle(self) -> None:
        """Put the last candles of the last batch to those of all tickers.

        They stay as they came while the next batches have the same tickers: nothing is copied then.
        """
        if self._recent:
            self._opened[self._last_rows] = self._recent_opened
        for name, values in self._recent.items():
            self._latest[name][self._last_rows] = values

    def _numbers_of(self, tickers: tuple[str, ...]) -> IntArray:
        """The tickers' rows as numbers, with room for the new ones."""
        for ticker in tickers:
            self._rows.setdefault(ticker, len(self._rows))
        self._make_room(len(self._rows))
        return np.array([self._rows[ticker] for ticker in tickers], dtype=np.int64)

    def _make_room(self, size: int) -> None:
        if size <= self._capacity:
            return
        self._capacity = max(size, 2 * self._capacity)
        self._counts = grown(self._counts, self._capacity, 0)
        self._opened = grown(self._opened, self._capacity, 0)
        self._latest = {name: grown(values, self._capacity, np.nan) for name, values in self._latest.items()}
        self._indicators.grow(self._capacity)
        self._positions.grow(self._capacity)
