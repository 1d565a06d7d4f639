"""Stored candles evaluated again as they were the first time: the same engine, the same steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.signals.algorithms.base import Algorithm
from services.signals.candles import CandleBatch
from services.signals.engine import Engine, StepResult
from services.signals.errors import NotReplayable
from services.signals.ledger import iso
from services.signals.repository import audit

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


def begin(connection: Connection, partition: int, engine: Engine, tickers: Sequence[str]) -> Start:
    """Where to begin to evaluate some tickers of a chain.

    Raises NotReplayable where one of them is not of the chain, or candles that are needed are not kept.
    """
    opened = {
        each.ticker: each.first_open_time
        for each in audit.tickers(connection, partition)
        if each.timeframe == engine.timeframe and each.ticker in tickers
    }
    if opened.keys() != set(tickers):
        raise NotReplayable(f"chain {partition} does not have all of the tickers that are asked for")
    since = min(opened.values())
    kept = audit.kept_from(connection).get(engine.timeframe)
    if kept is None or since < kept:
        raise NotReplayable(f"candles from {iso(since)} on are needed, and no longer kept")
    return Start(1, since, "from the first candle")


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
