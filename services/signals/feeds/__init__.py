"""Market data in, closed candles out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import date

    from services.signals.config import Settings
    from services.signals.feeds.csv_files import Recording
    from services.signals.feeds.live import LiveFeed
    from services.signals.feeds.replay import ReplayFeed
    from services.signals.ledger.repaint import RepaintJob
    from shared.db.engine import Database
    from shared.process import Loop


def feed_of(
    settings: "Settings", database: "Database", recording: "Recording | None" = None
) -> "ReplayFeed | LiveFeed":
    """The feed that the settings name, with its recording if that was read already.

    Raises FeedError for one that is none or has nothing to give.
    """
    # imported here: the readers of this package are also used where there is no database, and ccxt takes
    # seconds to load
    if settings.exchanges:
        from services.signals.feeds.live import LiveFeed  # noqa: PLC0415
        from services.signals.feeds.plan import Plan  # noqa: PLC0415

        return LiveFeed(Plan.of(settings), database)
    from services.signals.feeds.replay import ReplayFeed  # noqa: PLC0415

    return ReplayFeed.of(settings, database, recording)


def loops(settings: "Settings", database: "Database") -> "list[Loop]":
    """The loops of the feed process: the feed, and the check of each past day.

    Raises FeedError for a FEED that is none or has nothing to give, LineupError as `Lineup.of` does.
    """
    return [feed_of(settings, database), repaint_job_of(settings, database)]


def repaint_job_of(settings: "Settings", database: "Database") -> "RepaintJob":
    """The loop that evaluates each past day again with candles that the feed fetches again."""
    from services.signals.feeds.refetch import DayOfCandles, candles_of_day  # noqa: PLC0415
    from services.signals.ledger.repaint import RepaintJob  # noqa: PLC0415
    from services.signals.lineup import Lineup  # noqa: PLC0415

    def refetch(day: "date", tickers: "Collection[str]", each: "Callable[[], None]") -> DayOfCandles:
        return candles_of_day(settings, day, tickers, each=each)

    return RepaintJob(database, Lineup.of(settings).algorithms, refetch)


def require_exchanges(names: "Sequence[str]") -> None:
    """Raise FeedError unless ccxt knows all these exchanges; it asks none of them."""
    from services.signals.feeds.exchange import public_client  # noqa: PLC0415

    for name in names:
        public_client(name)
