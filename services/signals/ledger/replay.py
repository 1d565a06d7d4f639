"""A recorded change decided again: stored candles through the same engine step, compared bit for bit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from services.signals.engine import Engine, StepResult
from services.signals.errors import NotReplayable
from services.signals.ledger.chain import Entry, NotARecord, Reader
from services.signals.ledger.records import iso
from services.signals.ledger.reevaluation import Find, begin, installed, step
from services.signals.repository import audit, evaluated
from services.signals.repository.evaluated import ToldChange


class Decided(NamedTuple):
    """What a view turned to, at which price, and why."""

    view: str
    close: float
    why: list[dict[str, Any]]

    def __str__(self) -> str:
        """One line, and one more for each condition."""
        lines = [f"{self.view} at {self.close!r}"]
        lines += [
            f"    {each['text']}: {each['value']!r} {each['operator']} {each['threshold']!r}"
            f" {'holds' if each['holds'] else 'does not hold'}"
            for each in self.why
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Replayed:
    """A change as it was recorded, and as it comes out now; None where the view does not turn."""

    ticker: str
    algorithm: str
    timeframe: str
    close_time: datetime
    recorded: Decided
    decided: Decided | None
    start: str

    @property
    def is_equal(self) -> bool:
        """Whether both are the same, bit for bit."""
        return self.recorded == self.decided

    def __str__(self) -> str:
        """Both for people."""
        head = f"{self.ticker} under {self.algorithm}, {self.timeframe} closed {iso(self.close_time)}"
        if self.is_equal:
            return f"{head}: equal, {self.start}\n  {self.recorded}"
        decided = "no change" if self.decided is None else str(self.decided)
        return f"{head}: NOT equal, {self.start}\n  recorded {self.recorded}\n  decided {decided}"


def replay(
    connection: Connection,
    partition: int,
    sequence: int,
    find: Find,
    *,
    ticker: str | None = None,
    algorithm: str | None = None,
) -> list[Replayed]:
    """Decide the changes of a record again, or those of one ticker or algorithm.

    Starts at the newest checkpoint before it that has all that is needed, else at the first candle of the
    tickers. Raises NotReplayable where there is no such change, a candle is no longer kept, or `find` finds
    no algorithm as the record has it.
    """
    entry = _entry(connection, partition, sequence)
    told = [
        change
        for change in evaluated.told(connection, partition, sequence)
        if ticker in (None, change.ticker) and algorithm in (None, change.algorithm)
    ]
    if not told:
        raise NotReplayable(f"record {sequence} of chain {partition} has no such change")
    keys = {change.algorithm for change in told}
    named = [each for each in entry.content["algorithms"] if each["key"] in keys]
    engine = Engine(entry.row.timeframe, [installed(each, find) for each in named])
    tickers = sorted({change.ticker for change in told})
    start, result = _evaluate(connection, partition, entry, engine, tickers)
    decided = {
        (change.ticker, change.algorithm): Decided(
            change.to_view.value, change.close, [condition._asdict() for condition in change.why]
        )
        for change in result.changes
    }
    recorded = {(each["ticker"], each["algorithm"]): each for each in entry.content["changes"]}
    return [_compared(entry, change, recorded, decided, start) for change in told]


def _compared(
    entry: Entry,
    told: ToldChange,
    recorded: Mapping[tuple[str, str], Mapping[str, Any]],
    decided: Mapping[tuple[str, str], Decided],
    start: str,
) -> Replayed:
    """The change of the record, with the why that was told, beside what was decided now."""
    pair = (told.ticker, told.algorithm)
    if pair not in recorded:
        raise NotReplayable(f"the change of {told.ticker} under {told.algorithm} is in no record: verify")
    said = recorded[pair]
    known = Decided(said["to"], float(said["close"]), told.why)
    row = entry.row
    return Replayed(*pair, row.timeframe, row.close_time, known, decided.get(pair), start)


def _entry(connection: Connection, partition: int, sequence: int) -> Entry:
    rows = audit.records(connection, partition, sequence, sequence)
    if not rows:
        raise NotReplayable(f"chain {partition} has no record {sequence}")
    try:
        return Entry(rows[0], Reader().read(rows[0].record))
    except NotARecord as error:
        raise NotReplayable(f"record {sequence} of chain {partition} can't be read: {error}") from error


def _evaluate(
    connection: Connection, partition: int, entry: Entry, engine: Engine, tickers: Sequence[str]
) -> tuple[str, StepResult]:
    """Where it started, and what the step of the record says of the tickers."""
    timeframe, last = entry.row.timeframe, entry.row.sequence
    start = begin(connection, partition, engine, tickers, last)
    aside = evaluated.set_aside(connection, partition, timeframe, start.sequence, last)
    result: StepResult | None = None
    at = 0
    for at, batch in evaluated.candles(
        connection,
        timeframe,
        tickers,
        since=start.since,
        until=entry.open_time,
        first=start.sequence,
        last=last,
    ):
        result = step(engine, batch, aside.get(at, ()))
    if result is None or at != last:
        raise NotReplayable(f"the candle that closed at {iso(entry.row.close_time)} is not stored")
    return start.words, result
