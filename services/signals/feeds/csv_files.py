"""Recorded candles from a directory of CSV files: one `TICKER.csv` or `TICKER.csv.gz` per ticker.

Columns are time,open,high,low,close,volume: in the header's order when there is one (further columns
are left out), else in this one. A time is the candle's open, ISO 8601 (UTC unless it says otherwise) or
epoch in seconds, or in milliseconds when above 1e11. Nothing is repaired: a broken row is rejected with
its file, line and reason, and the rest goes on.
"""

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from heapq import merge
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.signals.candles import (
    EPOCH,
    TIMEFRAMES,
    Candle,
    CandleBatch,
    CandleValidator,
    FloatArray,
    Outcome,
    length_of,
)

FIELDS = ("time", "open", "high", "low", "close", "volume")
MILLISECONDS_ABOVE = 1e11
SUFFIXES = (".csv", ".csv.gz")
TELL_EVERY = 1000
"""Rows between two reports of how many were read."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)


class RejectedRow(NamedTuple):
    """A row, or a whole file from `line` on, that could not be used."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class TickerCandles:
    """The accepted candles of one ticker, oldest first.

    `open_times` are seconds since 1970 of shape (candles,); `values` are open, high, low, close, volume
    of shape (candles, 5).
    """

    ticker: str
    timeframe: str
    open_times: NDArray[np.int64]
    values: FloatArray

    def __len__(self) -> int:
        return len(self.open_times)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What a directory holds: candles by ticker (in the order of names), and every row it lost."""

    tickers: tuple[TickerCandles, ...]
    rejected: tuple[RejectedRow, ...]

    def __len__(self) -> int:
        return sum(map(len, self.tickers))

    @property
    def timeframes(self) -> tuple[str, ...]:
        """The timeframes that occur, shortest first."""
        present = {each.timeframe for each in self.tickers}
        return tuple(name for name in TIMEFRAMES if name in present)

    @property
    def close_times(self) -> NDArray[np.int64]:
        """Every moment at which a candle closes, in seconds since 1970: each once, in order."""
        closes = [
            each.open_times + length_of(each.timeframe) // timedelta(seconds=1) for each in self.tickers
        ]
        return np.unique(np.concatenate(closes)) if closes else np.zeros(0, dtype=np.int64)

    def batches(self) -> Iterator[CandleBatch]:
        """All candles in one time order over all tickers: by close time, then timeframe, then ticker."""
        order = list(TIMEFRAMES)
        streams = map(self.batches_of, self.timeframes)
        return merge(*streams, key=lambda batch: (batch.close_time, order.index(batch.timeframe)))

    def batches_of(self, timeframe: str) -> Iterator[CandleBatch]:
        """The candles of one timeframe, by close time; tickers in the order of their names."""
        chosen = [each for each in self.tickers if each.timeframe == timeframe]
        if not chosen:
            return
        times = np.concatenate([each.open_times for each in chosen])
        values = np.concatenate([each.values for each in chosen])
        owner = np.repeat(np.arange(len(chosen)), [len(each) for each in chosen])
        order = np.argsort(times, kind="stable")  # stable: tickers stay in the order of their names
        edges = np.flatnonzero(np.diff(times[order])) + 1
        names = [each.ticker for each in chosen]
        before: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        tickers: tuple[str, ...] = ()
        for rows in np.split(order, edges):
            if not np.array_equal(owner[rows], before):
                before = owner[rows]
                tickers = tuple(names[index] for index in before.tolist())
            close_time = EPOCH + timedelta(seconds=int(times[rows[0]])) + length_of(timeframe)
            columns = np.ascontiguousarray(values[rows].T)
            yield CandleBatch(timeframe, close_time, tickers, *columns)


def read_directory(
    directory: Path,
    timeframe: str | None = None,
    tell: Callable[[int], None] | None = None,
) -> Recording:
    """Read and validate every ticker's file.

    Each file's timeframe is the most frequent step between its rows unless `timeframe` states it. `tell` is
    told now and then how many rows were read so far. Raises OSError where the directory cannot be listed,
    ValueError for an unknown timeframe.
    """
    if timeframe is not None:
        length_of(timeframe)
    files = sorted((ticker, path) for path in directory.iterdir() if (ticker := _ticker_of(path)))
    tickers: list[TickerCandles] = []
    rejected: list[RejectedRow] = []
    count = _Count(tell)
    for ticker, path in files:
        if tickers and tickers[-1].ticker == ticker:
            rejected.append(RejectedRow(path, 1, f"{ticker} was read from another file already"))
            continue
        read = _read_file(ticker, path, timeframe, rejected, count)
        if read is not None and len(read):
            tickers.append(read)
    return Recording(tuple(tickers), tuple(rejected))


def _ticker_of(path: Path) -> str | None:
    """The ticker that a file holds, or None for a file of another kind."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix) and not path.name.startswith(".") and path.is_file():
            return path.name.removesuffix(suffix)
    return None


class _Row(NamedTuple):
    line: int
    candle: Candle


class _Count:
    """How many rows were read, told every TELL_EVERY rows."""

    def __init__(self, tell: Callable[[int], None] | None) -> None:
        self._tell = tell
        self._rows = 0

    def one_more(self) -> None:
        self._rows += 1
        if self._tell is not None and self._rows % TELL_EVERY == 0:
            self._tell(self._rows)


