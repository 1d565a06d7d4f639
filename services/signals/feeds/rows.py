"""Rows of an exchange's answer, and what is taken of them: closed candles, each once, in their order."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.signals.candles import EPOCH, Candle, value_refusal


class Row(NamedTuple):
    """A closed candle as an exchange tells it: when it opened, in seconds since 1970, and its values."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Reading(NamedTuple):
    """The rows of an answer that can be taken, oldest first, and why others can't, with their times."""

    rows: list[Row]
    refused: list[tuple[str, Any]]


PackedRows = NDArray[np.float64]
"""Rows as an array of shape (rows, 6): a fifth of the memory. A float64 holds any such time exactly."""
FIELDS = 6
MILLISECONDS = 1000


def read(answer: Iterable[Sequence[Any]], step: int, now: float) -> Reading:
    """What an answer of (milliseconds, open, high, low, close, volume) holds of candles that closed by `now`.

    `step` is the timeframe in seconds. A row that lacks a value, or whose time is off the grid, is refused,
    as is one whose values break a rule of candles, and a second one of the same time with other values. Open
    candles are left out.
    """
    rows: dict[int, Row] = {}
    refused: list[tuple[str, Any]] = []
    for raw in answer:
        moment = raw[0] if raw else None
        if len(raw) < FIELDS or any(not isinstance(each, int | float) for each in raw[:FIELDS]):
            refused.append(("incomplete", moment))
            continue
        if not all(map(_is_finite, raw[:FIELDS])):
            refused.append(("not_finite", moment))
            continue
        milliseconds = int(raw[0])
        if milliseconds % (step * MILLISECONDS):
            refused.append(("off_grid", moment))
            continue
        row = Row(milliseconds // MILLISECONDS, *(float(value) for value in raw[1:FIELDS]))
        if row.open_time + step > now:
            continue
        reason = value_refusal(Candle("", EPOCH, *row[1:]))
        if reason is not None:
            refused.append((reason, moment))
        elif rows.setdefault(row.open_time, row) != row:
            refused.append(("contradiction", moment))
    return Reading([rows[time] for time in sorted(rows)], refused)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False


def pack(rows: Sequence[Row]) -> PackedRows:
    """Rows as an array."""
    return np.array(rows, dtype=np.float64).reshape(-1, FIELDS)


def unpack(parts: Sequence[PackedRows]) -> list[Row]:
    """The rows of some arrays, one after the other."""
    return [Row(int(time), *values) for part in parts for time, *values in part.tolist()]
