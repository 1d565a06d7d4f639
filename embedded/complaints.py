"""What the person at the terminal should see: a broken row of a data file, a package that can't be loaded."""

import contextlib
import logging
import sys
from collections.abc import Iterable, Iterator

from services.signals.algorithms.registry import SetAside

SHOWN = 5
FEED_LOGGER = "services.signals.feeds"


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # structlog hands over its event as a dictionary
        event = record.msg.get("event") if isinstance(record.msg, dict) else record.getMessage()
        self.lines.append(str(event))


@contextlib.contextmanager
def of_the_feed() -> Iterator[None]:
    """Print the feed's warnings of the block behind it: at most `SHOWN`, then how many more there were.

    They are printed too when the block fails, since they say why.
    """
    collector = _Collector()
    logger = logging.getLogger(FEED_LOGGER)
    logger.addHandler(collector)
    try:
        yield
    finally:
        logger.removeHandler(collector)
        shown = collector.lines[:SHOWN]
        if len(collector.lines) > SHOWN:
            shown.append(f"… and {len(collector.lines) - SHOWN} more; they are in the log")
        for line in shown:
            print(f"boritrader: {line}", file=sys.stderr)


def of_algorithms(set_aside: Iterable[SetAside]) -> None:
    """Print of each installed algorithm that can't be loaded why not; all others run."""
    for key, reason in set_aside:
        print(f"boritrader: the algorithm {key} can't be loaded and does not run: {reason}", file=sys.stderr)
