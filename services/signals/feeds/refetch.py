"""The candles of a past day, asked for once more: what a feed would say of them today."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from services.signals.candles import CandleBatch
from services.signals.config import Settings
from services.signals.feeds.batching import Batching
from services.signals.feeds.candle_time import seconds_of
from services.signals.feeds.clock import Clock, SystemClock
from services.signals.feeds.exchange import Client, Exchange, Trouble, public_client
from services.signals.feeds.plan import Plan
from services.signals.feeds.replay import recording_of
from services.signals.feeds.rows import Row

Answer = TypeVar("Answer")
TRIES = 5
AT_ONCE = 4


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
    clients: Callable[[str], Client] = public_client,
    clock: Clock | None = None,
) -> DayOfCandles:
    """The candles of some tickers that close in a UTC day: from its first moment on, before the next day's.

    In all timeframes that the feed of the settings releases, longer ones made as it makes them. Takes as long
    as the exchanges' rate limits want: about a request for each ticker. `each` is called after every ticker;
    what it raises ends the work.

    Raises FeedError where the feed can't be read at all.
    """
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if settings.exchanges:
        plan = Plan.of(settings)
        asking = _Asking(plan, begin, clients=clients, clock=clock or SystemClock(), each=each)
        found = asyncio.run(asking.all_of(tickers))
        batches = Batching(plan.base, plan.made).batches(sorted(found.items()))
    else:
        wanted = frozenset(tickers)
        batches = (
            batch.take(np.flatnonzero([ticker in wanted for ticker in batch.tickers]))
            for batch in recording_of(settings.feed).batches()
        )
    chosen = tuple(
        batch for batch in batches if len(batch) and begin <= batch.close_time < begin + timedelta(days=1)
    )
    told = {ticker for batch in chosen for ticker in batch.tickers}
    return DayOfCandles(chosen, tuple(sorted(set(tickers) - told)))


class _Asking:
    """The requests for one day."""

    def __init__(
        self,
        plan: Plan,
        begin: datetime,
        *,
        clients: Callable[[str], Client],
        clock: Clock,
        each: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._clients = clients
        self._clock = clock
        self._each = each
        # the longest candle that closes as the day begins opened so long before
        self._since = seconds_of(begin) - plan.grid
        self._until = seconds_of(begin + timedelta(days=1))

    async def all_of(self, tickers: Iterable[str]) -> dict[str, list[Row]]:
        """The candles of the base by ticker. Raises FeedError where an exchange is unknown."""
        exchanges = {
            name: Exchange(self._clients(name), self._plan.base, self._clock) for name in self._plan.exchanges
        }
        try:
            told = await asyncio.gather(
                *(
                    self._of_exchange(exchange, [each for each in tickers if each.startswith(f"{name}:")])
                    for name, exchange in exchanges.items()
                )
            )
        finally:
            await asyncio.gather(*(exchange.close() for exchange in exchanges.values()))
        return {ticker: rows for found in told for ticker, rows in found.items()}

    async def _of_exchange(self, exchange: Exchange, tickers: list[str]) -> dict[str, list[Row]]:
        if not tickers or await self._patiently(exchange, exchange.markets) is None:
            return {}
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(ticker: str) -> tuple[str, list[Row]]:
            async with slots:
                rows = await self._candles(exchange, ticker.removeprefix(f"{exchange.name}:"))
            self._each()
            return ticker, rows

        found = await asyncio.gather(*map(one, tickers))
        return {ticker: rows for ticker, rows in found if rows}

    async def _candles(self, exchange: Exchange, symbol: str) -> list[Row]:
        rows: list[Row] = []
        since, step = self._since, self._plan.step
        while since < self._until:
            limit = min(exchange.page, (self._until - since) // step + 1)
            page = await self._patiently(exchange, partial(exchange.candles, symbol, since, limit))
            if page is None:
                return []  # half of a day would pass for one with gaps
            rows += [row for row in page if row.open_time + step < self._until]
            since = page[-1].open_time + step if page else since + limit * step
        return rows

    async def _patiently(self, exchange: Exchange, ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """The answer, after a few tries; None when there is none."""
        for _ in range(TRIES):
            try:
                return await ask()
            except Trouble as trouble:
                if trouble.kind == "symbol":
                    return None
                await self._clock.sleep_until(max(self._clock.steady() + 1, exchange.resume_at))
        return None
