"""Which markets of an exchange are watched: patterns over the names of its spot markets."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self

LEAVE_OUT = "!"


@dataclass(frozen=True)
class Universe:
    """Patterns such as `*/USDT`, `kraken:BTC/*` or `!*UP/USDT`.

    One with an exchange before the colon is for that exchange only. A market is watched when some pattern
    fits and none that leaves out (`!`) does. Upper and lower case are the same.
    """

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Self:
        """The universe of a comma-separated list. Raises ValueError for one that names no market."""
        patterns = [each.strip().upper() for each in text.split(",") if each.strip()]
        wanted = tuple(each for each in patterns if not each.startswith(LEAVE_OUT))
        unwanted = tuple(each.removeprefix(LEAVE_OUT) for each in patterns if each.startswith(LEAVE_OUT))
        if not wanted or any("/" not in each for each in (*wanted, *unwanted)):
            raise ValueError("is no list of patterns such as */USDT,BTC/EUR")
        return cls(wanted, unwanted)

    def holds(self, exchange: str, symbol: str) -> bool:
        """Whether a market of an exchange is watched; `symbol` is `BASE/QUOTE`."""
        names = (symbol.upper(), f"{exchange}:{symbol}".upper())
        return _fits(names, self.wanted) and not _fits(names, self.unwanted)


def _fits(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
