"""What a live feed has been asked for: exchanges, tickers, timeframes, and how long anything may take."""

from dataclasses import dataclass
from typing import Self

from services.signals.candles import TIMEFRAMES
from services.signals.config import Settings
from services.signals.errors import FeedError
from services.signals.feeds.universe import Universe
from services.signals.lineup import Lineup

USUAL_TIMEFRAME = "1h"
"""The base where no algorithm asks for a timeframe of its own."""


@dataclass(frozen=True)
class Plan:
    """The choices of a deployment for its live feed.

    Candles of `base` are asked for, those of `made` are made from them. `deadline` and `refresh` are in
    seconds, `history` is the number of candles of the base that a new ticker begins with. `window` is how
    many closes are fetched for all tickers before the first of them is released.
    """

    feed: str
    exchanges: tuple[str, ...]
    universe: Universe
    base: str
    made: tuple[str, ...]
    deadline: float
    refresh: float
    history: int
    window: int = 500

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The plan that the settings ask for. Raises FeedError where they don't fit together."""
        needed = set((Lineup.of(settings).timeframes or {}).values())
        used = sorted(needed or {settings.feed_timeframe or USUAL_TIMEFRAME}, key=TIMEFRAMES.__getitem__)
        shortest, longest = used[0], used[-1]
        base = settings.feed_timeframe or shortest
        if TIMEFRAMES[base] > TIMEFRAMES[shortest]:
            raise FeedError(f"FEED_TIMEFRAME {base} is longer than {shortest}, on which algorithms run")
        return cls(
            feed=settings.feed_name,
            exchanges=settings.exchanges,
            universe=Universe.of(settings.universe),
            base=base,
            made=tuple(each for each in TIMEFRAMES if each in needed and each != base),
            deadline=settings.cycle_deadline,
            refresh=settings.universe_refresh,
            history=settings.warmup_candles * TIMEFRAMES[longest] // TIMEFRAMES[base],
        )

    @property
    def step(self) -> int:
        """Seconds of a candle of the base."""
        return TIMEFRAMES[self.base]

    @property
    def grid(self) -> int:
        """Seconds of the longest timeframe: histories begin on its grid, with a complete group."""
        return max(TIMEFRAMES[each] for each in (self.base, *self.made))

    def first_open(self, now: float) -> int:
        """When the first candle of a new ticker's history opens."""
        first = int(now) - self.history * self.step
        return first - first % self.grid
