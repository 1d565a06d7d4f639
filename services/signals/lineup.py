"""Which algorithms a deployment runs, and on which timeframe each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from services.signals.algorithms import ALGORITHMS
from services.signals.algorithms.base import Algorithm
from services.signals.config import Settings


@dataclass(frozen=True)
class Lineup:
    """The algorithms of a deployment by key. `timeframes` None: each runs on every timeframe that comes."""

    algorithms: Mapping[str, Algorithm]
    timeframes: Mapping[str, str] | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The lineup that the settings ask for."""
        if settings.algorithms_follow_feed:
            return cls(ALGORITHMS, None)
        overrides = settings.timeframe_overrides()
        return cls(ALGORITHMS, {key: overrides.get(key, each.timeframe) for key, each in ALGORITHMS.items()})

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
