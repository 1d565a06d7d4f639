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
from numpy.typing import NDArray

from services.signals.algorithms.base import Algorithm, Condition, Frame, Rule, Why
from services.signals.candles import COLUMNS, EPOCH, CandleBatch, FloatArray, length_of
from services.signals.indicators import IndicatorSet, IntArray, Rows, Step, grown
from services.signals.state import EngineState, IncompleteState, StateArray

CodeArray = NDArray[np.int8]
_SECOND = timedelta(seconds=1)
BUY, HOLD, SELL = 1, 0, -1
"""Signals and views in arrays."""


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
    error: Exception


@dataclass(frozen=True, slots=True)
class _Turn:
    """The tickers whose view of one algorithm turned: their places in the batch, and why."""

    algorithm: Algorithm
    indices: NDArray[np.intp]
    held: CodeArray
    bought: NDArray[np.bool_]
    entries: Why
    exits: Why

    @classmethod
    def of(
        cls, algorithm: Algorithm, held: CodeArray, signal: CodeArray, *, entry: Rule, exit_: Rule
    ) -> "_Turn":
        """The turn of those whose signal is not HOLD and not the view they held."""
        indices = np.flatnonzero((signal != HOLD) & (signal != held))
        bought = signal[indices] == BUY
        entries, exits = entry.why("entry", indices[bought]), exit_.why("exit", indices[~bought])
        return cls(algorithm, indices, held[indices], bought, entries, exits)

    def changes(self, batch: CandleBatch) -> Iterator[ViewChange]:
        """The view changes, in the batch's order."""
        entries, exits = iter(self.entries.conditions()), iter(self.exits.conditions())
        key, version, tickers = self.algorithm.key, self.algorithm.version, batch.tickers
        closes = batch.close[self.indices].tolist()
        rows = zip(self.indices.tolist(), self.held.tolist(), self.bought.tolist(), closes, strict=True)
        for index, held, bought, close in rows:
            to_view, why = (Signal.BUY, next(entries)) if bought else (Signal.SELL, next(exits))
            yield ViewChange(key, version, tickers[index], _SIGNALS[held], to_view, close, why)


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
    turns: list[_Turn]

    @cached_property
    def changes(self) -> list[ViewChange]:
        """Every view that changed, ordered by algorithm as the engine lists them, then as in the batch.

        Made when first asked for: a backtest over arrays does not pay for explanations.
        """
        return [change for turn in self.turns for change in turn.changes(self.batch)]


