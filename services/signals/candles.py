"""Candles, and what is refused before it can reach an indicator.

A candle is known by the moment it opens; it closes one timeframe later. Only closed candles come here.
Nothing is guessed or repaired: a candle is accepted, ignored (the same one again), late (it fills a gap
behind the last accepted one) or refused for one of the reasons in `Refusal`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.signals.roster import Roster

FloatArray = NDArray[np.float64]

TIMEFRAMES: dict[str, int] = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400}
"""Name of each timeframe and its length in seconds, shortest first; all are aligned to UTC."""

COLUMNS = ("open", "high", "low", "close", "volume")
"""A candle's numbers."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = int(np.iinfo(np.int64).min)
"""The time of what has not been, in arrays of seconds since EPOCH."""
_SECOND = timedelta(seconds=1)


def read_only(values: FloatArray) -> FloatArray:
    """The same array, which nobody writes to from now on."""
    values.setflags(write=False)
    return values


def kept(values: FloatArray) -> FloatArray:
    """The values in memory that nobody writes to: the array's own if it can't be written, else a copy's."""
    return values if values.base is None and not values.flags.writeable else read_only(values.copy())


def length_of(timeframe: str) -> timedelta:
    """The length of a timeframe. Raises ValueError for an unknown name."""
    try:
        return timedelta(seconds=TIMEFRAMES[timeframe])
    except KeyError:
        raise ValueError(f"unknown timeframe {timeframe!r}; known are {', '.join(TIMEFRAMES)}") from None


def epoch_seconds(moment: datetime) -> int:
    """Whole seconds since 1970."""
    return (moment - EPOCH) // _SECOND


class Refusal(StrEnum):
    """Why a candle is refused. `words` is the reason as people read it."""

    NON_FINITE = "non_finite"
    NEGATIVE = "negative"
    ZERO_PRICE = "zero_price"
    BROKEN_RANGE = "broken_range"
    OFF_GRID = "off_grid"
    OUT_OF_ORDER = "out_of_order"
    REPEATED_WITH_OTHER_VALUES = "repeated_with_other_values"
    SECOND_TIMEFRAME = "second_timeframe"

    @property
    def words(self) -> str:
        """The reason as people read it."""
        return _WORDS[self]


_WORDS = {
    Refusal.NON_FINITE: "a value is not a finite number",
    Refusal.NEGATIVE: "a value is negative",
    Refusal.ZERO_PRICE: "a price is zero",
    Refusal.BROKEN_RANGE: "low <= open, close <= high does not hold",
    Refusal.OFF_GRID: "the time is off the timeframe's grid",
    Refusal.OUT_OF_ORDER: "out of order: older than the candle before",
    Refusal.REPEATED_WITH_OTHER_VALUES: "repeats an earlier candle with other values",
    Refusal.SECOND_TIMEFRAME: "the ticker runs in another timeframe",
}


class Outcome(StrEnum):
    """What becomes of a candle."""

    ACCEPTED = "accepted"
    IGNORED = "ignored"
    LATE = "late"
    REFUSED = "refused"


class Verdict(NamedTuple):
    """What becomes of a candle; `reason` is given exactly when it is refused."""

    outcome: Outcome
    reason: Refusal | None = None


class Candle(NamedTuple):
    """One candle of one ticker. `open_time` is aware UTC; prices and volume are float64."""

    ticker: str
    open_time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def values(self) -> tuple[float, float, float, float, float]:
        """Open, high, low, close, volume."""
        return self[2:]


