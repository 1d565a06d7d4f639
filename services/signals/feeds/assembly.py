"""Candles of a longer timeframe, made from those of a shorter one."""

import math
from collections.abc import Iterable, Mapping, Sequence

from services.signals.candles import TIMEFRAMES
from services.signals.feeds.position import OVERLAP
from services.signals.feeds.rows import Row


class Assembly:
    """Makes the candles of longer timeframes of one ticker, only from complete groups aligned to UTC.

    A group that lacks a candle gives none. It waits for rows that come after newer ones, as long as there may
    be any.
    """

    def __init__(self, base: str, made: Iterable[str]) -> None:
        self._step = TIMEFRAMES[base]
        self._newest = 0
        self._groups: dict[str, dict[int, list[Row]]] = {timeframe: {} for timeframe in made}

    def add(self, rows: Sequence[Row]) -> Mapping[str, list[Row]]:
        """Take the next rows; the candles that they complete, by timeframe."""
        complete: dict[str, list[Row]] = {timeframe: [] for timeframe in self._groups}
        self._newest = max((self._newest, *(row.open_time for row in rows)))
        for timeframe, groups in self._groups.items():
            length = TIMEFRAMES[timeframe]
            for row in rows:
                opened = row.open_time - row.open_time % length
                group = groups.setdefault(opened, [])
                group.append(row)
                if len(group) * self._step == length:
                    complete[timeframe].append(_whole(opened, sorted(groups.pop(opened))))
            for opened in [each for each in groups if each + length + OVERLAP * self._step <= self._newest]:
                del groups[opened]
        return complete


def _whole(opened: int, rows: Sequence[Row]) -> Row:
    """The candle of all rows of a group. Its volume is the exact sum, rounded once (math.fsum)."""
    return Row(
        opened,
        rows[0].open,
        max(row.high for row in rows),
        min(row.low for row in rows),
        rows[-1].close,
        math.fsum(row.volume for row in rows),
    )
