"""The no-repaint job: a past day evaluated again with candles fetched again.

What was told must be what anybody gets from the candles as they stand today. Where an exchange has changed
a candle afterwards, or a rule looks at what it should not, it shows here, and the numbers are published.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, Protocol

import numpy as np
import orjson
from prometheus_client import Gauge
from sqlalchemy import Connection

from services.signals.algorithms.base import Algorithm
from services.signals.candles import CandleBatch
from services.signals.engine import Engine
from services.signals.errors import NotReplayable
from services.signals.ledger.records import iso
from services.signals.ledger.reevaluation import begin, installed, step
from services.signals.repository import audit, evaluated, repaints
from services.signals.repository.repaints import DayChange, RepaintCheck
from shared import logs
from shared.db.engine import Database
from shared.process import Beat

TURN_SECONDS = 600.0
BEAT_SECONDS = 5.0
EXAMPLES = 50
"""Differences of a kind that are kept in words; all are counted."""

log = logs.logger(__name__)
DIFFERENCES = Gauge(
    "signals_repaint_differences",
    "What the newest re-evaluated day gave otherwise than it was told.",
    ["timeframe", "kind"],
)

Cell = tuple[CandleBatch, int]
"""A candle as a batch and its place in it."""


class Refetched(Protocol):
    """The candles that close in a UTC day, as they are told today, and the tickers of which none are."""

    @property
    def batches(self) -> Sequence[CandleBatch]:
        """All of them, of all timeframes."""
        ...

    @property
    def missing(self) -> Collection[str]:
        """The tickers of which nothing was told."""
        ...


Refetch = Callable[[date, Collection[str], Callable[[], None]], Refetched]
"""Fetches a day of some tickers; the last argument is called now and then, and what it raises ends it."""


class _Stopped(Exception):
    """The process was asked to end."""


class RepaintJob:
    """A loop that checks each day once, soon after it was evaluated; its first turn is after `delay`."""

    name = "signals-repaint"

    def __init__(
        self,
        database: Database,
        algorithms: Mapping[str, Algorithm],
        refetch: Refetch,
        *,
        delay: float = 60.0,
    ) -> None:
        self._database = database
        self._algorithms = algorithms
        self._refetch = refetch
        self._delay = delay

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Check days until `stop` is set."""

        def each() -> None:
            beat()
            if stop.is_set():
                raise _Stopped

        due = time.monotonic() + self._delay
        while not stop.is_set():
            beat()
            if time.monotonic() < due:
                stop.wait(min(BEAT_SECONDS, due - time.monotonic()))
                continue
            due = time.monotonic() + TURN_SECONDS
            try:
                check_newest_day(self._database, self._algorithms, self._refetch, each)
            except _Stopped:
                return
            except Exception:  # a loop started anew would ask the exchange for the whole day every minute
                log.exception("re-evaluation failed")


def check_newest_day(
    database: Database,
    algorithms: Mapping[str, Algorithm],
    refetch: Refetch,
    each: Callable[[], None] = lambda: None,
) -> list[RepaintCheck]:
    """Check the last day that is evaluated to its end, in the timeframes in which it was not yet checked.

    The day is one of the market's: a recording's is long past. Nothing is stored of a timeframe of which no
    candle could be fetched. Raises FeedError where the feed can't be read.
    """
    with database.read() as connection:
        day = repaints.last_whole_day(connection)
        due = [] if day is None else repaints.unchecked_timeframes(connection, day)
        if day is None or not due:
            return []
        tickers = repaints.tickers(connection, due)
    refetched = refetch(day, tickers, each)
    checks: list[RepaintCheck] = []
    for timeframe in due:
        with database.read() as connection:
            check = _Day(connection, day, timeframe, algorithms, refetched).check(each)
        if not check.candles:
            log.warning("no candle to compare with", day=day.isoformat(), timeframe=timeframe)
            continue
        with database.transaction() as session:
            repaints.store(session, check)
        DIFFERENCES.labels(timeframe, "candle").set(check.candle_differences)
        DIFFERENCES.labels(timeframe, "change").set(check.change_differences)
        log.info("day evaluated again", **{name: str(value) for name, value in check._asdict().items()})
        checks.append(check)
    return checks