@dataclass(frozen=True, slots=True, eq=False)
class CandleBatch:
    """All candles of one timeframe that close at one moment, in columns.

    Each column is a float64 array of shape (len(tickers),); a ticker stands in it once. Raises
    ValueError where that does not hold, or the timeframe is unknown.
    """

    timeframe: str
    close_time: datetime
    tickers: tuple[str, ...]
    open_: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __post_init__(self) -> None:
        length_of(self.timeframe)
        for name, column in zip(("open", "high", "low", "close", "volume"), self.columns, strict=True):
            if column.shape != (len(self.tickers),) or column.dtype != np.float64:
                size = len(self.tickers)
                raise ValueError(f"column {name} is {column.dtype}{column.shape}, not float64({size},)")

    def __len__(self) -> int:
        return len(self.tickers)

    @property
    def open_time(self) -> datetime:
        """The moment at which all its candles opened."""
        return self.close_time - length_of(self.timeframe)

    @property
    def columns(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Open, high, low, close, volume; each of shape (len(tickers),)."""
        return self.open_, self.high, self.low, self.close, self.volume

    def candle(self, index: int) -> Candle:
        """The candle of `tickers[index]`."""
        opened, high, low, close, volume = (float(column[index]) for column in self.columns)
        return Candle(self.tickers[index], self.open_time, opened, high, low, close, volume)

    def take(self, indices: NDArray[np.intp]) -> "CandleBatch":
        """The batch of the tickers at `indices`, in that order."""
        tickers = tuple(self.tickers[index] for index in indices.tolist())
        columns = (column[indices] for column in self.columns)
        return CandleBatch(self.timeframe, self.close_time, tickers, *columns)


def value_refusal(candle: Candle) -> Refusal | None:
    """The first rule that the candle's own values break, or None."""
    prices = candle[2:6]
    if not all(map(math.isfinite, candle.values)):
        return Refusal.NON_FINITE
    if min(candle.values) < 0:
        return Refusal.NEGATIVE
    if min(prices) == 0:
        return Refusal.ZERO_PRICE
    if candle.high < max(prices) or candle.low > min(prices):
        return Refusal.BROKEN_RANGE
    return None


def is_on_grid(open_time: datetime, length: timedelta) -> bool:
    """Whether a candle of this length may open at a moment."""
    return not (open_time - EPOCH) % length


def sound(batch: CandleBatch) -> NDArray[np.bool_]:
    """Where a candle's own values and time break no rule, whatever came before; shape (len(batch),)."""
    if not is_on_grid(batch.open_time, length_of(batch.timeframe)):
        return np.zeros(len(batch), dtype=np.bool_)
    opened, high, low, close, volume = batch.columns
    good: NDArray[np.bool_] = low > 0  # false for NaN, as every comparison here
    for body in (opened, close):
        good &= (low <= body) & (body <= high)
    good &= (high < np.inf) & (volume >= 0) & (volume < np.inf)
    return good


class CandleValidator:
    """Judges the candles of one timeframe, ticker by ticker, in the order in which they come.

    With `backfill` a candle behind the ticker's last accepted one that is new is LATE: to be stored,
    never evaluated. Without it (a recorded file has one order) it is refused as out of order.
    `earlier` finds a candle that was accepted before the last one, so that a repeat of it is seen as one.
    """

    def __init__(
        self,
        timeframe: str,
        *,
        backfill: bool,
        earlier: Callable[[str, datetime], Candle | None],
    ) -> None:
        self._length = length_of(timeframe)
        self.timeframe = timeframe
        self._backfill = backfill
        self._earlier = earlier
        self._roster = Roster()
        self._opened: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._values: FloatArray = np.zeros((0, len(COLUMNS)))

    def resume(self, last: Candle) -> None:
        """Go on after `last`, the newest accepted candle of its ticker (at a restart)."""
        row = self._roster.row(last.ticker)
        self._make_room()
        self._opened[row] = epoch_seconds(last.open_time)
        self._values[row] = last.values

    def follow(self, batch: CandleBatch) -> None:
        """Go on after the candles of a batch, all accepted before and the newest of their tickers."""
        rows = self._roster.rows(batch.tickers)
        self._make_room()
        self._accept(rows, batch)

    def check(self, candle: Candle) -> Verdict:
        """Judge one candle; an accepted one becomes the last of its ticker."""
        reason = value_refusal(candle)
        if reason is None and not is_on_grid(candle.open_time, self._length):
            reason = Refusal.OFF_GRID
        if reason is not None:
            return Verdict(Outcome.REFUSED, reason)
        row = self._roster.row(candle.ticker)
        self._make_room()
        opened, last = epoch_seconds(candle.open_time), self._opened[row]
        if opened > last:
            self._opened[row], self._values[row] = opened, candle.values
            return _ACCEPTED
        values: tuple[float, ...] | None
        if opened == last:
            values = tuple(self._values[row].tolist())
        else:
            known = self._earlier(candle.ticker, candle.open_time)
            values = known and known.values
        if values is not None:
            same = values == candle.values
            return _IGNORED if same else Verdict(Outcome.REFUSED, Refusal.REPEATED_WITH_OTHER_VALUES)
        return _LATE if self._backfill else Verdict(Outcome.REFUSED, Refusal.OUT_OF_ORDER)

    def check_batch(self, batch: CandleBatch) -> tuple[CandleBatch, list[tuple[Candle, Verdict]]]:
        """The accepted part of a batch, and every other candle of it with its verdict.

        The whole batch is judged in columns; `check` is asked about those that stand out. Raises
        ValueError for a batch of another timeframe.
        """
        if batch.timeframe != self.timeframe:
            raise ValueError(f"a batch of {batch.timeframe} for a validator of {self.timeframe}")
        rows = self._roster.rows(batch.tickers)
        self._make_room()
        good = sound(batch) & (self._opened[rows] < epoch_seconds(batch.open_time))
        standing_out = [batch.candle(index) for index in np.flatnonzero(~good).tolist()]
        others = [(candle, self.check(candle)) for candle in standing_out]
        accepted = batch.take(np.flatnonzero(good)) if others else batch
        self._accept(rows[good], accepted)
        return accepted, others

    def _accept(self, rows: NDArray[np.int64], batch: CandleBatch) -> None:
        self._opened[rows] = epoch_seconds(batch.open_time)
        self._values[rows] = np.column_stack(batch.columns)

    def _make_room(self) -> None:
        self._opened = self._roster.fitted(self._opened, NEVER)
        self._values = self._roster.fitted(self._values, np.nan)


_ACCEPTED = Verdict(Outcome.ACCEPTED)
_IGNORED = Verdict(Outcome.IGNORED)
_LATE = Verdict(Outcome.LATE)
