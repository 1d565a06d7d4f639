"""How far the candles of one ticker are known, and which of the last ones are not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.signals.feeds.rows import Row

OVERLAP = 10
"""So many candles are asked for again each time: some exchanges tell one only after a newer one."""


@dataclass
class Position:
    """`next_open` is when the candle opens that is wanted next, `begin` when the first one that ever was.

    `recent` has the open times of the last candles that were told.
    """

    begin: int
    next_open: int
    recent: set[int] = field(default_factory=set)

    def since(self, step: int) -> int:
        """From which open time on candles of `step` seconds are asked for."""
        return max(self.begin, self.next_open - OVERLAP * step)

    def unknown(self, rows: Sequence[Row]) -> list[Row]:
        """Those of some rows from `since` on that were not told before."""
        return [row for row in rows if row.open_time not in self.recent]

    def note(self, opened: Iterable[int], step: int) -> None:
        """Candles were told that opened at these moments."""
        known = self.recent.union(opened)
        self.next_open = max((self.next_open, *(each + step for each in known)))
        self.recent = {each for each in known if each >= self.since(step)}
