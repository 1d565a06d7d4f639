"""One timeframe in a shard: its engine, what its tickers had last, and what its chains said last."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from services.signals.candles import (
    EPOCH,
    NEVER,
    Candle,
    CandleBatch,
    CandleValidator,
    epoch_seconds,
    length_of,
)
from services.signals.engine import Engine
from services.signals.ledger import checkpoints
from services.signals.ledger.checkpoints import Due, Previous
from services.signals.ledger.records import Head, partition_of, places_by_partition
from services.signals.lineup import Lineup
from services.signals.roster import Roster, RowArray
from services.signals.state import EngineState

Earlier = Callable[[str, datetime], Candle | None]
"""Finds a stored candle by ticker and open time."""

Places = list[tuple[int, NDArray[np.intp]]]
"""Partitions, each with the places of its tickers in a batch."""


class ShardRoster(Roster):
    """The tickers that a shard has met, those of all shards among them, with their ledger partitions."""

    def __init__(self) -> None:
        super().__init__()
        self._partitions: RowArray = np.zeros(0, dtype=np.int64)

    @property
    def partitions(self) -> RowArray:
        """The partition of each row, shape (len(names),)."""
        new = self.names[len(self._partitions) :]
        if new:
            self._partitions = np.append(self._partitions, [partition_of(name) for name in new])
        return self._partitions


class TimeframeState:
    """Engine and validator of one timeframe, and what is known of its tickers.

    `listed` are the tickers that have had a candle of it, `begun` their partitions.
    """

    def __init__(self, timeframe: str, lineup: Lineup, earlier: Earlier, roster: ShardRoster) -> None:
        self.length = length_of(timeframe)
        self.engine = Engine(timeframe, lineup.on(timeframe))
        self.validator = CandleValidator(timeframe, backfill=True, earlier=earlier)
        self.algorithms = checkpoints.as_recorded(
            {"key": each.key, "parameters": each.parameters, "version": each.version}
            for each in self.engine.algorithms
        )
        self.previous: dict[int, Previous] = {}
        self.listed: set[str] = set()
        self.begun: set[int] = set()
        self._roster = roster
        self._opened: RowArray = np.zeros(0, dtype=np.int64)
        self._places: tuple[tuple[str, ...], Places] = ((), [])

    @property
    def clock(self) -> datetime | None:
        """The newest close that was a cycle of one of the chains."""
        return max((each.close_time for each in self.previous.values()), default=None)

    def resume(self, state: EngineState) -> None:
        """Take a checkpoint's state. Raises IncompleteState where it lacks something."""
        self.engine.restore(state)
        self._opened_of(state.tickers)
        self._opened[self._roster.rows(state.tickers)] = state.arrays["opened"]
        for last in state.last_candles():
            self.validator.resume(last)

    def due_states(self, batch: CandleBatch, heads: Mapping[int, Head]) -> dict[int, Due]:
        """The states, by partition, that the records of a close are to name."""
        due = [
            partition
            for partition, head in heads.items()
            if not head.is_late(batch.close_time, batch.timeframe)
            and checkpoints.is_due(self.previous.get(partition), batch.close_time, self.algorithms)
        ]
        if not due:
            return {}
        rows = np.flatnonzero(self._opened != NEVER)
        partitions = self._roster.partitions[rows]
        return {
            partition: checkpoints.taken(self.engine, self._names(rows[partitions == partition]))
            for partition in due
        }

    def follow(self, batch: CandleBatch) -> None:
        """Advance by candles that were evaluated before."""
        self.engine.step(batch)
        self.validator.follow(batch)
        self.note(batch)

    def note(self, batch: CandleBatch) -> RowArray:
        """Take the time of a batch's candles as that of the last ones of their tickers.

        Returns the open times of the ones before, in seconds since 1970, NEVER where there was none.
        """
        before = self._opened_of(batch.tickers)
        self._opened[self._roster.rows(batch.tickers)] = epoch_seconds(batch.open_time)
        return before

    def missing(self, tickers: tuple[str, ...]) -> list[tuple[str, datetime]]:
        """The tickers that have had a candle and are not among some, by name, each with its last close."""
        known = self._opened != NEVER
        known[self._roster.rows(tickers)] = False
        rows = np.flatnonzero(known)
        closes = [EPOCH + timedelta(seconds=opened) + self.length for opened in self._opened[rows].tolist()]
        return sorted(zip(self._names(rows), closes, strict=True))

    def places(self, tickers: tuple[str, ...], partitions: Sequence[int]) -> Places:
        """`places_by_partition`, those of the call before not made again."""
        if tickers != self._places[0]:
            self._places = tickers, places_by_partition(tickers, partitions)
        return self._places[1]

    def _opened_of(self, tickers: tuple[str, ...]) -> RowArray:
        rows = self._roster.rows(tickers)
        self._opened = self._roster.fitted(self._opened, NEVER)
        return self._opened[rows]

    def _names(self, rows: RowArray) -> list[str]:
        return [self._roster.names[row] for row in rows.tolist()]
