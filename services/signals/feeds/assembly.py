"""Candles of a longer timeframe, made from those of a shorter one."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.signals.candles import TIMEFRAMES, Candle, value_refusal
from services.signals.feeds.candle_time import moment
from services.signals.feeds.rows import Row


@dataclass
class _Group:
    """The rows so far of the candle that opens at `opened`."""

    opened: int = -1
    rows: list[Row] = field(default_factory=list)

    def whole(self) -> Row:
        """The candle of all rows. Its volume is the exact sum, rounded once (math.fsum)."""
        first, last = self.rows[0], self.rows[-1]
        return Row(
            self.opened,
            first.open,
            max(row.high for row in self.rows),
            min(row.low for row in self.rows),
            last.close,
            math.fsum(row.volume for row in self.rows),
        )


class Assembly:
    """Makes the candles of longer timeframes of one ticker, only from complete groups aligned to UTC.

    A row that breaks a rule of candles is none: the group that lacks it gives no candle.
    """

    def __init__(self, base: str, made: Iterable[str]) -> None:
        self._step = TIMEFRAMES[base]
        self._groups = {timeframe: _Group() for timeframe in made}

    def add(self, rows: Iterable[Row]) -> Mapping[str, list[Row]]:
        """Take the next rows, oldest first; the candles that they complete, by timeframe."""
        complete: dict[str, list[Row]] = {timeframe: [] for timeframe in self._groups}
        sound = [row for row in rows if value_refusal(Candle("", moment(row.open_time), *row[1:])) is None]
        for timeframe, group in self._groups.items():
            length = TIMEFRAMES[timeframe]
            for row in sound:
                opened = row.open_time - row.open_time % length
                if opened != group.opened:
                    group.opened, group.rows = opened, []
                group.rows.append(row)
                if len(group.rows) * self._step == length:
                    complete[timeframe].append(group.whole())
        return complete
