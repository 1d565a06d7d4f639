"""`ledger verify`: the whole ledger read again and held against everything that was stored beside it.

Chain after chain is read in windows of records, so that memory does not grow with the history. What can't
be told from the database alone, that somebody who may write to it has rewritten all of it, shows where
exported heads are at hand.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from services.signals.candles import CandleBatch, length_of
from services.signals.errors import BadBatches, BadHead, BadRecord
from services.signals.ledger import records
from services.signals.ledger.chain import Chain, Entry
from services.signals.ledger.heads import Ends, check_order
from services.signals.ledger.records import GENESIS, NO_CANDLES, PARTITIONS, partition_of
from services.signals.repository import audit, heads
from services.signals.repository.audit import BatchRow, Extent, RecordedChange
from shared.db.engine import Database

RECORDS_AT_ONCE = 250
CANDLES_AT_ONCE = 100_000

Progress = Callable[[int, int], None]
"""Told how many records are checked, of how many."""


@dataclass
class Report:
    """What was checked. Of `without_candles` records the candles are no longer kept."""

    records: int = 0
    changes: int = 0
    checkpoints: int = 0
    heads: int = 0
    exported: int = 0
    without_candles: int = 0

    def __str__(self) -> str:
        """The report as one line."""
        line = (
            f"good: {self.records:,} records with {self.changes:,} changes and {self.checkpoints:,}"
            f" checkpoints, compared with {self.heads:,} stored and {self.exported:,} exported heads"
        )
        gone = f"; of {self.without_candles:,} records the candles are no longer kept"
        return line + (gone if self.without_candles else "")


def verify(
    database: Database,
    exported: Sequence[tuple[str, Ends]] = (),
    progress: Progress = lambda _done, _of: None,
) -> Report:
    """Check every record there is now, and those that `exported` heads name; a report of what was checked.

    Raises BadRecord for the first one that is wrong or missing, chain by chain, BadBatches where the list of
    released batches is not whole, BadHead where stored heads are not.
    """
    with database.transaction() as session:
        connection = session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        extent = audit.extent(connection)
        stored = heads.stored(connection)
    check_order(stored)
    if stored and stored[0][1].previous != GENESIS:
        raise BadHead(f"{stored[0][0]} is not the first one")
    known = [*exported, *stored]
    report = Report(heads=len(stored), exported=len(exported))
    with database.read() as connection:
        stranger = audit.outside(connection, PARTITIONS)
        if stranger is not None:
            raise BadRecord(*stranger, "there is no such chain")
        _check_batches(connection, extent)
        for partition in range(PARTITIONS):
            _Verification(connection, extent, partition, known=known, report=report, progress=progress).run()
    _compare(exported, stored)
    return report


def _compare(exported: Sequence[tuple[str, Ends]], stored: Sequence[tuple[str, Ends]]) -> None:
    """Raise BadHead unless every exported head is stored too."""
    by_day = {ends.day: ends for _, ends in stored}
    for name, ends in exported:
        if ends.day not in by_day:
            raise BadHead(f"{name} is of a day of which no head is stored any more")
        if ends != by_day[ends.day]:
            raise BadHead(f"{name} is another one than the stored head of {ends.day}")


def _check_batches(connection: Connection, extent: Extent) -> None:
    """Raise BadBatches unless every feed's batches are listed one by one up to the last it has released."""
    counted: dict[str, int] = {}
    for batch in audit.released_batches(connection, extent.last_number):
        expected = counted.get(batch.feed, 0) + 1
        if batch.sequence != expected:
            raise BadBatches(f"batch {expected} of the feed {batch.feed} is missing from the released ones")
        counted[batch.feed] = expected
    for feed, released in sorted(extent.released.items()):
        if counted.get(feed, 0) != released:
            raise BadBatches(
                f"the feed {feed} has released {released} batches, {counted.get(feed, 0)} of them are listed"
            )


