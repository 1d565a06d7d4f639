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
SLOWLY = 3
"""A request in the time of so many: the live feed asks the same exchange, and its candles come first."""
EACH_SECONDS = 5.0


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
        found: dict[str, list[Row]] = {}
        for ticker in tickers:
            if rows := await self._candles(exchange, ticker.removeprefix(f"{exchange.name}:")):
                found[ticker] = rows
            self._each()
        return found

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
            await self._wait(SLOWLY * exchange.spacing)
            try:
                return await ask()
            except Trouble as trouble:
                if trouble.kind == "symbol":
                    return None
                await self._wait(max(1, exchange.resume_at - self._clock.steady()))
        return None

    async def _wait(self, seconds: float) -> None:
        until = self._clock.steady() + seconds
        while (now := self._clock.steady()) < until:
            await self._clock.sleep_until(min(until, now + EACH_SECONDS))
            self._each()
