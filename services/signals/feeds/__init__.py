"""Market data in, closed candles out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.signals.config import Settings
    from shared.db.engine import Database
    from shared.process import Loop


def loops(settings: "Settings", database: "Database") -> Sequence["Loop"]:
    """The loops of the feed process. Raises FeedError for a FEED that is none or has nothing to read."""
    # imported here: the readers of this package are also used where there is no database
    from services.signals.feeds.replay import ReplayFeed  # noqa: PLC0415

    return [ReplayFeed.of(settings, database)]
