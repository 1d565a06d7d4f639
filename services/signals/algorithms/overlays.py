"""Overlays: a stop loss attached to an algorithm. The pair is an algorithm of its own key, state and view.

A key is the algorithm's, `+`, the overlay's name and its p in percent: `golden_crossover+stop_loss_5`,
`golden_crossover+trailing_stop_loss_7.5`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from services.signals.algorithms.base import (
    Algorithm,
    BoolArray,
    Check,
    Frame,
    Rule,
    Term,
    any_of,
    at_most,
)


class UnknownOverlay(ValueError):
    """A key that names no pair of an algorithm and an overlay; the text says why."""


@dataclass(frozen=True)
class StopLoss:
    """Exit: close <= (1 - p) x entry price."""

    kind: ClassVar[str] = "stop_loss"
    name: ClassVar[str] = "Stop Loss"
    version: ClassVar[str] = "1"
    follows_highest_close: ClassVar[bool] = False

    p: float

    def exit(self, frame: Frame) -> Check:
        """The exit stated above; false without an entry price."""
        share = 1.0 - self.p
        return at_most(
            frame, "close", Term(f"{share:g} x entry price", share * frame.entry_price, positive=True)
        )


@dataclass(frozen=True)
class TrailingStopLoss:
    """Exit: close <= (1 - p) x highest close since entry."""

    kind: ClassVar[str] = "trailing_stop_loss"
    name: ClassVar[str] = "Trailing Stop Loss"
    version: ClassVar[str] = "1"
    follows_highest_close: ClassVar[bool] = True

    p: float

    def exit(self, frame: Frame) -> Check:
        """The exit stated above; false without an entry price."""
        share = 1.0 - self.p
        limit = Term(f"{share:g} x highest close since entry", share * frame.highest_close, positive=True)
        return at_most(frame, "close", limit)


Overlay = StopLoss | TrailingStopLoss
OVERLAYS: Mapping[str, type[Overlay]] = {StopLoss.kind: StopLoss, TrailingStopLoss.kind: TrailingStopLoss}
"""The overlays by the name that stands in keys."""


class Overlaid(Algorithm):
    """An algorithm with an overlay. While the view is BUY the overlay's exit wins over an entry.

    Else a falling market that keeps giving entries would never stop out. `key` is the pair's.
    """

    def __init__(self, key: str, base: Algorithm, overlay: Overlay) -> None:
        self.base = base
        self.overlay = overlay
        self.key = key
        self.name = f"{base.name}, {overlay.name} {overlay.p * 100:g} %"
        self.version = f"{base.version}+{overlay.version}"
        self.timeframe = base.timeframe
        self.indicators = base.indicators
        self.follows_highest_close = base.follows_highest_close or overlay.follows_highest_close

    @property
    def parameters(self) -> dict[str, float]:
        """The algorithm's numbers by name, and p as a share under the overlay's name."""
        return {**self.base.parameters, self.overlay.kind: self.overlay.p}

    def entry(self, frame: Frame) -> Rule:
        """The algorithm's entry, except where the overlay says to leave."""
        entry = _rule(self.base.entry(frame), frame)
        return Rule(entry.holds & ~self.overlay.exit(frame).holds, entry.checks)

    def exit(self, frame: Frame) -> Rule:
        """The algorithm's exit or the overlay's."""
        return any_of(_rule(self.base.exit(frame), frame), self.overlay.exit(frame))


def overlaid(base: Algorithm, suffix: str) -> Overlaid:
    """The pair of an algorithm and the overlay that `suffix` names, such as `stop_loss_5`.

    p is in percent, above 0 and below 100, with at most two decimals and no digit too many, so that one
    pair has one key. Raises UnknownOverlay for anything else, and for an algorithm that has an overlay.
    """
    if isinstance(base, Overlaid):
        raise UnknownOverlay(f"{base.key} has an overlay already: an algorithm takes one")
    kind, _, percent = suffix.rpartition("_")
    if kind not in OVERLAYS:
        raise UnknownOverlay(
            f"{suffix!r} is no overlay; there are {' and '.join(f'{k}_P' for k in OVERLAYS)}"
        )
    if not _PERCENT.fullmatch(percent):
        raise UnknownOverlay(
            f"{percent!r} in {suffix!r} is no percentage above 0 and below 100, written as 5, 7.5 or 0.25"
        )
    return Overlaid(f"{base.key}{SEPARATOR}{suffix}", base, OVERLAYS[kind](float(f"{percent}e-2")))


def overlaid_by_key(key: str, algorithms: Mapping[str, Algorithm]) -> Overlaid:
    """The pair that a whole key names, such as `golden_crossover+stop_loss_5`, among `algorithms` by key.

    Raises UnknownOverlay for a key without an overlay, of an algorithm that is not there, or as `overlaid`.
    """
    base, separator, suffix = key.partition(SEPARATOR)
    if not separator:
        raise UnknownOverlay(f"{key!r} names no overlay: write it as algorithm{SEPARATOR}stop_loss_5")
    if base not in algorithms:
        raise UnknownOverlay(f"{key!r} names no algorithm of ours; there are {', '.join(sorted(algorithms))}")
    return overlaid(algorithms[base], suffix)


SEPARATOR = "+"
_PERCENT = re.compile(r"(?=.*[1-9])(0|[1-9][0-9]?)(\.[0-9]?[1-9])?")
"""1 to 99 or 0, then at most two decimals of which the last is no 0; and not 0 altogether."""


def _rule(stated: Rule | BoolArray, frame: Frame) -> Rule:
    return Rule.of(stated, frame.close.size)