class _Verification:
    """The verification of one chain."""

    def __init__(
        self,
        connection: Connection,
        extent: Extent,
        partition: int,
        *,
        known: Sequence[tuple[str, Ends]],
        report: Report,
        progress: Progress,
    ) -> None:
        self._connection = connection
        self._extent = extent
        self._partition = partition
        self._report = report
        self._progress = progress
        self._last = extent.lengths[partition]
        self._tickers = extent.tickers.get(partition, ())
        batches = audit.released_batches(connection, extent.last_number)
        named: dict[int, list[tuple[str, str]]] = {}
        for name, ends in known:
            for chain, sequence, hash_ in ends.chains:
                if chain == partition and sequence > 0:
                    named.setdefault(sequence, []).append((hash_, name))
        self._chain = Chain(partition, batches, self._is_met, self._tickers, named)
        self._opened: dict[str, datetime] = {}

    def run(self) -> None:
        """Check the chain from its first record to its last. Raises BadRecord."""
        for each in self._tickers:
            if partition_of(each.ticker) != self._partition:
                raise self._bad(0, None, f"the ticker {each.ticker} belongs to another chain")
        size = max(1, min(RECORDS_AT_ONCE, CANDLES_AT_ONCE // max(1, len(self._tickers))))
        first = 1
        while first <= self._last:
            last = min(first + size - 1, self._last)
            self._window(first, last)
            first = last + 1
            self._progress(self._report.records, sum(self._extent.lengths.values()))
        self._chain.end()
        self._behind_the_end()

    def _window(self, first: int, last: int) -> None:
        """Check some records, and what belongs to them; the lowest sequence that is wrong is raised."""
        faults: list[BadRecord] = []
        entries: list[Entry] = []
        try:
            for row in audit.records(self._connection, self._partition, first, last):
                entries.append(self._chain.follow(row))  # noqa: PERF401 - those before a fault are kept
            if len(entries) != last - first + 1:
                raise self._bad(first + len(entries), None, "it is missing")
        except BadRecord as fault:
            faults.append(fault)
        if entries:
            for check in (self._changes, self._candles, self._checkpoints):
                faults += check(entries)
        if faults:
            raise min(faults, key=lambda fault: fault.sequence)
        self._report.records += len(entries)

    def _changes(self, entries: Sequence[Entry]) -> Iterator[BadRecord]:
        """Compare the changes of records with `view_change`, both ways, and with the signals."""
        first, last = entries[0].row.sequence, entries[-1].row.sequence
        stored: dict[int, set[RecordedChange]] = {}
        for change in audit.changes(self._connection, self._partition, first, last):
            stored.setdefault(change.sequence, set()).add(change)
        for entry in entries:
            recorded = set(_changes_of(entry))
            self._report.changes += len(recorded)
            there = stored.get(entry.row.sequence, set())
            for change in sorted(recorded - there):
                yield self._of(entry, f"its change {_named(change)} is not in view_change like that")
            for change in sorted(there - recorded):
                yield self._of(entry, f"view_change has {_named(change)}, which it does not have")
        for sequence, ticker, algorithm in audit.changes_without_signal(
            self._connection, self._partition, first, last
        ):
            what = f"the signal of {ticker} under {algorithm} does not say what its change says"
            yield self._of(entries[sequence - first], what)

    def _candles(self, entries: Sequence[Entry]) -> Iterator[BadRecord]:
        """Hash the stored candles again, as far as they are kept; none may name a record of another close."""
        for timeframe in sorted({entry.row.timeframe for entry in entries}):
            mine = [entry for entry in entries if entry.row.timeframe == timeframe]
            groups: dict[int, list[CandleBatch]] = {}
            for sequence, batch in self._evaluated(timeframe, mine):
                groups.setdefault(sequence, []).append(batch)
            for entry in mine:
                digest = _hash_of(groups.pop(entry.row.sequence, []), entry, self._partition)
                if digest == entry.content["candles"]:
                    continue
                if self._is_kept(entry):
                    yield self._of(entry, "the candles that it evaluated are not those that are stored")
                else:
                    self._report.without_candles += 1
            yield from self._elsewhere(timeframe, groups)

    def _is_kept(self, entry: Entry) -> bool:
        """Whether retention has left the candles of a record; looked up anew, for it goes on meanwhile."""
        kept = audit.kept_from(self._connection).get(entry.row.timeframe)
        return kept is not None and entry.open_time >= kept

    def _evaluated(self, timeframe: str, mine: Sequence[Entry]) -> Iterator[tuple[int, CandleBatch]]:
        """The candles up to the window's newest close that were not read yet, and those of late records."""
        before = self._opened.get(timeframe)
        regular = [entry.open_time for entry in mine if not entry.row.late]
        late = {entry.open_time for entry in mine if entry.row.late}
        if regular:
            upto = self._opened[timeframe] = regular[-1]
            late = {moment for moment in late if moment > upto or (before is not None and moment <= before)}
            yield from audit.evaluated_within(
                self._connection, self._partition, timeframe, after=before, upto=upto
            )
        yield from audit.evaluated_at(self._connection, self._partition, timeframe, late)

    def _elsewhere(self, timeframe: str, groups: dict[int, list[CandleBatch]]) -> Iterator[BadRecord]:
        """Candles that name records which were not asked for them: each must be of the candle's close."""
        cycles = audit.cycles_of(self._connection, self._partition, groups)
        for sequence, batches in sorted(groups.items()):
            for batch in batches:
                if cycles.get(sequence) != (timeframe, batch.close_time):
                    what = f"{batch.tickers[0]} has a candle that names it, but is of another close than it"
                    yield self._bad(sequence, batch.close_time, what)

    def _checkpoints(self, entries: Sequence[Entry]) -> Iterator[BadRecord]:
        """Hash the stored checkpoints again and compare them with what the records say."""
        first, last = entries[0].row.sequence, entries[-1].row.sequence
        stored = {
            row.sequence: row for row in audit.checkpoints(self._connection, self._partition, first, last)
        }
        for entry in entries:
            said, row = entry.content.get("checkpoint"), stored.pop(entry.row.sequence, None)
            if said is None and row is None:
                continue
            if said is None or row is None:
                missing = "is missing" if row is None else "stands where it has none"
                yield self._of(entry, f"its checkpoint {missing}")
            elif {said} != {row.hash, row.hash_of_state} or (
                (row.timeframe, row.close_time) != (entry.row.timeframe, entry.row.close_time)
            ):
                yield self._of(entry, "its checkpoint is not the one that is stored")
            self._report.checkpoints += 1

    def _behind_the_end(self) -> None:
        """Look for what names records behind the last one, and for views that no change gave."""
        for change in audit.changes(self._connection, self._partition, self._last + 1, None):
            raise self._bad(
                change.sequence,
                change.close_time,
                f"it is missing, but view_change has {_named(change)} of it",
            )
        for timeframe in sorted({each.timeframe for each in self._tickers}):
            groups: dict[int, list[CandleBatch]] = {}
            for sequence, batch in audit.evaluated_within(
                self._connection,
                self._partition,
                timeframe,
                after=self._opened.get(timeframe),
                upto=None,
            ):
                groups.setdefault(sequence, []).append(batch)
            for fault in self._elsewhere(timeframe, groups):
                raise fault
        for sequence, ticker, algorithm in audit.views_without_change(self._connection, self._partition):
            what = f"the view of {ticker} under {algorithm} is not what its last change made it"
            raise self._bad(sequence, None, what)

    def _is_met(self, batch: BatchRow) -> bool:
        shard = self._partition % self._extent.shards
        return batch.sequence <= self._extent.met.get((batch.feed, shard), 0)

    def _of(self, entry: Entry, what: str) -> BadRecord:
        return self._bad(entry.row.sequence, entry.row.close_time, what)

    def _bad(self, sequence: int, close_time: datetime | None, what: str) -> BadRecord:
        return BadRecord(self._partition, sequence, close_time, what)


def _changes_of(entry: Entry) -> Iterator[RecordedChange]:
    """The changes that a record has, as `view_change` should have them."""
    versions = {each["key"]: each["version"] for each in entry.content["algorithms"]}
    for change in entry.content["changes"]:
        yield RecordedChange(
            entry.row.sequence,
            entry.row.timeframe,
            entry.row.close_time,
            change["ticker"],
            change["algorithm"],
            versions.get(change["algorithm"], ""),
            change["from"],
            change["to"],
            float(change["close"]),
        )


def _named(change: RecordedChange) -> str:
    pair = f"{change.ticker} under {change.algorithm}"
    return f"{pair}: {change.from_view} to {change.to_view} at {change.close!r}"


def _hash_of(batches: Sequence[CandleBatch], entry: Entry, partition: int) -> str | None:
    """The hash of the candles that name a record; None where they are not all of its close."""
    if not batches:
        return NO_CANDLES
    batch = batches[0]
    if len(batches) > 1 or batch.open_time + length_of(batch.timeframe) != entry.row.close_time:
        return None
    ((_, digest),) = records.candle_hashes(batch, [partition] * len(batch))
    return digest
