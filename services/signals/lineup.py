"""Which algorithms a deployment runs, and on which timeframe each."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from services.signals.algorithms import ALGORITHMS, registry
from services.signals.algorithms.base import Algorithm
from services.signals.algorithms.overlays import UnknownOverlay
from services.signals.algorithms.registry import SetAside
from services.signals.config import Settings
from services.signals.errors import LineupError
from shared import logs

log = logs.logger(__name__)


@dataclass(frozen=True)
class Lineup:
    """The algorithms of a deployment by key. `timeframes` None: each runs on every timeframe that comes.

    `set_aside` are those that were asked for and can't be run.
    """

    algorithms: Mapping[str, Algorithm]
    timeframes: Mapping[str, str] | None
    set_aside: tuple[SetAside, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The lineup that the settings ask for; what an installed package can't provide is logged.

        Raises LineupError where a setting names what there is not, or nothing is left to run.
        """
        chosen = settings.chosen_algorithms()
        found = registry.discover(chosen)
        for key, reason in found.set_aside:
            log.error("algorithm can't be loaded", algorithm=key, reason=reason)
        _require(chosen, {*found.algorithms, *(each.key for each in found.set_aside)}, "ALGORITHMS")
        try:
            found = found.with_overlays(settings.overlay_keys())
        except UnknownOverlay as error:
            raise LineupError(f"OVERLAYS: {error}") from error
        algorithms, aside = found.algorithms, {each.key for each in found.set_aside}
        overrides = settings.timeframe_overrides()
        _require(overrides, algorithms.keys() | aside | ALGORITHMS.keys(), "ALGORITHM_TIMEFRAMES")
        if not algorithms:
            raise LineupError(
                f"no algorithm is left to run: {'; '.join(each.reason for each in found.set_aside)}"
            )
        timeframes = {key: overrides.get(key, each.timeframe) for key, each in algorithms.items()}
        return cls(algorithms, None if settings.algorithms_follow_feed else timeframes, found.set_aside)

    def on(self, timeframe: str) -> tuple[Algorithm, ...]:
        """The algorithms that run on a timeframe, in order of their keys."""
        chosen = self.timeframes
        return tuple(
            self.algorithms[key]
            for key in sorted(self.algorithms)
            if chosen is None or chosen[key] == timeframe
        )

    def timeframe_of(self, key: str) -> str | None:
        """The timeframe that an algorithm runs on; None when it follows the feed."""
        return None if self.timeframes is None else self.timeframes[key]


def _require(named: Collection[str], known: Collection[str], setting: str) -> None:
    unknown = [key for key in named if key not in known]
    if unknown:
        names, there_are = ", ".join(map(repr, unknown)), ", ".join(sorted(known))
        raise LineupError(f"{setting} names no algorithm that there is: {names}; there are {there_are}")
