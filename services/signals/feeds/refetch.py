"""The candles of a past day, asked for once more: what a feed would say of them today."""

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from services.signals.candles import CandleBatch
from services.signals.config import Settings
from services.signals.errors import FeedError
from services.signals.feeds.batching import Batching
from services.signals.feeds.clock import Clock, SystemClock
from services.signals.feeds.csv_files import Recording, read_directory
from services.signals.feeds.plan import Plan
from services.signals.feeds.replay import chosen_directory

if TYPE_CHECKING:
    from services.signals.feeds.exchange import Client


class DayOfCandles(NamedTuple):
    """The batches that close within a UTC day, in order, and the tickers of which there are none."""

    batches: tuple[CandleBatch, ...]
    missing: tuple[str, ...]


def candles_of_day(
    settings: Settings,
    day: date,
    tickers: Collection[str],
    *,
    each: Callable[[], None] = lambda: None,
    clients: "Callable[[str], Client] | None" = None,
    clock: Clock | None = None,
) -> DayOfCandles:
    """The candles of some tickers that close in a UTC day: from its first moment on, before the next day's.

    In all timeframes that the feed of the settings releases, longer ones made as it makes them. About a
    request for each ticker, slower than the exchanges' rate limits want. `each` is called every few seconds
    and after every ticker; what it raises ends the work.

    Raises FeedError where the feed can't be read at all.
    """
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if settings.exchanges:
        from services.signals.feeds.asking import Asking  # noqa: PLC0415 - a replay needs no ccxt

        plan = Plan.of(settings)
        asking = Asking(plan, begin, clients=clients, clock=clock or SystemClock(), each=each)
        found = asyncio.run(asking.all_of(tickers))
        batches = Batching(plan.base, plan.made).batches(sorted(found.items()))
    else:
        wanted = frozenset(tickers)
        batches = (
            batch.take(np.flatnonzero([ticker in wanted for ticker in batch.tickers]))
            for batch in _recording(settings.feed).batches()
        )
    chosen = tuple(
        batch for batch in batches if len(batch) and begin <= batch.close_time < begin + timedelta(days=1)
    )
    told = {ticker for batch in chosen for ticker in batch.tickers}
    return DayOfCandles(chosen, tuple(sorted(set(tickers) - told)))


def _recording(feed: str) -> Recording:
    """The recording as it lies there now; what the feed refused of it was told when the feed read it."""
    directory = chosen_directory(feed)
    try:
        return read_directory(directory)
    except OSError as error:
        raise FeedError(f"FEED: {directory} cannot be read: {error.strerror}") from None