class _Position:
    """State of one algorithm: view and entry price per ticker, and the highest close if it follows it."""

    def __init__(self, *, follows_highest_close: bool) -> None:
        self.views: CodeArray = np.zeros(0, dtype=np.int8)
        self.entry_prices: FloatArray = np.zeros(0)
        self.highest_closes: FloatArray | None = np.zeros(0) if follows_highest_close else None

    def grow(self, capacity: int) -> None:
        self.views = grown(self.views, capacity, HOLD)
        self.entry_prices = grown(self.entry_prices, capacity, np.nan)
        if self.highest_closes is not None:
            self.highest_closes = grown(self.highest_closes, capacity, np.nan)

    def snapshot(self, rows: IntArray) -> dict[str, StateArray]:
        """Its state of some rows, by the names of EngineState behind the algorithm's key."""
        parts: dict[str, StateArray] = {"view": self.views[rows], "entry_price": self.entry_prices[rows]}
        if self.highest_closes is not None:
            parts["highest_close"] = self.highest_closes[rows]
        return parts

    def lacks_highest_close(self, parts: Mapping[str, StateArray]) -> bool:
        """Whether a state knows entries of it, but not the highest closes since."""
        return self.highest_closes is not None and "view" in parts and "highest_close" not in parts

    def restore(self, rows: IntArray, parts: Mapping[str, StateArray]) -> None:
        """Take back what `snapshot` gave; HOLD without an entry where it gave nothing."""
        self.views[rows] = parts.get("view", HOLD)
        self.entry_prices[rows] = parts.get("entry_price", np.nan)
        if self.highest_closes is not None:
            self.highest_closes[rows] = parts.get("highest_close", np.nan)

    def followed(self, rows: Rows, close: FloatArray) -> FloatArray | None:
        """The highest closes since entry once these closes have come; None if it does not follow them."""
        if self.highest_closes is None:
            return None
        highest: FloatArray = np.maximum(self.highest_closes[rows], close)
        self.highest_closes[rows] = highest
        return highest

    def turn(self, rows: Rows, turned: NDArray[np.intp], signal: CodeArray, close: FloatArray) -> CodeArray:
        """Turn the views of the step's tickers at `turned` to their signal; the views after it.

        BUY notes the close as the entry price, SELL ends it.
        """
        views = self.views[rows].copy()
        views[turned] = signal[turned]
        self.views[rows] = views
        places = turned if isinstance(rows, slice) else rows[turned]
        entries = np.where(signal[turned] == BUY, close[turned], np.nan)
        self.entry_prices[places] = entries
        if self.highest_closes is not None:
            self.highest_closes[places] = entries
        return views


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
        self._names = {each.key: frozenset(COLUMNS + tuple(each.indicators)) for each in self.algorithms}
        self._positions = {
            each.key: _Position(follows_highest_close=each.follows_highest_close) for each in self.algorithms
        }
        self._rows: dict[str, int] = {}
        self._capacity = 0
        self._counts: IntArray = np.zeros(0, dtype=np.int64)
        self._opened: IntArray = np.zeros(0, dtype=np.int64)
        self._latest: dict[str, FloatArray] = {name: np.zeros(0) for name in COLUMNS + self._indicators.names}
        self._last_tickers: tuple[str, ...] = ()
        self._last_rows: Rows = slice(0, 0)
        self._recent: dict[str, FloatArray] = {}

    @property
    def tickers(self) -> tuple[str, ...]:
        """All tickers it has seen, in the order in which they came."""
        return tuple(self._rows)

    def step(self, batch: CandleBatch) -> StepResult:
        """Advance every algorithm by one candle for each ticker of the batch.

        The candles come validated and, per ticker, in order of time. Raises ValueError for a batch of
        another timeframe. An algorithm that raises is set aside for this step and reported.
        """
        if batch.timeframe != self.timeframe:
            raise ValueError(f"a batch of {batch.timeframe} in an engine of {self.timeframe}")
        if not batch.tickers:
            nothing = {key: _no_codes(0) for key in self._positions}
            unknown = {name: np.zeros(0) for name in self._indicators.names}
            return StepResult(batch, nothing, nothing, unknown, [], [])
        rows = self._rows_of(batch.tickers)
        with np.errstate(all="ignore"):  # a warm-up's NaN and an algorithm's own arithmetic are no events
            return self._advance(rows, batch)

    def resume_views(self, algorithm: str, held: Mapping[str, tuple[View, float]]) -> None:
        """Take an algorithm's views, with the close at which each turned, from a record of what was told.

        For a restart: the candles are stepped again first, then this says what people know. A ticker that
        `held` does not name has the view HOLD; one that the engine has not seen is passed over. Where the
        candles gave another entry, the highest close since it is the entry price or the last close.
        """
        position = self._positions.get(algorithm)
        if position is None:
            return
        stepped = position.entry_prices
        position.views[:] = HOLD
        position.entry_prices = np.full(self._capacity, np.nan)
        for ticker, (view, close) in held.items():
            row = self._rows.get(ticker)
            if row is not None:
                position.views[row] = _CODES[view]
                position.entry_prices[row] = close if view is Signal.BUY else np.nan
        if position.highest_closes is not None:
            self._settle()
            other = position.entry_prices != stepped
            known = np.maximum(position.entry_prices, self._latest["close"])
            position.highest_closes[other] = known[other]

    def snapshot(self, tickers: Iterable[str]) -> EngineState:
        """The state of those of its tickers that are among `tickers`."""
        self._settle()
        chosen = tuple(sorted(self._rows.keys() & set(tickers)))
        rows = np.array([self._rows[ticker] for ticker in chosen], dtype=np.int64)
        counts = self._counts[rows]
        arrays: dict[str, StateArray] = {"count": counts, "opened": self._opened[rows]}
        arrays.update((f"latest/{name}", values[rows]) for name, values in self._latest.items())
        arrays.update(self._indicators.snapshot(rows, counts))
        for key, position in self._positions.items():
            arrays.update((f"algorithm/{key}/{part}", v) for part, v in position.snapshot(rows).items())
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
        parts = {key: state.of_algorithm(key) for key in self._positions}
        missing += [
            f"highest closes of {key}"
            for key, position in self._positions.items()
            if position.lacks_highest_close(parts[key])
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
        for key, position in self._positions.items():
            position.restore(rows, parts[key])

    def _advance(self, rows: Rows, batch: CandleBatch) -> StepResult:
        counts = self._counts[rows]
        previous = self._recent or {n: _read_only(values[rows]) for n, values in self._latest.items()}
        columns = dict(zip(COLUMNS, batch.columns, strict=True))
        indicators = self._indicators.update(Step.of(rows, counts, dict(columns), previous["close"]))
        current = {name: _read_only(values) for name, values in columns.items()}
        values_of = {name: _read_only(values) for name, values in indicators.items()}
        current.update(values_of)
        signals: dict[str, CodeArray] = {}
        views: dict[str, CodeArray] = {}
        turns: list[_Turn] = []
        failures: list[Failure] = []
        for algorithm in self.algorithms:
            key, position = algorithm.key, self._positions[algorithm.key]
            entry_price, highest = position.entry_prices[rows], position.followed(rows, batch.close)
            frame = Frame(
                current,
                previous,
                _read_only(entry_price),
                self._names[key],
                None if highest is None else _read_only(highest),
            )
            held = position.views[rows]
            try:
                entry = Rule.of(algorithm.entry(frame), len(batch))
                exit_ = Rule.of(algorithm.exit(frame), len(batch))
                signal = entry.holds.view(np.int8) - (exit_.holds > entry.holds).view(np.int8)
                turn = _Turn.of(algorithm, held, signal, entry=entry, exit_=exit_)
            except Exception as error:  # noqa: BLE001 - foreign code: it may stop nobody else's signals
                failures.append(Failure(key, error))
                signals[key], views[key] = _no_codes(len(batch)), held.copy()
                continue
            turns.append(turn)
            views[key] = position.turn(rows, turn.indices, signal, batch.close)
            signals[key] = signal
        self._recent = current | {name: _read_only(values.copy()) for name, values in columns.items()}
        self._counts[rows] = counts + 1
        self._opened[rows] = (batch.open_time - EPOCH) // _SECOND
        return StepResult(batch, signals, views, values_of, failures, turns)

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
        return self._last_rows

    def _settle(self) -> None:
        """Put the last candles of the last batch to those of all tickers.

        They stay as they came while the next batches have the same tickers: nothing is copied then.
        """
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
        for position in self._positions.values():
            position.grow(self._capacity)


def _no_codes(size: int) -> CodeArray:
    return np.zeros(size, dtype=np.int8)


def _read_only(values: FloatArray) -> FloatArray:
    """A view that nobody can write through."""
    view = values.view()
    view.flags.writeable = False
    return view
