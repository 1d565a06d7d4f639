"""Comparisons that take a difference of at most 1e-12 x max(|a|, |b|) for equality.

Each is false where a side is NaN. The definition is `_nearly_equal`; all else here finds quickly where it
can make no difference, and asks it about the rest only.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from services.signals.candles import FloatArray

BoolArray = NDArray[np.bool_]

TOLERANCE = 1e-12
_RAISED, _LOWERED = np.array(1 + 2 * TOLERANCE), np.array(1 - 2 * TOLERANCE)
MEASURABLE = 1e-290
"""Numbers from here to its inverse have neighbours at even distances, none of them 0 or infinite."""


def greater(a: FloatArray, b: FloatArray | float, *, positive: bool = False) -> BoolArray:
    """Where a > b and not equal by TOLERANCE. `positive` says that no b is negative."""
    if isinstance(b, float) and _is_measurable(b):
        beyond: BoolArray = a > _equals_of(b)[1]
        return beyond
    possible = a > b
    _settle(possible, a > _raised(b, positive=positive), a, b)
    return possible


def less(a: FloatArray, b: FloatArray | float, *, positive: bool = False) -> BoolArray:
    """Where a < b and not equal by TOLERANCE. `positive` says that no b is negative."""
    if isinstance(b, float) and _is_measurable(b):
        short: BoolArray = a < _equals_of(b)[0]
        return short
    possible = a < b
    _settle(possible, a < _lowered(b, positive=positive), a, b)
    return possible


def greater_or_equal(a: FloatArray, b: FloatArray | float, *, positive: bool = False) -> BoolArray:
    """Where a > b or equal by TOLERANCE. `positive` says that no b is negative."""
    if isinstance(b, float) and _is_measurable(b):
        reaching: BoolArray = a >= _equals_of(b)[0]
        return reaching
    certain = a >= b
    _extend(certain, a >= _lowered(b, positive=positive), a, b)
    return certain


def less_or_equal(a: FloatArray, b: FloatArray | float, *, positive: bool = False) -> BoolArray:
    """Where a < b or equal by TOLERANCE. `positive` says that no b is negative."""
    if isinstance(b, float) and _is_measurable(b):
        within: BoolArray = a <= _equals_of(b)[1]
        return within
    certain = a <= b
    _extend(certain, a <= _raised(b, positive=positive), a, b)
    return certain


def risen_above(
    a: FloatArray, b: FloatArray, a_before: FloatArray, b_before: FloatArray, *, positive: bool = False
) -> BoolArray:
    """Where a > b, and a <= b before. `positive` says that no b is negative."""
    possible = a > b
    possible &= a_before <= _raised(b_before, positive=positive)
    certain = a > _raised(b, positive=positive)
    certain &= a_before <= b_before
    if possible.tobytes() != certain.tobytes():
        possible &= greater(a, b, positive=positive) & less_or_equal(a_before, b_before, positive=positive)
    return possible


def fallen_below(
    a: FloatArray, b: FloatArray, a_before: FloatArray, b_before: FloatArray, *, positive: bool = False
) -> BoolArray:
    """Where a < b, and a >= b before. `positive` says that no b is negative."""
    possible = a < b
    possible &= a_before >= _lowered(b_before, positive=positive)
    certain = a < _lowered(b, positive=positive)
    certain &= a_before >= b_before
    if possible.tobytes() != certain.tobytes():
        possible &= less(a, b, positive=positive) & greater_or_equal(a_before, b_before, positive=positive)
    return possible


def _is_measurable(number: float) -> bool:
    return number == 0.0 or MEASURABLE <= abs(number) <= 1 / MEASURABLE


@cache
def _equals_of(number: float) -> tuple[FloatArray, FloatArray]:
    """The least and the greatest float that count as equal to a number; arrays without axes.

    1e-12 of it is less than 10,000 of its distances to the next float, whatever its size. Nothing else
    counts as equal to 0.
    """
    if number == 0.0:
        return np.array(0.0), np.array(0.0)
    bits, distances = np.float64(number).view(np.int64), np.arange(10_000)
    neighbours = (bits + distances).view(np.float64), (bits - distances).view(np.float64)
    ends = [each[_nearly_equal(each, number)][-1] for each in neighbours]
    return np.array(min(ends)), np.array(max(ends))


def _raised(b: FloatArray | float, *, positive: bool) -> FloatArray | float:
    """At least as high as everything that counts as equal to b."""
    return b * _RAISED if positive else b + np.abs(b) * (2 * TOLERANCE)


def _lowered(b: FloatArray | float, *, positive: bool) -> FloatArray | float:
    """At most as high as everything that counts as equal to b."""
    return b * _LOWERED if positive else b - np.abs(b) * (2 * TOLERANCE)


def _settle(possible: BoolArray, certain: BoolArray, a: FloatArray, b: FloatArray | float) -> None:
    """Leave of what is possible what is certain, or not nearly equal."""
    if possible.tobytes() != certain.tobytes():
        possible &= certain | ~_nearly_equal(a, b)


def _extend(certain: BoolArray, possible: BoolArray, a: FloatArray, b: FloatArray | float) -> None:
    """Add to what is certain what is possible and nearly equal."""
    if possible.tobytes() != certain.tobytes():
        certain |= possible & _nearly_equal(a, b)


def _nearly_equal(a: FloatArray, b: FloatArray | float) -> BoolArray:
    near: BoolArray = np.abs(a - b) <= TOLERANCE * np.maximum(np.abs(a), np.abs(b))
    return near