class _Cells:
    """Refetched candles of a timeframe by open time and ticker."""

    def __init__(self, batches: Sequence[CandleBatch]) -> None:
        self._batches: dict[datetime, list[CandleBatch]] = {}
        for batch in batches:
            self._batches.setdefault(batch.open_time, []).append(batch)
        self._at: tuple[datetime | None, dict[str, Cell]] = (None, {})

    def at(self, open_time: datetime) -> dict[str, Cell]:
        """The candles that opened at a moment, by ticker."""
        if self._at[0] != open_time:
            found = {
                ticker: (batch, index)
                for batch in self._batches.get(open_time, ())
                for index, ticker in enumerate(batch.tickers)
            }
            self._at = (open_time, found)
        return self._at[1]

    def closing(self, begin: datetime, end: datetime) -> set[tuple[str, datetime]]:
        """Ticker and open time of those that close from a moment on, before another."""
        return {
            (ticker, open_time)
            for open_time, batches in self._batches.items()
            for batch in batches
            if begin <= batch.close_time < end
            for ticker in batch.tickers
        }


@dataclass
class _Found:
    """What was compared, and what is otherwise."""

    candles: int = 0
    changes: int = 0
    candle_differences: list[str] = field(default_factory=list)
    change_differences: list[str] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)


class _Part(NamedTuple):
    """A chain's tickers that could be fetched, and the first and last of its records of the day."""

    partition: int
    tickers: list[str]
    first: int
    last: int


