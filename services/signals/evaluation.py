"""One shard of the tickers: what is known of them, and what a batch of candles makes of it.

Nothing here reads a database or a clock. State moves with every evaluation, so it may only be kept when
what came out was committed; else it is thrown away and rebuilt from what is stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.signals.candles import (
    EPOCH,
    NEVER,
    TIMEFRAMES,
    Candle,
    CandleBatch,
    Outcome,
    Refusal,
    epoch_seconds,
    sound,
)
from services.signals.engine import Signal, StepResult, View, ViewChange
from services.signals.ledger import records
from services.signals.ledger.checkpoints import Checkpoint, Due, Previous
from services.signals.ledger.records import PARTITIONS, Head, Record
from services.signals.lineup import Lineup
from services.signals.positions import HOLD, CodeArray
from services.signals.repository.checkpoints import LastRecord
from services.signals.repository.cycles import ChangeRow, GapRow, Signals, TickerRow, ViewRow
from services.signals.repository.history import KnownTicker, KnownView
from services.signals.roster import RowArray
from services.signals.state import EngineState
from services.signals.timeframe_state import Earlier, ShardRoster, TimeframeState

NOWHERE = -1
"""The home of a ticker that has none yet."""
_HOMES = {timeframe: code for code, timeframe in enumerate(TIMEFRAMES)}

BoolArray = NDArray[np.bool_]


class Silence(NamedTuple):
    """A ticker of which no candle came for two timeframes, and the close of its last one."""

    ticker: str
    last_close: datetime


@dataclass
class Evaluation:
    """All that one batch gives: rows to store, and what has to be said aloud.

    A `usable` batch has a sound candle of any shard's ticker in that one's own timeframe. `step` is what the
    engine said of the `candles` that were accepted, `states` what the records are to name, by partition.

    From `evaluated_in` on all is what `Shard.conclude` makes of it: that one has the ledger sequence, in its
    ticker's partition, of each of the `candles`. `missing` are the tickers of which a new close brought none,
    `silent` those of them of which none came for two timeframes, `newly_missing` counts those that weren't
    STALE before; a close `is_recent` when its candles end such a silence.
    """

    usable: bool
    candles: CandleBatch
    step: StepResult
    signals: Signals
    states: Mapping[int, Due]
    late: list[Candle] = field(default_factory=list)
    ignored: int = 0
    refused: list[tuple[Candle, Refusal]] = field(default_factory=list)
    tickers: list[TickerRow] = field(default_factory=list)
    gaps: list[GapRow] = field(default_factory=list)
    evaluated_in: list[int] = field(default_factory=list)
    views: list[ViewRow] = field(default_factory=list)
    changes: list[ChangeRow] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    silent: list[Silence] = field(default_factory=list)
    is_recent: bool = False
    newly_missing: int = 0


class Shard:
    """The tickers of some partitions, under all algorithms of the deployment."""

    def __init__(self, partitions: Sequence[int], lineup: Lineup) -> None:
        self.partitions = tuple(partitions)
        self.heads = {partition: Head(partition) for partition in partitions}
        self._lineup = lineup
        self._timeframes: dict[str, TimeframeState] = {}
        self._versions = {key: each.version for key, each in lineup.algorithms.items()}
        self._roster = ShardRoster()
        self._is_own = np.isin(np.arange(PARTITIONS), self.partitions)
        self._viewed: dict[str, BoolArray] = {key: np.zeros(0, dtype=np.bool_) for key in lineup.algorithms}
        self._home: CodeArray = np.zeros(0, dtype=np.int8)
        self._earlier: Earlier = _nothing_earlier

    # Going on from what is stored

    def restore_chains(
        self, heads: Iterable[Head], tickers: Iterable[KnownTicker], last_records: Iterable[LastRecord]
    ) -> None:
        """Take the ends of the chains, the tickers that are listed, of all shards, oldest first, and the
        last records of the chains in each timeframe.
        """
        self.heads.update((head.partition, head) for head in heads)
        homes: dict[str, int] = {}
        for ticker, timeframe, partition in tickers:
            homes.setdefault(ticker, _HOMES[timeframe])
            if partition in self.heads:
                known = self._timeframe(timeframe)
                known.listed.add(ticker)
                known.begun.add(partition)
        rows = self._roster.rows(tuple(homes))
        self._home = self._roster.fitted(self._home, NOWHERE)
        self._home[rows] = list(homes.values())
        for partition, timeframe, close_time, algorithms in last_records:
            self._timeframe(timeframe).previous[partition] = Previous(close_time, algorithms)

    def restore_state(self, state: EngineState) -> None:
        """Take the state of a checkpoint, before the candles that were evaluated from then on.

        Raises IncompleteState, and changes nothing, where an algorithm needs what the state lacks.
        """
        self._timeframe(state.timeframe).resume(state)

    def restore_candles(self, batch: CandleBatch) -> None:
        """Advance by one close that was evaluated before."""
        self._timeframe(batch.timeframe).follow(batch)

    def restore_views(self, views: Iterable[KnownView]) -> None:
        """Take the views as they were told to people, after all candles.

        The candles alone give the same ones, unless an algorithm is new here or has changed: its views
        go on from what people were told, and one never evaluated here starts at HOLD.
        """
        held: dict[str, dict[str, tuple[Signal, float]]] = {key: {} for key in self._viewed}
        for ticker, algorithm, view, close in views:
            if algorithm in held:
                held[algorithm][ticker] = (Signal(view), close)
        for key, of_tickers in held.items():
            self._viewed_of(key)[self._roster.rows(tuple(of_tickers))] = True
            for each in self._timeframes.values():
                own = {ticker: view for ticker, view in of_tickers.items() if ticker in each.listed}
                each.engine.resume_views(key, own)

    @property
    def timeframes(self) -> tuple[str, ...]:
        """The timeframes of which there are tickers."""
        return tuple(self._timeframes)

    # A close

    def advance(self, batch: CandleBatch, earlier: Earlier) -> Evaluation:
        """Advance by one close of live candles; `earlier` finds stored ones behind each ticker's last.

        What follows on the signals is left to `conclude`, before the next close.
        """
        self._earlier = earlier
        known = self._timeframe(batch.timeframe)
        rows = self._roster.rows(batch.tickers)
        good = sound(batch)
        strange = self._elsewhere(rows, batch.timeframe, good)
        own = self._is_own[self._roster.partitions[rows]]
        mine = own & ~strange
        accepted, others = known.validator.check_batch(
            batch if mine.all() else batch.take(np.flatnonzero(mine))
        )
        states = known.due_states(batch, self.heads)
        step = known.engine.step(accepted)
        signals = Signals.of(step, self._versions)
        usable = bool((good & ~strange).any())
        out = Evaluation(usable, accepted, step, signals, states)
        strangers = np.flatnonzero(own & strange).tolist()
        out.refused = [(batch.candle(index), Refusal.SECOND_TIMEFRAME) for index in strangers]
        for candle, verdict in others:
            if verdict.outcome is Outcome.LATE:
                out.late.append(candle)
            elif verdict.reason is not None:
                out.refused.append((candle, verdict.reason))
            else:
                out.ignored += 1
        self._note_tickers(known, out)
        return out

    def conclude(self, out: Evaluation) -> None:
        """Append to the chains, and say which views turned and which tickers are missing."""
        known = self._timeframe(out.candles.timeframe)
        clock = known.clock
        turned = sorted(out.step.changes, key=lambda each: (each.ticker, each.algorithm))
        self._append_records(known, turned, out)
        self._collect(turned, out)
        self._listen(known, clock, out)

    def _elsewhere(self, rows: RowArray, timeframe: str, good: BoolArray) -> BoolArray:
        """Where tickers would run in a second timeframe; a new one is at home in this one.

        (algorithm, ticker) names one view, so a ticker has one timeframe where algorithms follow the feed.
        Tickers of all shards are looked at: whether a close is one must not depend on the shard.
        """
        if self._lineup.timeframes is not None:
            return np.zeros(rows.size, dtype=np.bool_)
        self._home = self._roster.fitted(self._home, NOWHERE)
        self._home[rows[good & (self._home[rows] == NOWHERE)]] = _HOMES[timeframe]
        homes = self._home[rows]
        elsewhere: BoolArray = (homes != NOWHERE) & (homes != _HOMES[timeframe])
        return elsewhere

    def _viewed_of(self, algorithm: str) -> BoolArray:
        """Which tickers, by row, an algorithm has a view of."""
        viewed = self._viewed[algorithm] = self._roster.fitted(self._viewed[algorithm], fill=False)
        return viewed

    def _timeframe(self, timeframe: str) -> TimeframeState:
        known = self._timeframes.get(timeframe)
        if known is None:
            known = self._timeframes[timeframe] = TimeframeState(
                timeframe, self._lineup, self._find_earlier, self._roster
            )
        return known

    def _find_earlier(self, ticker: str, open_time: datetime) -> Candle | None:
        return self._earlier(ticker, open_time)

    def _note_tickers(self, known: TimeframeState, out: Evaluation) -> None:
        """List new tickers, and record the candles that are missing since each ticker's last."""
        tickers, timeframe, opened = out.candles.tickers, out.candles.timeframe, out.candles.open_time
        before = known.note(out.candles)
        anew = before == NEVER
        for index in np.flatnonzero(anew).tolist():
            ticker = tickers[index]
            if ticker not in known.listed:  # of one that is, no candle and no state is left
                out.tickers.append(TickerRow(ticker, timeframe, self._partition(ticker), opened))
        known.listed.update(row.ticker for row in out.tickers)
        known.begun.update(row.partition for row in out.tickers)
        gaps = ~anew & (before != epoch_seconds(opened - known.length))
        out.gaps = [
            GapRow(tickers[index], timeframe, opened, EPOCH + timedelta(seconds=int(before[index])))
            for index in np.flatnonzero(gaps).tolist()
        ]

    def _partition(self, ticker: str) -> int:
        return int(self._roster.partitions[self._roster.row(ticker)])

    def _append_records(self, known: TimeframeState, turned: Sequence[ViewChange], out: Evaluation) -> None:
        """One record for every chain that has candles, or has begun and is due.

        A batch that is not usable is a cycle, skipped, if it is the very next close; further on it may be
        anything, and a chain that believed it would call every proper close after it late.
        """
        batch = out.candles
        partitions = self._roster.partitions[self._roster.rows(batch.tickers)]
        places = known.places(batch.tickers, partitions.tolist())
        hashes = {partition: records.candle_hash(batch, each) for partition, each in places}
        changes: dict[int, list[dict[str, Any]]] = {}
        for change in turned:
            changes.setdefault(self._partition(change.ticker), []).append(
                {
                    "algorithm": change.algorithm,
                    "close": change.close,
                    "from": change.from_view.value,
                    "ticker": change.ticker,
                    "to": change.to_view.value,
                }
            )
        set_aside = sorted(failure.algorithm for failure in out.step.failures)
        for partition in self.partitions:
            head = self.heads[partition]
            due = partition in known.begun and not head.is_late(batch.close_time, batch.timeframe)
            is_cycle = out.usable or (
                due and head.is_next(batch.close_time, batch.timeframe, self._begun(partition))
            )
            if partition not in hashes and not (due and is_cycle):
                continue
            state = out.states.get(partition)
            record = records.append(
                head,
                timeframe=batch.timeframe,
                close_time=batch.close_time,
                candles=hashes.get(partition, records.NO_CANDLES),
                algorithms=known.algorithms,
                set_aside=set_aside,
                changes=changes.get(partition, []),
                checkpoint=state and state.hash,
            )
            self.heads[partition] = record.head_after(head)
            out.records.append(record)
            if not record.late:
                known.previous[partition] = Previous(batch.close_time, known.algorithms)
            if state is not None:
                out.checkpoints.append(
                    Checkpoint(partition, record.sequence, batch.timeframe, batch.close_time, *state)
                )
        sequences = [self.heads[each].sequence if each in self.heads else 0 for each in range(PARTITIONS)]
        out.evaluated_in = np.array(sequences)[partitions].tolist()

    def _listen(self, known: TimeframeState, clock: datetime | None, out: Evaluation) -> None:
        """Which tickers a new close misses, and which fell silent; `clock` is where it stood before it."""
        closed = out.candles.close_time
        now = known.clock or closed
        out.is_recent = closed + 2 * known.length > now
        if clock is None or now <= clock:
            return
        missing = known.missing(out.candles.tickers)
        out.missing = [ticker for ticker, _ in missing]
        out.silent = [Silence(*each) for each in missing if now - each[1] >= 2 * known.length]

    def _begun(self, partition: int) -> list[str]:
        """The timeframes of which a chain has had candles."""
        return [timeframe for timeframe, each in self._timeframes.items() if partition in each.begun]

    def _collect(self, turned: Sequence[ViewChange], out: Evaluation) -> None:
        """Rows of the pairs that are new and of the views that turned."""
        batch, closed = out.candles, out.candles.close_time
        rows = self._roster.rows(batch.tickers)
        for algorithm, views in sorted(out.step.views.items()):
            viewed = self._viewed_of(algorithm)
            new = ~viewed[rows] & (views == HOLD)
            viewed[rows] = True
            out.views += [
                self._view_row(batch.tickers[index], algorithm, batch, Signal.HOLD, float(batch.close[index]))
                for index in np.flatnonzero(new).tolist()
            ]
        for change in turned:
            row = self._view_row(change.ticker, change.algorithm, batch, change.to_view, change.close)
            out.views.append(row)
            out.changes.append(
                ChangeRow(
                    change.ticker,
                    change.algorithm,
                    batch.timeframe,
                    closed,
                    change.algorithm_version,
                    change.from_view.value,
                    row.view,
                    change.close,
                    [condition._asdict() for condition in change.why],
                    row.ledger_partition,
                    row.ledger_sequence,
                )
            )

    def _view_row(self, ticker: str, algorithm: str, batch: CandleBatch, view: View, close: float) -> ViewRow:
        head = self.heads[self._partition(ticker)]
        return ViewRow(
            ticker,
            algorithm,
            batch.timeframe,
            view.value,
            batch.close_time,
            close,
            head.partition,
            head.sequence,
        )


def _nothing_earlier(_ticker: str, _open_time: datetime) -> Candle | None:
    return None
