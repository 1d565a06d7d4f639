"""Checkpoints: the state of a chain's tickers as it was before a cycle, hashed into that cycle's record.

Whether one is due is decided from the chain alone, so that no restart, and no kill, changes a byte of it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import rfc8785

from services.signals.engine import Engine
from services.signals.state import BrokenState

Algorithms = Sequence[Mapping[str, Any]]
"""Key, parameters and version of each algorithm, as a record has them."""


class Previous(NamedTuple):
    """What the last record of a chain and timeframe that was not late says."""

    close_time: datetime
    algorithms: Algorithms


class Checkpoint(NamedTuple):
    """The state before the record `sequence` of a chain, in the columns' order; `hash` is its SHA-256."""

    partition: int
    sequence: int
    timeframe: str
    close_time: datetime
    hash: str
    state: bytes

    def require(self, recorded: str | None) -> None:
        """Raise BrokenState unless the state is the one whose hash the record names (`recorded`)."""
        if not hashlib.sha256(self.state).hexdigest() == self.hash == recorded:
            raise BrokenState("it is not the state that the ledger's record names")


class Due(NamedTuple):
    """A state that the next record is to name."""

    hash: str
    state: bytes


def is_due(previous: Previous | None, close_time: datetime, algorithms: Algorithms) -> bool:
    """Whether the record of a close, unless it is late, has a checkpoint.

    So it is when it is the first of its timeframe on a day (UTC, of the close), or when algorithms,
    versions or parameters are others than before. A chain's first record of a timeframe has none:
    nothing is known before it.
    """
    if previous is None:
        return False
    return previous.close_time.date() != close_time.date() or previous.algorithms != algorithms


def as_recorded(algorithms: Iterable[Mapping[str, Any]]) -> Algorithms:
    """Algorithms as they read when they come back from a record: lists for tuples, for one."""
    read: Algorithms = json.loads(rfc8785.dumps(list(algorithms)))
    return read


def taken(engine: Engine, tickers: Iterable[str]) -> Due:
    """The state of some tickers of an engine."""
    state = engine.snapshot(tickers).to_bytes()
    return Due(hashlib.sha256(state).hexdigest(), state)
