"""Which algorithms there are: the six published ones, and those of installed packages.

A package offers an algorithm as an entry point of the group `boritrader.algorithms`, named like the
algorithm's key, which loads to the class or to an instance::

    [project.entry-points."boritrader.algorithms"]
    squeeze_breakout = "my_package:SqueezeBreakout"

What can't be used is set aside with one line that says why, and stops nobody else.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from math import isfinite
from typing import Any, NamedTuple

from services.signals.algorithms import ALGORITHMS
from services.signals.algorithms.base import Algorithm
from services.signals.algorithms.overlays import SEPARATOR, overlaid_by_key
from services.signals.candles import TIMEFRAMES
from services.signals.indicators import IndicatorSet

GROUP = "boritrader.algorithms"
LONGEST_REASON = 300

_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,31}")
_LONGEST_NAME = 60
_EXACT_INTEGERS = 2**53


class Unusable(ValueError):
    """An algorithm that can't be run; the text is one line that says why."""


class SetAside(NamedTuple):
    """An algorithm of an installed package that can't be run: the key it is offered under, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Registry:
    """The algorithms by key, the published ones first, then the others by key; and those set aside."""

    algorithms: Mapping[str, Algorithm]
    set_aside: tuple[SetAside, ...]

    def with_overlays(self, keys: Iterable[str]) -> "Registry":
        """The same and the pairs of those keys; a pair goes the way of its algorithm when that is set aside.

        Raises UnknownOverlay for a key that names no pair.
        """
        algorithms, aside = dict(self.algorithms), {each.key for each in self.set_aside}
        without: list[SetAside] = []
        for key in keys:
            base, separator, _ = key.partition(SEPARATOR)
            if separator and base in aside:
                without.append(SetAside(key, f"{base} is set aside"))
            else:
                algorithms[key] = overlaid_by_key(key, self.algorithms)
        return Registry(algorithms, (*self.set_aside, *without))


def discover(named: Collection[str] = ()) -> Registry:
    """The published algorithms and the installed ones, or those of them that are `named`.

    The code of a package is imported only for the algorithms that are wanted. A key that nobody offers is
    in neither part of what is returned.
    """
    found = {key: each for key, each in ALGORITHMS.items() if not named or key in named}
    aside: list[SetAside] = []
    offered = sorted(entry_points(group=GROUP), key=lambda each: (each.name, _package_of(each)))
    wanted = [each for each in offered if not named or each.name in named]
    offers = Counter(each.name for each in wanted)
    for entry_point in wanted:
        try:
            found[entry_point.name] = _admitted(entry_point, offers)
        except Unusable as error:
            aside.append(SetAside(entry_point.name, f"package {_package_of(entry_point)}: {error}"))
    return Registry(found, tuple(aside))


def offered_keys() -> tuple[str, ...]:
    """Every key that there is, usable or not, without importing a package's code."""
    return (*ALGORITHMS, *sorted({each.name for each in entry_points(group=GROUP)} - ALGORITHMS.keys()))


def entry_point_of(key: str) -> EntryPoint | None:
    """The one installed entry point of a key; None when there is none. Raises Unusable when there are two."""
    offered = [each for each in entry_points(group=GROUP) if each.name == key]
    if len(offered) > 1:
        raise Unusable(_offered_twice(offered))
    return offered[0] if offered else None


def instance_of(loaded: object) -> Algorithm:
    """The algorithm of a class or an instance, held to what every algorithm must declare.

    Raises Unusable with the first thing that is not as it must be.
    """
    algorithm = loaded
    if isinstance(loaded, type):
        if not issubclass(loaded, Algorithm):
            raise Unusable(f"{loaded.__qualname__} is not a subclass of Algorithm")
        try:
            algorithm = loaded()
        except Exception as error:  # foreign code; what it raised is told
            raise Unusable(f"{loaded.__qualname__}() raised {described(error)}") from error
    if not isinstance(algorithm, Algorithm):
        raise Unusable(f"it is of type {type(algorithm).__qualname__}, no class or instance of Algorithm")
    for fault in _faults(algorithm):
        raise Unusable(fault)
    return algorithm


def described(error: BaseException) -> str:
    """What was raised, in one line."""
    text = " ".join(str(error).split())[:LONGEST_REASON]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _admitted(entry_point: EntryPoint, offers: Mapping[str, int]) -> Algorithm:
    key = entry_point.name
    if key in ALGORITHMS:
        raise Unusable(f"the key {key} is that of a published algorithm")
    if offers[key] > 1:
        raise Unusable(_offered_twice([each for each in entry_points(group=GROUP) if each.name == key]))
    try:
        loaded = entry_point.load()
    except (Exception, SystemExit) as error:  # whatever importing foreign code does, it stops nobody else
        raise Unusable(f"importing {entry_point.value} raised {described(error)}") from error
    algorithm = instance_of(loaded)
    if algorithm.key != key:
        raise Unusable(f"the entry point is named {key!r}, but the algorithm's key is {algorithm.key!r}")
    return algorithm


def _offered_twice(offered: Iterable[EntryPoint]) -> str:
    packages = " and ".join(sorted(map(_package_of, offered)))
    key = next(iter(offered)).name
    return f"the key {key} is offered by {packages}, and nobody can tell which one is meant"


def _package_of(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else "unknown"


def _faults(algorithm: Algorithm) -> Iterable[str]:
    """What is wrong with what an algorithm declares, each in one line."""
    kind = type(algorithm)
    how: Any = getattr(kind, "__dataclass_params__", None)
    if how is None or not how.frozen:
        yield f"{kind.__qualname__} is no frozen dataclass, whose fields are the parameters in the record"
    key, name, version = (getattr(algorithm, each, None) for each in ("key", "name", "version"))
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        yield f"key {key!r} is not 1 to 40 of a-z, 0-9 and _, beginning with a letter"
    if not isinstance(name, str) or name != name.strip() or not name.isprintable() or not name:
        yield f"name {name!r} is not a text without control characters and outer blanks"
    elif len(name) > _LONGEST_NAME:
        yield f"name {name!r} is longer than {_LONGEST_NAME} characters"
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        yield f"version {version!r} is not a text of 1 to 32 letters, digits, and . + _ -"
    timeframe = getattr(algorithm, "timeframe", None)
    if not isinstance(timeframe, str) or timeframe not in TIMEFRAMES:
        yield f"timeframe {timeframe!r} is none of {', '.join(TIMEFRAMES)}"
    yield from _faults_of_indicators(algorithm.indicators)
    yield from _faults_of_parameters(algorithm)


def _faults_of_indicators(indicators: object) -> Iterable[str]:
    if not isinstance(indicators, tuple) or not all(isinstance(each, str) for each in indicators):
        yield f"indicators {indicators!r} is not a tuple of names"
        return
    try:
        IndicatorSet(indicators)
    except ValueError as error:
        yield str(error)


def _faults_of_parameters(algorithm: Algorithm) -> Iterable[str]:
    try:
        parameters: dict[Any, object] = dict(algorithm.parameters)
    except Exception as error:  # noqa: BLE001 - foreign code; what it raised is told
        yield f"its parameters raised {described(error)}"
        return
    for name, value in parameters.items():
        if not isinstance(name, str) or not _is_number(value):
            yield f"parameter {name!r} is {value!r}, not a finite number"


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isfinite(value) if isinstance(value, float) else abs(value) < _EXACT_INTEGERS
