"""What became of each change in the ledger, and of whoever followed every one: kept candle by candle.

Nothing here reads a database or a clock. What comes in are the ledger's records in their order, each with
the candles that its hash stands for; what is known of a change once it has had 24 candles never changes.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Self

import orjson

from services.signals.candles import CandleBatch, length_of
from services.signals.ledger.records import GENESIS, NO_CANDLES, candle_hashes

HORIZONS = (1, 4, 24)
"""After how many further candles of its ticker a change is looked at."""
LAST = HORIZONS[-1]


class BrokenLedger(Exception):
    """A record does not stand where the chain says, or its candles are gone or others; in words."""


class Entry(NamedTuple):
    """A record of a chain as it is stored."""

    sequence: int
    timeframe: str
    close_time: datetime
    late: bool
    record: str
    hash: str


@dataclass(slots=True)
class Outcome:
    """A change in the ledger, and the closes of its ticker 1, 4 and 24 candles later.

    `candles` counts those that came after it, up to 24; `closes` has a price for each of HORIZONS, None
    where it has not come. `late` says that the change stands in a supplementary record.
    """

    partition: int
    sequence: int
    algorithm: str
    ticker: str
    timeframe: str
    close_time: datetime
    algorithm_version: str
    from_view: str
    to_view: str
    close: float
    late: bool
    candles: int = 0
    closes: list[float | None] = field(default_factory=lambda: [None] * len(HORIZONS))

    def see(self, close: float) -> bool:
        """Take the ticker's next close; returns whether more are to come."""
        self.candles += 1
        if self.candles in HORIZONS:
            self.closes[HORIZONS.index(self.candles)] = close
        return self.candles < LAST


@dataclass(slots=True)
class Standing:
    """Whoever followed an algorithm on a ticker from its first evaluated candle on, beside holding it.

    All of 1 goes in at each BUY and out at each SELL, at the close and without costs. `worth` is what it is
    at the last close, `entry_close` the price of the position, None without one. Drawdowns are the deepest
    so far, as shares of the peak before.
    """

    ticker: str
    algorithm: str
    timeframe: str
    partition: int
    since: datetime
    until: datetime
    first_close: float
    last_close: float
    candles: int = 0
    capital: float = 1.0
    entry_close: float | None = None
    worth: float = 1.0
    peak: float = 1.0
    drawdown: float = 0.0
    hold_peak: float = 0.0
    hold_drawdown: float = 0.0

    @classmethod
    def at(cls, ticker: str, algorithm: str, timeframe: str, partition: int, close_time: datetime) -> Self:
        """The standing before the first candle, which closes at `close_time`."""
        return cls(ticker, algorithm, timeframe, partition, close_time, close_time, 0.0, 0.0)

    def see(self, close: float, close_time: datetime) -> None:
        """Take the ticker's next close."""
        if self.candles == 0:
            self.first_close = close
        self.candles += 1
        self.until, self.last_close = close_time, close
        self.worth = self.capital if self.entry_close is None else self.capital * (close / self.entry_close)
        self.peak = max(self.peak, self.worth)
        self.drawdown = max(self.drawdown, 1 - self.worth / self.peak)
        self.hold_peak = max(self.hold_peak, close)
        self.hold_drawdown = max(self.hold_drawdown, 1 - close / self.hold_peak)

    def turn(self, view: str, close: float) -> None:
        """Buy or sell at the close that was just taken."""
        self.capital = self.worth
        self.entry_close = close if view == "BUY" else None


