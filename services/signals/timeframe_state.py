"""One timeframe in a shard: its engine, what its tickers had last, and what its chains said last."""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import repeat

from services.signals.candles import Candle, CandleBatch, CandleValidator, length_of
from services.signals.engine import Engine
from services.signals.ledger import checkpoints
from services.signals.ledger.checkpoints import Due, Previous
from services.signals.ledger.records import Head
from services.signals.lineup import Lineup
from services.signals.state import EngineState

Earlier = Callable[[str, datetime], Candle | None]
"""Finds a stored candle by ticker and open time."""


class TimeframeState:
    """Engine and validator of one timeframe, and what is known of its tickers."""

    def __init__(self, timeframe: str, lineup: Lineup, earlier: Earlier) -> None:
        self.length = length_of(timeframe)
        self.engine = Engine(timeframe, lineup.on(timeframe))
        self.validator = CandleValidator(timeframe, backfill=True, earlier=earlier)
        self.algorithms = checkpoints.as_recorded(
            {"key": each.key, "parameters": each.parameters, "version": each.version}
            for each in self.engine.algorithms
        )
        self.previous: dict[int, Previous] = {}
        self.partitions: dict[str, int] = {}
        self.last_opened: dict[str, datetime] = {}
        self._newest: dict[str, tuple[CandleBatch, int]] = {}

    @property
    def begun(self) -> set[int]:
        """The partitions that have had a candle of this timeframe."""
        return set(self.partitions.values())

    @property
    def clock(self) -> datetime | None:
        """The newest close that was a cycle of one of the chains."""
        return max((each.close_time for each in self.previous.values()), default=None)

    def resume(self, state: EngineState) -> None:
        """Take a checkpoint's state. Raises IncompleteState where it lacks something."""
        self.engine.restore(state)
        for last in state.last_candles():
            self.last_opened[last.ticker] = last.open_time
            self.validator.resume(last)

    def due_states(self, batch: CandleBatch, heads: Mapping[int, Head]) -> dict[int, Due]:
        """The states, by partition, that the records of a close are to name."""
        tickers: dict[int, list[str]] = {
            partition: []
            for partition, head in heads.items()
            if not head.is_late(batch.close_time, batch.timeframe)
            and checkpoints.is_due(self.previous.get(partition), batch.close_time, self.algorithms)
        }
        if not tickers:
            return {}
        for ticker, partition in self.partitions.items():
            if partition in tickers:
                tickers[partition].append(ticker)
        return {partition: checkpoints.taken(self.engine, names) for partition, names in tickers.items()}

    def follow(self, batch: CandleBatch) -> None:
        """Advance by candles that were evaluated before."""
        self.engine.step(batch)
        self._newest.update(zip(batch.tickers, zip(repeat(batch), range(len(batch))), strict=True))

    def caught_up(self) -> None:
        """Go on behind the newest candle of each ticker, now that all were followed."""
        for ticker, (batch, index) in self._newest.items():
            self.last_opened[ticker] = batch.open_time
            self.validator.resume(batch.candle(index))
        self._newest.clear()
