"""How far the candles of one ticker are known, and which of the last ones are not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.signals.feeds.rows import Row

OVERLAP = 10
"""So many candles are asked for again each time: some exchanges tell one only after a newer one."""


@dataclass
class Position:
    """`next_open` is when the candle opens that is wanted next, `begin` when the first one that ever was.

    `recent` has the last candles as they were told first, by open time.
    """

    begin: int
    next_open: int
    recent: dict[int, Row] = field(default_factory=dict)

    def since(self, step: int) -> int:
        """From which open time on candles of `step` seconds are asked for."""
        return max(self.begin, self.next_open - OVERLAP * step)

    def unknown(self, rows: Sequence[Row]) -> list[Row]:
        """Those of some rows from `since` on that were not told before."""
        return [row for row in rows if row.open_time not in self.recent]

    def changed(self, rows: Iterable[Row]) -> list[Row]:
        """Those of some rows that were told before with other values."""
        return [row for row in rows if self.recent.get(row.open_time, row) != row]

    def note(self, rows: Iterable[Row], step: int) -> None:
        """Candles were told that were not known."""
        known = self.recent | {row.open_time: row for row in rows}
        self.next_open = max((self.next_open, *(opened + step for opened in known)))
        since = self.since(step)
        self.recent = {opened: row for opened, row in known.items() if opened >= since}