@dataclass
class Book:
    """One chain read up to a record: its changes that are not settled yet, and all standings.

    `hash` is that of the last record read. `kept_from` is the open time from which on a timeframe's candles
    are stored; one of which none are is not in it. `written` and `moved` collect what has to be stored since
    the book was opened.
    """

    partition: int
    sequence: int = 0
    hash: str = GENESIS
    kept_from: Mapping[str, datetime] = field(default_factory=dict)
    pending: dict[tuple[str, str], list[Outcome]] = field(default_factory=dict)
    standings: dict[tuple[str, str, str], Standing] = field(default_factory=dict)
    written: dict[tuple[int, str, str], Outcome] = field(default_factory=dict)
    moved: dict[tuple[str, str, str], Standing] = field(default_factory=dict)

    @classmethod
    def opened(
        cls,
        partition: int,
        sequence: int,
        hash_: str,
        *,
        kept_from: Mapping[str, datetime],
        pending: Iterable[Outcome],
        standings: Iterable[Standing],
    ) -> Self:
        """The book of a chain that was read before."""
        book = cls(partition, sequence, hash_, kept_from)
        for outcome in pending:
            book.pending.setdefault((outcome.ticker, outcome.timeframe), []).append(outcome)
        for each in standings:
            book.standings[each.ticker, each.algorithm, each.timeframe] = each
        return book

    def read(self, entry: Entry, batch: CandleBatch | None) -> None:
        """Take the next record with its candles, None for none. Raises BrokenLedger."""
        content = self._checked(entry, batch)
        versions = {each["key"]: each["version"] for each in content["algorithms"]}
        self.sequence, self.hash = entry.sequence, entry.hash
        if batch is None:
            return
        closes = dict(zip(batch.tickers, batch.close.tolist(), strict=True))
        for ticker, close in closes.items():
            self._settle(ticker, entry.timeframe, close)
            for algorithm in versions:
                self._standing(ticker, algorithm, entry).see(close, entry.close_time)
        for change in content["changes"]:
            outcome = Outcome(
                self.partition,
                entry.sequence,
                change["algorithm"],
                change["ticker"],
                entry.timeframe,
                entry.close_time,
                versions[change["algorithm"]],
                change["from"],
                change["to"],
                float(change["close"]),
                entry.late,
            )
            self.pending.setdefault((outcome.ticker, outcome.timeframe), []).append(outcome)
            self.written[outcome.sequence, outcome.algorithm, outcome.ticker] = outcome
            self._standing(outcome.ticker, outcome.algorithm, entry).turn(outcome.to_view, outcome.close)

    def _settle(self, ticker: str, timeframe: str, close: float) -> None:
        waiting = self.pending.get((ticker, timeframe))
        if waiting:
            for outcome in waiting:
                self.written[outcome.sequence, outcome.algorithm, outcome.ticker] = outcome
            self.pending[ticker, timeframe] = [outcome for outcome in waiting if outcome.see(close)]

    def _standing(self, ticker: str, algorithm: str, entry: Entry) -> Standing:
        key = ticker, algorithm, entry.timeframe
        known = self.standings.get(key)
        if known is None:
            known = Standing.at(ticker, algorithm, entry.timeframe, self.partition, entry.close_time)
            self.standings[key] = known
        self.moved[key] = known
        return known

    def _checked(self, entry: Entry, batch: CandleBatch | None) -> dict[str, Any]:
        """The content of a record that follows on the last one and names the hash of its candles."""
        place = f"chain {self.partition}, record {self.sequence + 1}"
        if entry.sequence != self.sequence + 1:
            raise BrokenLedger(f"{place} is missing")
        if hashlib.sha256(entry.record.encode()).hexdigest() != entry.hash:
            raise BrokenLedger(f"{place} does not have the hash that is stored with it")
        content: dict[str, Any] = orjson.loads(entry.record)
        if content["previous"] != self.hash:
            raise BrokenLedger(f"{place} does not follow on the one before")
        if content["candles"] != _hash_of(batch, self.partition):
            others = "other candles than those that are stored"
            gone = "candles that are no longer kept"
            raise BrokenLedger(f"{place} was made of {others if self._are_kept(entry) else gone}")
        return content

    def _are_kept(self, entry: Entry) -> bool:
        """Whether retention has left the candles of a record."""
        kept = self.kept_from.get(entry.timeframe)
        return kept is not None and entry.close_time - length_of(entry.timeframe) >= kept


def _hash_of(batch: CandleBatch | None, partition: int) -> str:
    if batch is None:
        return NO_CANDLES
    places: Sequence[int] = [partition] * len(batch)
    ((_, digest),) = candle_hashes(batch, places)
    return digest
