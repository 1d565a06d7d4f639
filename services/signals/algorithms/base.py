"""What an algorithm is: the indicators it needs, and its two rules over a frame.

A rule is stated once, as conditions over named series of the frame::

    def entry(self, frame: Frame) -> Rule:
        return all_of(below(frame, "rsi14", 35.0), below(frame, "close", "sma100"))

The same statement decides (arrays over the tickers of the step) and explains: `Rule.why` gives each
condition's text, value, threshold and outcome for the few tickers whose view changed.

Every comparison takes a difference of at most 1e-12 x max(|a|, |b|) for equality, and is false where a
side is NaN (an indicator that warms up, no entry price).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import repeat
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.signals.algorithms.comparisons import (
    BoolArray,
    fallen_below,
    greater,
    greater_or_equal,
    less,
    less_or_equal,
    risen_above,
)
from services.signals.candles import COLUMNS, FloatArray, read_only
from services.signals.indicators import Name

__all__ = [
    "Algorithm",
    "BoolArray",
    "Check",
    "Condition",
    "Frame",
    "Operand",
    "Rule",
    "Series",
    "Side",
    "Term",
    "Why",
    "above",
    "all_of",
    "any_of",
    "at_least",
    "at_most",
    "below",
    "crosses_above",
    "crosses_below",
    "greater",
    "greater_or_equal",
    "less",
    "less_or_equal",
]

Side = Literal["entry", "exit"]


class Condition(NamedTuple):
    """One condition of a rule at the candle of one ticker: `value operator threshold`.

    A value or threshold is None where it is not known or not finite.
    """

    side: Side
    text: str
    value: float | None
    operator: str
    threshold: float | None
    holds: bool


class Series:
    """Named columns of one candle, each of shape (tickers of the step,), read as attributes.

    `open`, `high`, `low`, `close`, `volume`, and the indicators that the algorithm declares.
    """

    def __init__(self, columns: Mapping[str, FloatArray], names: Iterable[str]) -> None:
        self.__dict__ = {name: columns[name] for name in names if name in columns}

    def __getattr__(self, name: str) -> FloatArray:
        raise AttributeError(f"{name!r} is not a column of the candle or a declared indicator")


class Frame(Series):
    """What an algorithm sees of one step: the candle that closed, the one before, its entry prices.

    `previous` is the ticker's candle before, NaN throughout where there is none. `entry_price` is the
    close at which the view turned to BUY, NaN while it is not BUY. `highest_close`, for an algorithm that
    follows it, is the highest close since then, that one and this candle's included; NaN likewise. All
    arrays are read-only.
    """

    def __init__(
        self,
        columns: Mapping[str, FloatArray],
        previous: Mapping[str, FloatArray],
        entry_price: FloatArray,
        names: Iterable[str],
        highest_close: FloatArray | None = None,
    ) -> None:
        super().__init__(columns, names)
        self._previous = previous, names
        self._entry_price = entry_price
        self._highest_close = highest_close

    @property
    def previous(self) -> Series:
        """The candle before."""
        return Series(*self._previous)

    @property
    def entry_price(self) -> FloatArray:
        """The close at which the view turned to BUY; a copy, since the engine's own moves on."""
        return read_only(self._entry_price.copy())

    @property
    def highest_close(self) -> FloatArray:
        """The highest close since the entry. Raises LookupError where the algorithm does not follow it."""
        if self._highest_close is None:
            raise LookupError("highest_close is there for algorithms that set follows_highest_close")
        return self._highest_close


class Term(NamedTuple):
    """A computed side of a condition: its text, and its values of shape (tickers of the step,).

    `positive` says that none of them is negative, as no price or volume is: that is quicker to compare with.
    """

    text: str
    values: FloatArray
    positive: bool = False


Operand = str | Term
"""A column's name, or a computed term."""


class Check(NamedTuple):
    """A condition over all tickers of the step. `holds` has shape (tickers of the step,)."""

    text: str
    value: FloatArray
    operator: str
    threshold: FloatArray | float
    holds: BoolArray


@dataclass(frozen=True, slots=True)
class Rule:
    """Where a rule holds, shape (tickers of the step,), and the checks that it was made of."""

    holds: BoolArray
    checks: tuple[Check, ...]

    @classmethod
    def of(cls, stated: "Rule | BoolArray", size: int) -> "Rule":
        """The rule an algorithm stated, which may be a bare array of where it holds, for `size` tickers.

        Raises TypeError where it is neither, or one of its arrays is of another kind or shape, and
        ValueError for a condition's text that can't be shown: whatever it says can be explained later.
        """
        rule = stated if isinstance(stated, Rule) else cls(np.asarray(stated), ())
        if not _is_array(rule.holds, "b", (size,)):
            raise TypeError(f"a rule holds or not for each of {size} tickers: it takes that many booleans")
        for text, value, _, threshold, holds in rule.checks:
            if not text.isprintable():
                raise ValueError(f"the text of a condition has what can't be shown: {text!r}")
            if not (
                _is_array(value, "fiu", rule.holds.shape)
                and (isinstance(threshold, float) or _is_array(threshold, "fiu", rule.holds.shape))
                and _is_array(holds, "b", rule.holds.shape)
            ):
                raise TypeError(f"{text}: its sides are no arrays of numbers of {size} tickers")
        return rule

    def why(self, side: Side, indices: NDArray[np.intp]) -> "Why":
        """What the rule saw of the tickers at `indices`, copied out of the step's arrays."""
        if not indices.size:
            return Why(side, 0, ())
        return Why(
            side,
            indices.size,
            tuple(
                Check(
                    check.text,
                    check.value[indices],
                    check.operator,
                    check.threshold if isinstance(check.threshold, float) else check.threshold[indices],
                    check.holds[indices],
                )
                for check in self.checks
            ),
        )


