"""The ledger: one hash chain per partition of the tickers, one record per evaluation cycle.

A record is canonical JSON (RFC 8785) and its hash is the SHA-256 of those bytes; it names the hash of
the record before, the hash of the candles that went in, the algorithms with their parameters, and every
change that came out. No wall-clock value is in it, so the same candles give the same bytes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import rfc8785
from numpy.typing import NDArray

from services.signals.candles import TIMEFRAMES, CandleBatch, FloatArray, is_on_grid, length_of
from services.signals.ledger import canonical

PARTITIONS = 16
"""Chains there are, for ever: a ticker's chain must not depend on how many processes run."""

FORMAT = 1
GENESIS = "0" * 64
"""What the first record of a chain names as the hash before it."""

COLUMNS = ("open", "high", "low", "close", "volume")
EXACT_INTEGERS = 2.0**53

Column = FloatArray | list[float | int] | list[str]
"""A column of candles as JSON takes it: an array only where no number of it is whole."""


def partition_of(ticker: str) -> int:
    """The partition of a ticker: the first byte of the SHA-256 of its name, modulo PARTITIONS."""
    return hashlib.sha256(ticker.encode()).digest()[0] % PARTITIONS


def iso(moment: datetime) -> str:
    """A moment as the ledger writes it, `YYYY-MM-DDTHH:MM:SSZ`; close times have whole seconds."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain; sequence 0 stands before its first record."""

    partition: int
    sequence: int = 0
    hash: str = GENESIS
    close_time: datetime | None = None
    timeframe: str | None = None

    def is_late(self, close_time: datetime, timeframe: str) -> bool:
        """Whether a cycle comes after its place in the order of close time, then timeframe, has passed."""
        if self.close_time is None or self.timeframe is None:
            return False
        return (close_time, TIMEFRAMES[timeframe]) <= (self.close_time, TIMEFRAMES[self.timeframe])

    def is_next(self, close_time: datetime, timeframe: str, begun: Iterable[str]) -> bool:
        """Whether a close is on the grid and no other one of the chain's timeframes lies before it.

        `begun` are the timeframes that the chain has had candles of; there is one.
        """
        if self.close_time is None or close_time > self.close_time + min(map(length_of, begun)):
            return False
        length = length_of(timeframe)
        return is_on_grid(close_time - length, length)


@dataclass(frozen=True, slots=True)
class Record:
    """One link of a chain. `body` is the canonical JSON that `hash` is the SHA-256 of."""

    partition: int
    sequence: int
    timeframe: str
    close_time: datetime
    late: bool
    body: str
    hash: str

    def head_after(self, head: Head) -> Head:
        """The end of the chain once this record follows `head`; a late one does not move its clock back."""
        clock = head if self.late else self
        return Head(self.partition, self.sequence, self.hash, clock.close_time, clock.timeframe)


def append(
    head: Head,
    *,
    timeframe: str,
    close_time: datetime,
    candles: str,
    algorithms: Sequence[Mapping[str, Any]],
    set_aside: Sequence[str],
    changes: Sequence[Mapping[str, Any]],
    checkpoint: str | None = None,
) -> Record:
    """The record that follows `head`.

    `candles` is their hash, `algorithms` holds key, version and parameters of each algorithm of the
    cycle, `set_aside` the keys of those that failed in it, `changes` algorithm, ticker, from, to and
    close of each view that turned. `checkpoint` is the SHA-256 of the state of the partition's tickers
    of the timeframe before the cycle; a record without one doesn't name it.
    """
    late = head.is_late(close_time, timeframe)
    sequence = head.sequence + 1
    named = {} if checkpoint is None else {"checkpoint": checkpoint}
    body = canonical.dumps(
        {
            **named,
            "algorithms": list(algorithms),
            "candles": candles,
            "changes": list(changes),
            "close_time": iso(close_time),
            "format": FORMAT,
            "late": late,
            "partition": head.partition,
            "previous": head.hash,
            "sequence": sequence,
            "set_aside": list(set_aside),
            "timeframe": timeframe,
        }
    )
    digest = hashlib.sha256(body).hexdigest()
    return Record(head.partition, sequence, timeframe, close_time, late, body.decode(), digest)


def places_by_partition(
    tickers: Sequence[str], partitions: Sequence[int]
) -> list[tuple[int, NDArray[np.intp]]]:
    """Each partition, in order, with the places of its tickers, these in order of their names.

    `partitions` gives the partition of each ticker.
    """
    places: dict[int, list[int]] = {}
    for index in sorted(range(len(tickers)), key=tickers.__getitem__):
        places.setdefault(partitions[index], []).append(index)
    return [(partition, np.array(places[partition], dtype=np.intp)) for partition in sorted(places)]


def candle_hash(batch: CandleBatch, places: NDArray[np.intp]) -> str:
    """The hash of a batch's candles at some places, which are in order of their tickers.

    It is over the canonical JSON of the columns, `{"close": [...], ..., "tickers": [...]}`.
    """
    columns: dict[str, Column] = {
        name: _json_numbers(column[places]) for name, column in zip(COLUMNS, batch.columns, strict=True)
    }
    columns["tickers"] = [batch.tickers[index] for index in places.tolist()]
    return hashlib.sha256(canonical_columns(columns)).hexdigest()


def candle_hashes(batch: CandleBatch, partitions: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Each partition of the batch and the hash of its candles, in order of the partition.

    `partitions` gives the partition of each ticker of the batch.
    """
    for partition, places in places_by_partition(batch.tickers, partitions):
        yield partition, candle_hash(batch, places)


NO_CANDLES = hashlib.sha256(rfc8785.dumps({name: [] for name in (*COLUMNS, "tickers")})).hexdigest()
"""The hash of a cycle to which a partition had no candle."""


def canonical_columns(columns: Mapping[str, Column]) -> bytes:
    """RFC 8785 of columns of text and of numbers as `_json_numbers` makes them.

    orjson is fifty times faster on long columns and writes the same bytes where every float is no
    integer and lies within [1e-5, 1e16); all else goes to the reference.
    """
    for column in columns.values():
        floats = column if isinstance(column, np.ndarray) else [v for v in column if type(v) is float]
        if len(floats) and not (np.min(floats) >= 1e-5 and np.max(floats) < 1e16):
            return rfc8785.dumps(
                {
                    name: values.tolist() if isinstance(values, np.ndarray) else values
                    for name, values in columns.items()
                }
            )
    return orjson.dumps(columns, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)


def _json_numbers(column: FloatArray) -> Column:
    """The column's values, integers as int: JSON knows one kind of number, 1.0 is written 1."""
    whole = np.flatnonzero((column == np.rint(column)) & (np.abs(column) < EXACT_INTEGERS))
    if not whole.size:
        return column
    values: list[float | int] = column.tolist()
    for index in whole.tolist():
        values[index] = int(values[index])
    return values
