"""Algorithms as a command line names them: published ones, those of installed packages, and overlays."""

import argparse
import sys
from typing import TYPE_CHECKING

from services.signals.algorithms import registry
from services.signals.algorithms.overlays import SEPARATOR, UnknownOverlay

if TYPE_CHECKING:
    from services.signals.algorithms.base import Algorithm


def of_keys(text: str) -> "tuple[Algorithm, ...]":
    """The algorithms of keys that are separated by commas, each once. Raises ArgumentTypeError."""
    keys = list(dict.fromkeys(key.strip() for key in text.split(",")))
    bases = [key.partition(SEPARATOR)[0] for key in keys]
    found = registry.discover(bases)
    for key, reason in found.set_aside:
        raise argparse.ArgumentTypeError(f"{key} can't be run: {reason}")
    unknown = [key for key in bases if key not in found.algorithms]
    if unknown:
        known = ", ".join(registry.offered_keys())
        raise argparse.ArgumentTypeError(
            f"unknown algorithm {', '.join(map(repr, unknown))}; known are {known}"
        )
    try:
        found = found.with_overlays(key for key in keys if SEPARATOR in key)
    except UnknownOverlay as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return tuple(found.algorithms[key] for key in keys)


def of_key(text: str) -> "Algorithm":
    """The algorithm of one key. Raises ArgumentTypeError."""
    if "," in text:
        raise argparse.ArgumentTypeError(f"{text!r} is more than one algorithm")
    return of_keys(text)[0]


def every() -> "tuple[Algorithm, ...]":
    """All that there are without overlays; those of packages that can't be run are told and left out."""
    found = registry.discover()
    for key, reason in found.set_aside:
        print(f"{key} is left out: {reason}", file=sys.stderr)
    return tuple(found.algorithms.values())
