"""The process that checks algorithms: `python -m services.signals.checking.probe PART SECONDS TARGET…`.

Each algorithm gets a child of its own, forked before any of their code is imported: it finds the engine
loaded, and nothing that another one has left. A line of JSON for each goes to standard output.
"""

import contextlib
import importlib
import importlib.util
import json
import os
import signal
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from services.signals.algorithms import ALGORITHMS, registry
from services.signals.algorithms.base import Algorithm
from services.signals.algorithms.overlays import SEPARATOR, overlaid
from services.signals.algorithms.registry import Unusable, described
from services.signals.checking import Finding, market, memory, static
from services.signals.checking.trial import Answer, Asked, Broken, Trial, digest, try_out
from services.signals.checking.watch import Watch

OURS = Path(importlib.import_module("services.signals.algorithms").__file__ or "").parent
BASE = "services.signals.algorithms.base"


WHOLE = "whole"
"""The part of a check that tries everything; the other one only answers, for another process to compare."""


class Place(NamedTuple):
    """Where an algorithm comes from: its class, the key that it must have, and its package's sources."""

    module: str
    attribute: str
    key: str
    sources: tuple[Path, ...]


def main() -> int:
    """Check each target and print what was found."""
    part, seconds, *targets = sys.argv[1:]
    candles = market.made()
    for target in targets:
        sys.stdout.write(f"{_in_child(target, part, int(seconds), candles)}\n")
    return 0


def _in_child(target: str, part: str, seconds: int, candles: market.Market) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 1
        try:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, 1)
            os.dup2(nothing, 2)
            warnings.simplefilter("ignore")  # to show one, Python would open the source in its name
            signal.alarm(seconds)
            told = json.dumps(_checked(target, part, candles)).encode()
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(told)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if told and status == 0:
        return told.decode()
    if status == -signal.SIGALRM:
        slow = Finding("slow", target, f"it has not come to an end after {seconds} seconds")
        return json.dumps(_told(findings=[slow]))
    return json.dumps(_told(findings=[Finding("raises", target, f"its process ended with status {status}")]))


def _checked(target: str, part: str, candles: market.Market) -> dict[str, Any]:
    """Load and try one algorithm, in a process that ends after it."""
    key, _, suffix = target.partition(SEPARATOR)
    try:
        place = _place_of(key)
        watch = Watch(place.sources)
        with watch.loading():
            algorithm = _loaded(place)
        if suffix:
            algorithm = overlaid(algorithm, suffix)
    except ValueError as error:
        return _told(unusable=str(error))
    modules = list(_own_modules(algorithm, watch))
    trial = Trial(algorithm, watch)
    for module in modules:
        for finding in static.findings(Path(module.__file__ or "")):
            trial.findings[finding] = None
    before = memory.remembered(algorithm, modules)
    asked: list[Asked] = []
    answers: list[tuple[Answer, Answer]] = []
    with contextlib.suppress(Broken):
        if part == WHOLE:
            asked = try_out(trial, candles)
            answers = [(each.entry, each.exit) for each in asked]
        else:
            answers = trial.answers(candles)
    for path in memory.changed(before, memory.remembered(algorithm, modules)):
        trial.note("hidden-state", path, "deciding has changed it")
    return _told(
        findings=[*trial.findings, *watch.findings],
        answers=list(map(digest, answers)),
        candles=sum(len(each.tickers) for each in asked),
        entries=int(sum(each.entry.holds.sum() for each in asked)),
        exits=int(sum(each.exit.holds.sum() for each in asked)),
    )


def _place_of(key: str) -> Place:
    """Where the algorithm of a key, or of `module:Class`, comes from. Raises Unusable when it is nowhere."""
    if key in ALGORITHMS:
        return Place(type(ALGORITHMS[key]).__module__, type(ALGORITHMS[key]).__qualname__, "", (OURS,))
    named = key
    if ":" not in key:
        entry_point = registry.entry_point_of(key)
        if entry_point is None:
            raise Unusable(f"there is no algorithm {key!r}; there are {', '.join(registry.offered_keys())}")
        named = entry_point.value
    module, _, attribute = named.partition(":")
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except ValueError:  # no name at all
        spec = None
    if spec is None or not module:
        raise Unusable(f"there is no module {module!r}")
    sources = [Path(place).absolute() for place in spec.submodule_search_locations or ()]
    if not sources and spec.origin:
        sources = [Path(spec.origin).absolute()]
    return Place(module, attribute.strip(), "" if ":" in key else key, tuple(sources))


def _loaded(place: Place) -> Algorithm:
    named = f"{place.module}:{place.attribute}"
    try:
        loaded: object = importlib.import_module(place.module)
        for name in place.attribute.split("."):
            loaded = getattr(loaded, name)
    except (Exception, SystemExit) as error:  # whatever importing foreign code does is told
        raise Unusable(f"importing {named} raised {described(error)}") from error
    algorithm = registry.instance_of(loaded)
    if place.key and algorithm.key != place.key:
        raise Unusable(f"the entry point is named {place.key!r}, but the key is {algorithm.key!r}")
    return algorithm


def _own_modules(algorithm: Algorithm, watch: Watch) -> Iterator[ModuleType]:
    """The modules of the algorithm's package; of a published one, those that its class comes from."""
    parts = [algorithm, *(each for each in vars(algorithm).values() if isinstance(each, Algorithm))]
    classes = {cls.__module__ for part in parts for cls in type(part).__mro__}
    for name, module in sorted(sys.modules.items()):
        source = getattr(module, "__file__", None)
        if not source or name == BASE or not watch.is_own(str(Path(source).resolve())):
            continue
        if name in classes or not name.startswith("services."):
            yield module


def _told(unusable: str | None = None, findings: Iterable[Finding] = (), **others: object) -> dict[str, Any]:
    nothing: dict[str, object] = {"answers": [], "candles": 0, "entries": 0, "exits": 0}
    return {"unusable": unusable, "findings": list(findings), **nothing, **others}


if __name__ == "__main__":
    sys.exit(main())
