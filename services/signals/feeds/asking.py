"""Requests for the candles of a past day."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from services.signals.feeds.candle_time import seconds_of
from services.signals.feeds.clock import Clock
from services.signals.feeds.exchange import Client, Exchange, Trouble, public_client
from services.signals.feeds.plan import Plan
from services.signals.feeds.rows import Row

Answer = TypeVar("Answer")
TRIES = 5
AT_ONCE = 4


class Asking:
    """The requests for one day."""

    def __init__(
        self,
        plan: Plan,
        begin: datetime,
        *,
        clients: Callable[[str], Client] | None,
        clock: Clock,
        each: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._clients = clients or public_client
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