class _Day:
    """A day of one timeframe."""

    def __init__(
        self,
        connection: Connection,
        day: date,
        timeframe: str,
        algorithms: Mapping[str, Algorithm],
        refetched: Refetched,
    ) -> None:
        self._connection = connection
        self._day = day
        self._begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        self._end = self._begin + timedelta(days=1)
        self._timeframe = timeframe
        self._algorithms = algorithms
        self._missing = frozenset(refetched.missing)
        self._cells = _Cells([each for each in refetched.batches if each.timeframe == timeframe])
        self._found = _Found(left_out=set(self._missing))

    def check(self, each: Callable[[], None]) -> RepaintCheck:
        """Evaluate it again and compare."""
        records = repaints.records_between(self._connection, self._timeframe, self._begin, self._end)
        for partition, (first, last) in records.items():
            each()
            tickers = [
                began.ticker
                for began in audit.tickers(self._connection, partition)
                if began.timeframe == self._timeframe and began.ticker not in self._missing
            ]
            if tickers:
                self._chain(_Part(partition, sorted(tickers), first, last), each)
        self._unknown_candles()
        found = self._found
        return RepaintCheck(
            day=self._day,
            timeframe=self._timeframe,
            candles=found.candles,
            candle_differences=len(found.candle_differences),
            changes=found.changes,
            change_differences=len(found.change_differences),
            details={
                "candles": found.candle_differences[:EXAMPLES],
                "changes": found.change_differences[:EXAMPLES],
                "left_out": sorted(found.left_out)[:EXAMPLES],
            },
        )

    def _chain(self, part: _Part, each: Callable[[], None]) -> None:
        """Evaluate the candles of one chain up to the day's end, those of the day with their new values."""
        chosen = self._comparable(part)
        engine = Engine(self._timeframe, chosen)
        tickers = part.tickers
        try:
            start = begin(self._connection, part.partition, engine, tickers, part.first)
        except NotReplayable as error:
            self._found.left_out.add(f"chain {part.partition}: {error}")
            return
        aside = evaluated.set_aside(
            self._connection, part.partition, self._timeframe, start.sequence, part.last
        )
        decided: set[DayChange] = set()
        for sequence, batch in evaluated.candles(
            self._connection,
            self._timeframe,
            tickers,
            since=start.since,
            until=self._end,
            first=start.sequence,
            last=part.last,
        ):
            each()
            if batch.close_time < self._begin:
                step(engine, batch, aside.get(sequence, ()))
                continue
            if batch.close_time >= self._end:
                break
            result = step(engine, self._as_told_today(batch), aside.get(sequence, ()))
            decided.update(
                DayChange(
                    change.ticker,
                    change.algorithm,
                    batch.close_time,
                    change.from_view.value,
                    change.to_view.value,
                    change.close,
                )
                for change in result.changes
            )
        self._compare_changes(part, {algorithm.key for algorithm in chosen}, decided)

    def _comparable(self, part: _Part) -> list[Algorithm]:
        """The algorithms that are installed as every record of the day has them."""
        lists = repaints.algorithms_between(
            self._connection, part.partition, self._timeframe, part.first, part.last
        )
        by_key: dict[str, list[dict[str, Any]]] = {}
        for each in lists:
            for recorded in orjson.loads(each):
                by_key.setdefault(recorded["key"], []).append(recorded)
        chosen: list[Algorithm] = []
        for key, recorded in sorted(by_key.items()):
            if len(recorded) != len(lists) or any(other != recorded[0] for other in recorded):
                self._found.left_out.add(f"the algorithm {key} was not the same all day")
                continue
            try:
                chosen.append(installed(recorded[0], self._algorithms.get))
            except NotReplayable as error:
                self._found.left_out.add(str(error))
        return chosen

    def _as_told_today(self, batch: CandleBatch) -> CandleBatch:
        """A stored batch with the values that were fetched for it; those not told any more stay."""
        told = self._cells.at(batch.open_time)
        columns = [column.copy() for column in batch.columns]
        for index, ticker in enumerate(batch.tickers):
            self._found.candles += 1
            cell = told.get(ticker)
            name = f"{ticker} {iso(batch.open_time)}"
            if cell is None:
                self._found.candle_differences.append(f"{name}: not told any more")
                continue
            stored, now = batch.candle(index).values, cell[0].candle(cell[1]).values
            if stored != now:
                self._found.candle_differences.append(f"{name}: stored {stored}, now {now}")
                for column, value in zip(columns, now, strict=True):
                    column[index] = value
        return CandleBatch(batch.timeframe, batch.close_time, batch.tickers, *map(np.asarray, columns))

    def _compare_changes(self, part: _Part, keys: set[str], decided: set[DayChange]) -> None:
        recorded = {
            change
            for change in repaints.changes_between(
                self._connection, part.partition, self._timeframe, self._begin, self._end
            )
            if change.algorithm in keys and change.ticker in part.tickers
        }
        self._found.changes += len(recorded)
        pairs = {change[:3] for change in recorded ^ decided}
        by_pair = {
            what: {change[:3]: change for change in changes}
            for what, changes in (("told", recorded), ("now", decided))
        }
        for pair in sorted(pairs):
            sides = (
                f"{what} {change.from_view} to {change.to_view} at {change.close!r}"
                if (change := changes.get(pair))
                else f"{what} no change"
                for what, changes in by_pair.items()
            )
            name = f"{pair[0]} {pair[1]} {iso(pair[2])}"
            self._found.change_differences.append(f"{name}: {', '.join(sides)}")

    def _unknown_candles(self) -> None:
        """Candles that are told today and were never stored; before a ticker's first one nobody looked."""
        first = repaints.first_open_times(self._connection, self._timeframe)
        for hour in range(24):
            begin = self._begin + timedelta(hours=hour)
            end = begin + timedelta(hours=1)
            known = repaints.stored_candles(self._connection, self._timeframe, begin, end)
            for ticker, open_time in sorted(self._cells.closing(begin, end) - known):
                if ticker in first and open_time >= first[ticker]:
                    name = f"{ticker} {iso(open_time)}"
                    self._found.candle_differences.append(f"{name}: told now, never stored")
