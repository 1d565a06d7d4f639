"""Stored candles evaluated again as they were the first time: the same engine, the same steps."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.signals.algorithms.base import Algorithm
from services.signals.candles import CandleBatch, length_of
from services.signals.engine import Engine, StepResult
from services.signals.errors import NotReplayable
from services.signals.ledger.records import iso
from services.signals.repository import audit, evaluated
from services.signals.state import EngineState, IncompleteState

Find = Callable[[str], Algorithm | None]
"""Finds an installed algorithm by its key."""


@dataclass(frozen=True)
class Start:
    """Where to begin: the first record to evaluate, the open time of its candles, and that in words."""

    sequence: int
    since: datetime
    words: str


def installed(recorded: Mapping[str, Any], find: Find) -> Algorithm:
    """The algorithm that a record names by key, version and parameters. Raises NotReplayable without it."""
    key = recorded["key"]
    known = find(key)
    if known is None:
        raise NotReplayable(f"the algorithm {key} is not installed")
    if (known.version, known.parameters) != (recorded["version"], recorded["parameters"]):
        raise NotReplayable(f"the algorithm {key} is installed, but not as version {recorded['version']}")
    return known


def begin(
    connection: Connection, partition: int, engine: Engine, tickers: Sequence[str], until: int
) -> Start:
    """Set an engine to where it may start so as to evaluate record `until` of a chain for some tickers.

    That is the newest checkpoint up to that record, if it has all that the engine needs, else nothing. Raises
    NotReplayable where a ticker is not of the chain, the checkpoint is not what its record says, or candles
    that follow are no longer kept.
    """
    timeframe = engine.timeframe
    opened = {
        each.ticker: each.first_open_time
        for each in audit.tickers(connection, partition)
        if each.timeframe == timeframe and each.ticker in tickers
    }
    if opened.keys() != set(tickers):
        raise NotReplayable(f"chain {partition} does not have all of the tickers that are asked for")
    start = _from_checkpoint(connection, partition, engine, opened, until) or Start(
        1, min(opened.values()), "from the first candle"
    )
    kept = audit.kept_from(connection).get(timeframe)
    if kept is None or start.since < kept:
        raise NotReplayable(f"candles from {iso(start.since)} on are needed, and no longer kept")
    return start


def _from_checkpoint(
    connection: Connection, partition: int, engine: Engine, opened: Mapping[str, datetime], until: int
) -> Start | None:
    """The start at the newest checkpoint, to which the engine is set; None where there is none to use."""
    checkpoint = evaluated.checkpoint_before(connection, partition, engine.timeframe, until)
    if checkpoint is None:
        return None
    if hashlib.sha256(checkpoint.state).hexdigest() != checkpoint.said:
        raise NotReplayable(f"the checkpoint of record {checkpoint.sequence} is not what that one says")
    state = EngineState.from_bytes(checkpoint.state).only(opened)
    try:
        engine.restore(state)
    except IncompleteState:
        return None
    length = length_of(engine.timeframe)
    next_open = {each.ticker: each.open_time + length for each in state.last_candles()}
    since = min({**opened, **next_open}.values())
    return Start(checkpoint.sequence, since, f"from the checkpoint of record {checkpoint.sequence}")


def step(engine: Engine, batch: CandleBatch, aside: Sequence[str]) -> StepResult:
    """One step; the algorithms that were set aside in it keep their state, and of new tickers have none."""
    if not aside:
        return engine.step(batch)
    before = engine.snapshot(batch.tickers)
    result = engine.step(batch)
    prefixes = tuple(f"algorithm/{key}/" for key in aside)
    after = engine.snapshot(batch.tickers)
    kept = {name: array for name, array in before.arrays.items() if name.startswith(prefixes)}
    known = after.only(before.tickers)
    engine.restore(replace(known, arrays={**known.arrays, **kept}))
    new = after.only(set(batch.tickers) - set(before.tickers))
    others = {name: array for name, array in new.arrays.items() if not name.startswith(prefixes)}
    engine.restore(replace(new, arrays=others))
    return result
