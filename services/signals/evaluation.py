"""One shard of the tickers: what is known of them, and what a batch of candles makes of it.

Nothing here reads a database or a clock. State moves with every evaluation, so it may only be kept when
what came out was committed; else it is thrown away and rebuilt from what is stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.signals.candles import (
    Candle,
    CandleBatch,
    Outcome,
    Refusal,
    sound,
)
from services.signals.engine import Failure, Signal, StepResult
from services.signals.ledger import records
from services.signals.ledger.checkpoints import Checkpoint, Due, Previous
from services.signals.ledger.records import Head, Record, partition_of
from services.signals.lineup import Lineup
from services.signals.repository.checkpoints import LastRecord
from services.signals.repository.cycles import ChangeRow, GapRow, SignalRow, TickerRow, ViewRow
from services.signals.repository.history import KnownTicker, KnownView
from services.signals.state import EngineState
from services.signals.timeframe_state import Earlier, TimeframeState

NAMES = {code: Signal.of(code).value for code in (-1, 0, 1)}
"""Signals and views by their code in arrays."""

BoolArray = NDArray[np.bool_]


class Silence(NamedTuple):
    """A ticker of which no candle came for two timeframes, and the close of its last one."""

    ticker: str
    last_close: datetime


@dataclass
class Evaluation:
    """All that one batch gives: rows to store, and what has to be said aloud.

    A `usable` batch has a sound candle of any shard's ticker in that one's own timeframe.
    `evaluated_in` has the ledger sequence, in its ticker's partition, of each of the `candles`. `missing`
    are the tickers of which a new close brought none, `silent` those of them of which none came for two
    timeframes, `newly_missing` counts those that weren't STALE before; a close `is_recent` when its candles
    end such a silence.
    """

    timeframe: str
    close_time: datetime
    usable: bool = True
    candles: list[Candle] = field(default_factory=list)
    evaluated_in: list[int] = field(default_factory=list)
    late: list[Candle] = field(default_factory=list)
    ignored: int = 0
    refused: list[tuple[Candle, Refusal]] = field(default_factory=list)
    tickers: list[TickerRow] = field(default_factory=list)
    gaps: list[GapRow] = field(default_factory=list)
    signals: list[SignalRow] = field(default_factory=list)
    views: list[ViewRow] = field(default_factory=list)
    changes: list[ChangeRow] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    silent: list[Silence] = field(default_factory=list)
    is_recent: bool = False
    newly_missing: int = 0
    failures: list[Failure] = field(default_factory=list)


class Shard:
    """The tickers of some partitions, under all algorithms of the deployment."""

    def __init__(self, partitions: Sequence[int], lineup: Lineup) -> None:
        self.partitions = tuple(partitions)
        self.heads = {partition: Head(partition) for partition in partitions}
        self._lineup = lineup
        self._timeframes: dict[str, TimeframeState] = {}
        self._partition_of: dict[str, int] = {}
        self._versions = {key: each.version for key, each in lineup.algorithms.items()}
        self._viewed: dict[str, set[str]] = {key: set() for key in lineup.algorithms}
        self._home: dict[str, str] = {}
        self._earlier: Earlier = _nothing_earlier

    # Going on from what is stored

    def restore_chains(
        self, heads: Iterable[Head], tickers: Iterable[KnownTicker], last_records: Iterable[LastRecord]
    ) -> None:
        """Take the ends of the chains, the tickers that are listed, of all shards, oldest first, and the
        last records of the chains in each timeframe.
        """
        self.heads.update((head.partition, head) for head in heads)
        for ticker, timeframe, partition in tickers:
            self._home.setdefault(ticker, timeframe)
            if partition in self.heads:
                self._timeframe(timeframe).partitions[ticker] = partition
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
        for each in self._timeframes.values():
            each.caught_up()
        held: dict[str, dict[str, tuple[Signal, float]]] = {key: {} for key in self._viewed}
        for ticker, algorithm, view, close in views:
            if algorithm in held:
                held[algorithm][ticker] = (Signal(view), close)
        for key, of_tickers in held.items():
            self._viewed[key] = set(of_tickers)
            for each in self._timeframes.values():
                each.engine.resume_views(key, of_tickers)

    @property
    def timeframes(self) -> tuple[str, ...]:
        """The timeframes of which there are tickers."""
        return tuple(self._timeframes)

    # A close

    def evaluate(self, batch: CandleBatch, earlier: Earlier) -> Evaluation:
        """Advance by one close of live candles; `earlier` finds stored ones behind each ticker's last."""
        self._earlier = earlier
        known = self._timeframe(batch.timeframe)
        out = Evaluation(batch.timeframe, batch.close_time)
        good = sound(batch)
        elsewhere = self._elsewhere(batch, good)
        own = [index for index, ticker in enumerate(batch.tickers) if self._partition(ticker) in self.heads]
        mine = batch if len(own) == len(batch) else _of(batch, own)
        if elsewhere:
            strangers = elsewhere.intersection(own)
            out.refused += [(batch.candle(index), Refusal.SECOND_TIMEFRAME) for index in sorted(strangers)]
            mine = _of(batch, [index for index in own if index not in strangers])
            good[list(elsewhere)] = False
        accepted, others = known.validator.check_batch(mine)
        for candle, verdict in others:
            if verdict.outcome is Outcome.LATE:
                out.late.append(candle)
            elif verdict.reason is not None:
                out.refused.append((candle, verdict.reason))
            else:
                out.ignored += 1
        due = known.due_states(batch, self.heads)
        clock = known.clock
        self._note_tickers(known, accepted, out)
        result = known.engine.step(accepted)
        out.failures = result.failures
        out.candles = accepted.candles()
        out.usable = bool(good.any())
        self._append_records(known, result, due, out)
        out.evaluated_in = [self.heads[self._partition(ticker)].sequence for ticker in accepted.tickers]
        self._collect(result, out)
        self._listen(known, accepted, clock, out)
        return out

    def _elsewhere(self, batch: CandleBatch, good: BoolArray) -> set[int]:
        """Places of the tickers that would run in a second timeframe; a new one is at home in this one.

        (algorithm, ticker) names one view, so a ticker has one timeframe where algorithms follow the feed.
        Tickers of all shards are looked at: whether a close is one must not depend on the shard.
        """
        if self._lineup.timeframes is not None:
            return set()
        places = set()
        for index, (ticker, is_good) in enumerate(zip(batch.tickers, good.tolist(), strict=True)):
            home = self._home.setdefault(ticker, batch.timeframe) if is_good else self._home.get(ticker)
            if home not in (None, batch.timeframe):
                places.add(index)
        return places

    def _partition(self, ticker: str) -> int:
        known = self._partition_of.get(ticker)
        if known is None:
            known = self._partition_of[ticker] = partition_of(ticker)
        return known

    def _timeframe(self, timeframe: str) -> TimeframeState:
        known = self._timeframes.get(timeframe)
        if known is None:
            known = self._timeframes[timeframe] = TimeframeState(timeframe, self._lineup, self._find_earlier)
        return known

    def _find_earlier(self, ticker: str, open_time: datetime) -> Candle | None:
        return self._earlier(ticker, open_time)

    def _note_tickers(self, known: TimeframeState, accepted: CandleBatch, out: Evaluation) -> None:
        """List new tickers, and record the candles that are missing since each ticker's last."""
        opened = accepted.open_time
        expected = opened - known.length
        for ticker in accepted.tickers:
            last = known.last_opened.get(ticker)
            if last is None:
                partition = known.partitions[ticker] = self._partition(ticker)
                out.tickers.append(TickerRow(ticker, accepted.timeframe, partition, opened))
            elif last != expected:
                out.gaps.append(GapRow(ticker, accepted.timeframe, opened, last))
            known.last_opened[ticker] = opened

    def _append_records(
        self, known: TimeframeState, result: StepResult, states: Mapping[int, Due], out: Evaluation
    ) -> None:
        """One record for every chain that has candles, or has begun and is due.

        A batch that is not usable is a cycle, skipped, if it is the very next close; further on it may be
        anything, and a chain that believed it would call every proper close after it late.
        """
        batch = result.batch
        partitions = [self._partition(ticker) for ticker in batch.tickers]
        hashes = dict(records.candle_hashes(batch, partitions))
        begun = known.begun
        changes: dict[int, list[dict[str, Any]]] = {}
        for change in sorted(result.changes, key=lambda each: (each.ticker, each.algorithm)):
            changes.setdefault(self._partition(change.ticker), []).append(
                {
                    "algorithm": change.algorithm,
                    "close": change.close,
                    "from": change.from_view.value,
                    "ticker": change.ticker,
                    "to": change.to_view.value,
                }
            )
        for partition in self.partitions:
            head = self.heads[partition]
            due = partition in begun and not head.is_late(batch.close_time, batch.timeframe)
            is_cycle = out.usable or (
                due and head.is_next(batch.close_time, batch.timeframe, self._begun(partition))
            )
            if partition not in hashes and not (due and is_cycle):
                continue
            state = states.get(partition)
            record = records.append(
                head,
                timeframe=batch.timeframe,
                close_time=batch.close_time,
                candles=hashes.get(partition, records.NO_CANDLES),
                algorithms=known.algorithms,
                set_aside=sorted(failure.algorithm for failure in result.failures),
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

    def _listen(
        self, known: TimeframeState, accepted: CandleBatch, clock: datetime | None, out: Evaluation
    ) -> None:
        """Which tickers a new close misses, and which fell silent; `clock` is where it stood before it."""
        closed = accepted.close_time
        now = known.clock or closed
        out.is_recent = closed + 2 * known.length > now
        if clock is None or now <= clock:
            return
        out.missing = sorted(known.last_opened.keys() - set(accepted.tickers))
        out.silent = [
            Silence(ticker, last)
            for ticker in out.missing
            if now - (last := known.last_opened[ticker] + known.length) >= 2 * known.length
        ]

    def _begun(self, partition: int) -> list[str]:
        """The timeframes of which a chain has had candles."""
        return [timeframe for timeframe, each in self._timeframes.items() if partition in each.begun]

    def _collect(self, result: StepResult, out: Evaluation) -> None:
        """Rows of the signals that were given, the pairs that are new, and the views that turned."""
        batch, closed = result.batch, result.batch.close_time
        closes: list[float] = batch.close.tolist()
        out.signals = _signal_rows(result, self._versions)
        for algorithm in sorted(result.views):
            views = result.views[algorithm]
            viewed = self._viewed[algorithm]
            if not viewed.issuperset(batch.tickers):
                out.views += [
                    self._view_row(ticker, algorithm, batch, NAMES[view], close)
                    for ticker, view, close in zip(batch.tickers, views.tolist(), closes, strict=True)
                    if ticker not in viewed and view == 0
                ]
                viewed.update(batch.tickers)
        for change in sorted(result.changes, key=lambda each: (each.ticker, each.algorithm)):
            row = self._view_row(change.ticker, change.algorithm, batch, change.to_view.value, change.close)
            out.views.append(row)
            out.changes.append(
                ChangeRow(
                    change.ticker,
                    change.algorithm,
                    batch.timeframe,
                    closed,
                    change.algorithm_version,
                    change.from_view.value,
                    change.to_view.value,
                    change.close,
                    [condition._asdict() for condition in change.why],
                    row.ledger_partition,
                    row.ledger_sequence,
                )
            )

    def _view_row(self, ticker: str, algorithm: str, batch: CandleBatch, view: str, close: float) -> ViewRow:
        head = self.heads[self._partition(ticker)]
        return ViewRow(
            ticker, algorithm, batch.timeframe, view, batch.close_time, close, head.partition, head.sequence
        )


def _signal_rows(result: StepResult, versions: Mapping[str, str]) -> list[SignalRow]:
    """Every signal that is not HOLD, ticker by ticker: rows of one index page are then written together."""
    algorithms = sorted(result.signals)
    if not algorithms:
        return []
    batch, opened = result.batch, result.batch.open_time
    signals = np.stack([result.signals[key] for key in algorithms], axis=1)
    views = np.stack([result.views[key] for key in algorithms], axis=1)
    rows, columns = np.nonzero(signals)
    closes = batch.close[rows].tolist()
    codes, held = signals[rows, columns].tolist(), views[rows, columns].tolist()
    return [
        SignalRow(
            batch.tickers[row],
            algorithms[column],
            batch.timeframe,
            opened,
            NAMES[code],
            NAMES[view],
            close,
            versions[algorithms[column]],
        )
        for row, column, code, view, close in zip(
            rows.tolist(), columns.tolist(), codes, held, closes, strict=True
        )
    ]


def _of(batch: CandleBatch, places: Sequence[int]) -> CandleBatch:
    return batch.take(np.array(places, dtype=np.intp))


def _nothing_earlier(_ticker: str, _open_time: datetime) -> Candle | None:
    return None
