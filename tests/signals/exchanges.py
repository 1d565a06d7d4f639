"""A live feed in a test: local exchanges, a clock that moves when it is told to, and what was released."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

from services.signals.feeds.exchange import public_client
from services.signals.feeds.live import LiveFeed
from services.signals.feeds.plan import Plan
from services.signals.feeds.universe import Universe
from shared.db.engine import Database
from tests.signals.closing import events
from tests.signals.local_market import PATIENCE, wait_until
from tests.support.exchange_server import ExchangeServer

START = 1_700_006_400
"""2023-11-15 00:00 UTC: on the grid of every timeframe."""
HOUR = 3600


class HandClock:
    """A clock that stands still until it is moved on."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._sleepers: dict[asyncio.Future[None], float] = {}

    def now(self) -> float:
        return self._now

    def steady(self) -> float:
        return self._now

    async def sleep_until(self, moment: float) -> None:
        waking = asyncio.get_running_loop().create_future()
        with self._lock:
            if moment <= self._now:
                waking.set_result(None)
            self._sleepers[waking] = moment
        try:
            await waking
            await asyncio.sleep(0)
        finally:
            with self._lock:
                del self._sleepers[waking]

    def move_to(self, moment: float) -> None:
        with self._lock:
            self._now = max(self._now, moment)
            due = [waking for waking, when in self._sleepers.items() if when <= self._now]
        for waking in due:
            waking.get_loop().call_soon_threadsafe(_wake, waking)

    def move(self, seconds: float) -> None:
        self.move_to(self._now + seconds)


def _wake(waking: asyncio.Future[None]) -> None:
    if not waking.done():
        waking.set_result(None)


def hours_of(time: str) -> int:
    """Whole hours between START and a time of an event."""
    return int(datetime.fromisoformat(time).timestamp() - START) // HOUR


def quick(client: Any) -> Any:
    """A client without its pauses between requests, which would be real ones."""
    client.rateLimit, client.tokenBucket = 0.01, None
    client.init_rest_rate_limiter()
    client.timeout_on_exit = 0
    return client


class Stage:
    """Local exchanges by the name under which ccxt knows them, and a live feed that asks them."""

    def __init__(self, database: Database, clock: HandClock, servers: dict[str, ExchangeServer]) -> None:
        self.database = database
        self.clock = clock
        self.servers = servers
        self.timeout_ms = 5000

    def client(self, name: str) -> Any:
        client = quick(self.servers[name].point(public_client(name)))
        client.timeout = self.timeout_ms
        client.features["spot"]["fetchOHLCV"]["limit"] = self.servers[name].rows
        return client

    def feed(self, **chosen: Any) -> LiveFeed:
        """The feed of all servers; hourly candles and no history unless chosen otherwise.

        With a refresh the clocks are compared anew, and wrongly while this one is being moved on.
        """
        values = {
            "feed": "test",
            "exchanges": tuple(self.servers),
            "universe": Universe.of("*/USDT"),
            "base": "1h",
            "made": (),
            "deadline": 30.0,
            "refresh": 24.0 * HOUR,
            "history": 2,
            **chosen,
        }
        return LiveFeed(Plan(**values), self.database, clients=self.client, clock=self.clock)

    def released(self) -> list[tuple[str, int, tuple[str, ...]]]:
        """Timeframe, close (in hours after START) and tickers of each batch, in order of release."""
        return [
            (each["timeframe"], hours_of(each["close_time"]), tuple(each["tickers"]))
            for each in events(self.database, "market.candles_closed.v1")
        ]

    def wait_for(self, *batches: tuple[str, int, tuple[str, ...]]) -> None:
        """Wait until exactly these batches have been released; the clock stands still."""
        wait_until(lambda: len(self.released()) >= len(batches), f"{len(batches)} batches")
        assert self.released() == list(batches)

    def move_until(self, met: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Let time pass, a second at a time, until a condition is met.

        Not faster than exchanges answer, or a deadline of this clock would be over before the first answer.
        """

        def moved() -> bool:
            if met():
                return True
            self.clock.move(1)
            return False

        wait_until(moved, what, patience, pause=0.03)


@contextmanager
def staged(url: str, now: int, **markets: Sequence[str]) -> Iterator[Stage]:
    """A stage at a moment, with the markets of each exchange; its servers are closed with the block."""
    clock = HandClock(now)
    with ExitStack() as parts:
        servers = {name: ExchangeServer(name, clock.now, tuple(each)) for name, each in markets.items()}
        for server in servers.values():
            parts.callback(server.close)
        database = Database(url, application_name="test", pool_size=10)
        parts.callback(database.dispose)
        yield Stage(database, clock, servers)