def _is_array(values: object, kinds: str, shape: tuple[int, ...]) -> bool:
    return type(values) is np.ndarray and values.shape == shape and values.dtype.kind in kinds


@dataclass(frozen=True, slots=True)
class Why:
    """The conditions of one rule for a few tickers."""

    side: Side
    size: int
    checks: tuple[Check, ...]

    def conditions(self) -> list[tuple[Condition, ...]]:
        """The conditions of each ticker, in the rule's own order."""
        if not self.checks:
            return [()] * self.size
        return list(zip(*map(self._of_check, self.checks), strict=True))

    def _of_check(self, check: Check) -> Iterable[Condition]:
        limit = check.threshold
        return map(
            Condition,
            repeat(self.side),
            repeat(check.text),
            _finite(check.value),
            repeat(check.operator),
            repeat(limit, self.size) if isinstance(limit, float) else _finite(limit),
            check.holds.tolist(),
        )


def _finite(numbers: FloatArray) -> list[float | None]:
    values: list[float | None] = numbers.tolist()
    if np.isfinite(numbers).all():
        return values
    return [value if known else None for value, known in zip(values, np.isfinite(numbers), strict=True)]


class Algorithm(ABC):
    """One published rule. Subclasses are frozen dataclasses whose fields are the rule's parameters.

    `key` names it for ever; `version` changes with the rule; `timeframe` is the default, a deployment
    may set another; `indicators` are the names it reads from the frame; `follows_highest_close` asks for
    `frame.highest_close`. It sees no clock, network, database or future candle, and keeps no state: all
    of that is the engine's.
    """

    key: str
    name: str
    version: str
    timeframe: str
    indicators: tuple[str, ...] = ()
    follows_highest_close: bool = False

    @property
    def parameters(self) -> dict[str, float]:
        """The rule's numbers by name."""
        return {name: getattr(self, name) for name in getattr(self, "__dataclass_fields__", ())}

    @abstractmethod
    def entry(self, frame: Frame) -> Rule | BoolArray:
        """Where to be told BUY."""

    @abstractmethod
    def exit(self, frame: Frame) -> Rule | BoolArray:
        """Where to be told SELL, unless the entry holds too."""


def all_of(first: Rule | Check, *others: Rule | Check) -> Rule:
    """The rule that holds where every part does."""
    holds = first.holds
    for part in others:
        holds = holds & part.holds
    return Rule(holds, _checks(first, *others))


def any_of(first: Rule | Check, *others: Rule | Check) -> Rule:
    """The rule that holds where at least one part does."""
    holds = first.holds
    for part in others:
        holds = holds | part.holds
    return Rule(holds, _checks(first, *others))


def _checks(*parts: Rule | Check) -> tuple[Check, ...]:
    checks: list[Check] = []
    for part in parts:
        if isinstance(part, Rule):
            checks += part.checks
        else:
            checks.append(part)
    return tuple(checks)


def above(frame: Frame, value: Operand, threshold: Operand | float) -> Check:
    """`value > threshold`."""
    return _check(frame, value, ">", threshold)


def at_least(frame: Frame, value: Operand, threshold: Operand | float) -> Check:
    """`value >= threshold`."""
    return _check(frame, value, ">=", threshold)


def below(frame: Frame, value: Operand, threshold: Operand | float) -> Check:
    """`value < threshold`."""
    return _check(frame, value, "<", threshold)


def at_most(frame: Frame, value: Operand, threshold: Operand | float) -> Check:
    """`value <= threshold`."""
    return _check(frame, value, "<=", threshold)


def crosses_above(frame: Frame, first: str, second: str) -> Check:
    """`first <= second` on the candle before and `first > second` on this one, all four known."""
    return _cross(frame, first, "crosses above", second)


def crosses_below(frame: Frame, first: str, second: str) -> Check:
    """`first >= second` on the candle before and `first < second` on this one, all four known."""
    return _cross(frame, first, "crosses below", second)


_COMPARISONS = {">": greater, ">=": greater_or_equal, "<": less, "<=": less_or_equal}


def _check(frame: Frame, value: Operand, operator: str, threshold: Operand | float) -> Check:
    text, values, _ = _term(frame, value)
    compare = _COMPARISONS[operator]
    if isinstance(threshold, (str, Term)):
        limit_text, limits, positive = _term(frame, threshold)
        holds = compare(values, limits, positive=positive)
        return Check(_said(text, operator, limit_text), values, operator, limits, holds)
    number = float(threshold)
    return Check(_said(text, operator, number), values, operator, number, compare(values, number))


def _cross(frame: Frame, first: str, operator: str, second: str) -> Check:
    (text, now, _), (other_text, other, positive) = _term(frame, first), _term(frame, second)
    before, other_before = getattr(frame.previous, first), getattr(frame.previous, second)
    crossed = risen_above if operator == "crosses above" else fallen_below
    holds = crossed(now, other, before, other_before, positive=positive)
    return Check(_said(text, operator, other_text), now, operator, other, holds)


def _term(frame: Frame, operand: Operand) -> tuple[str, FloatArray, bool]:
    if isinstance(operand, Term):
        return operand
    label, positive = _known(operand)
    return label, getattr(frame, operand), positive


@lru_cache
def _said(value: str, operator: str, threshold: str | float) -> str:
    limit = f"{threshold:g}" if isinstance(threshold, float) else threshold
    return f"{value} {operator} {limit}"


@cache
def _known(column: str) -> tuple[str, bool]:
    """How people read a column's name, and whether it never has a negative value, as no price has."""
    name = Name.parse(column)
    if name is None:
        return column, column in COLUMNS
    return name.label, name.is_positive