def _read_file(
    ticker: str, path: Path, timeframe: str | None, rejected: list[RejectedRow], count: _Count
) -> TickerCandles | None:
    """The accepted candles of one file, None when its timeframe is not known; the rest to `rejected`."""
    rows: list[_Row] = []
    lost: list[RejectedRow] = []
    for line, parsed in _parsed_lines(ticker, path):
        count.one_more()
        if isinstance(parsed, Candle):
            rows.append(_Row(line, parsed))
        else:
            lost.append(RejectedRow(path, line, parsed))
    if not rows and not lost:
        lost.append(RejectedRow(path, 1, "the file holds no row"))
    try:
        chosen = timeframe or _most_frequent_step(rows)
    except ValueError as error:
        rejected += sorted(lost + [RejectedRow(path, row.line, str(error)) for row in rows])
        return None
    accepted: dict[datetime, Candle] = {}
    validator = CandleValidator(chosen, backfill=False, earlier=lambda _, moment: accepted.get(moment))
    for line, candle in rows:
        outcome, reason = validator.check(candle)
        if outcome is Outcome.ACCEPTED:
            accepted[candle.open_time] = candle
        elif reason is not None:
            lost.append(RejectedRow(path, line, reason.words))
    rejected += sorted(lost)
    open_times = [(open_time - EPOCH) // timedelta(seconds=1) for open_time in accepted]
    values = np.array([candle.values for candle in accepted.values()], dtype=np.float64).reshape(-1, 5)
    return TickerCandles(ticker, chosen, np.array(open_times, dtype=np.int64), values)


def _most_frequent_step(rows: list[_Row]) -> str:
    """The timeframe of the most frequent step forward between rows, the shortest of equally frequent ones."""
    steps = Counter(after.candle.open_time - before.candle.open_time for before, after in pairwise(rows))
    forward = {step: count for step, count in steps.items() if step > timedelta(0)}
    if not forward:
        raise ValueError("the timeframe cannot be inferred: no two rows follow each other")
    step = min(forward, key=lambda each: (-forward[each], each))
    for name in TIMEFRAMES:
        if length_of(name) == step:
            return name
    raise ValueError(f"the most frequent step between rows, {step}, is none of {', '.join(TIMEFRAMES)}")


class _HeaderError(Exception):
    """A header that names some of the columns only: no row below it can be understood."""


class _Layout(NamedTuple):
    """Where each of FIELDS stands in the rows of a file, and how many fields a row has."""

    places: tuple[int, ...] = tuple(range(len(FIELDS)))
    width: int = len(FIELDS)

    @classmethod
    def of_header(cls, fields: list[str]) -> "_Layout | None":
        """The layout that a file's first row states, or None when that is no header but a candle."""
        names = [field.lower() for field in fields]
        missing = [name for name in FIELDS if name not in names]
        if len(missing) == len(FIELDS):
            return None
        if missing:
            raise _HeaderError(f"the header lacks {', '.join(missing)}")
        return cls(tuple(names.index(name) for name in FIELDS), len(names))

    def candle(self, ticker: str, fields: list[str]) -> Candle:
        """The candle of a row; ValueError where it is none."""
        if len(fields) != self.width:
            raise ValueError(f"{len(fields)} fields instead of {self.width}")
        time, *numbers = (fields[place] for place in self.places)
        values = (_number(name, text) for name, text in zip(FIELDS[1:], numbers, strict=True))
        return Candle(ticker, _time(time), *values)


def _parsed_lines(ticker: str, path: Path) -> Iterator[tuple[int, Candle | str]]:
    """Each row's line number with its candle, or with the reason why it is none."""
    line = 0
    layout: _Layout | None = None
    try:
        with _opened(path) as lines:
            for line, text in enumerate(lines, start=1):
                if not text.strip():
                    continue
                try:
                    fields = _split(text)
                    if layout is None:
                        header = _Layout.of_header(fields)
                        layout = header or _Layout()
                        if header:
                            continue
                    yield line, layout.candle(ticker, fields)
                except (ValueError, csv.Error) as error:
                    yield line, str(error)
    except _HeaderError as error:
        yield line, str(error)
    except (OSError, EOFError, zlib.error) as error:
        yield line + 1, f"cannot be read: {error}"


def _opened(path: Path) -> IO[str]:
    """The file as text; bytes that are no UTF-8 become a character that no number holds."""
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace")
    return path.open(encoding="utf-8-sig", errors="replace")


def _split(text: str) -> list[str]:
    """The fields of one line. One line is one row: an open quote swallows none of the lines after it."""
    fields = next(csv.reader([text])) if '"' in text else text.split(",")
    return [field.strip() for field in fields]


def _number(name: str, text: str) -> float:
    """A plain decimal number, or one that is not finite (which the validator then refuses)."""
    if text.isascii() and (_NUMBER.fullmatch(text) or _NOT_FINITE.fullmatch(text)):
        return float(text)
    raise ValueError(f"{name} is not a number: {text[:40]!r}" if text else f"{name} is empty")


def _time(text: str) -> datetime:
    """An open time as aware UTC; ValueError where it is none."""
    try:
        if text.isascii() and _NUMBER.fullmatch(text):
            number = float(text)
            moment = EPOCH + timedelta(seconds=number / 1000 if abs(number) > MILLISECONDS_ABOVE else number)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"time is neither ISO 8601 nor an epoch: {text[:40]!r}" if text else "time is empty"
        ) from None
    if moment.year == MAXYEAR:
        raise ValueError(f"time leaves no room for the candle to close: {text[:40]!r}")
    return moment
