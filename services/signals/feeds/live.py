"""The live feed: closed candles of any number of exchanges, merged into one batch per timeframe and close.

All exchanges are asked side by side in one asyncio loop. A close is released as soon as every ticker has
answered, at the latest when the cycle's deadline is over: whoever was not there by then follows in a batch
of its own. New tickers, and those that have fallen far behind, are caught up with apart (backfill.py). A
ticker's candles leave in the order of time, but for one that an exchange tells only after a newer one.
"""

import asyncio
import threading
from collections.abc import Callable

from services.signals.candles import CandleBatch
from services.signals.feeds.backfill import Backfill
from services.signals.feeds.batching import Batching
from services.signals.feeds.clock import Clock, News, SystemClock
from services.signals.feeds.exchange import Client, Exchange, public_client
from services.signals.feeds.plan import Plan
from services.signals.feeds.position import Position
from services.signals.feeds.release import Outlet
from services.signals.feeds.rows import Row
from services.signals.feeds.source import GRACE_SECONDS, Source, Track
from services.signals.feeds.standing import Standing
from shared import logs
from shared.db.engine import Database
from shared.process import Beat

KIND = "ccxt"
LOOK_EVERY = 0.2
TOLERATED_FAILURES = 3
"""A close does not wait for a ticker that has failed more often in a row."""

log = logs.logger(__name__)


class LiveFeed:
    """The loop of the feed process for exchanges.

    `clients` gives ccxt's client of an exchange. Raises FeedError at once for an exchange that there is not,
    or that has no candles of the timeframe; one that can't be reached is asked again for ever.
    """

    def __init__(
        self,
        plan: Plan,
        database: Database,
        *,
        clients: Callable[[str], Client] = public_client,
        clock: Clock | None = None,
    ) -> None:
        self.name = "signals-feed"
        self.plan = plan
        self._database = database
        self._clients = clients
        self._clock = clock or SystemClock()
        self.titles = [Exchange(clients(name), plan.base, self._clock).title for name in plan.exchanges]

    @property
    def source(self) -> str:
        """Where the candles come from, as people read it."""
        return f"Live candles from {' and '.join(self.titles)}."

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Release batches until `stop` is set."""
        asyncio.run(self._run(stop, beat))

    async def _run(self, stop: threading.Event, beat: Beat) -> None:
        ending = threading.Event()
        outlet = Outlet(self.plan.feed, self._database, recorded=False)
        exchanges = [
            Exchange(self._clients(name), self.plan.base, self._clock) for name in self.plan.exchanges
        ]
        run = _Run(self.plan, self._database, outlet, exchanges, clock=self._clock, ending=ending)
        work = asyncio.create_task(run.work(self.source))
        try:
            while not stop.is_set() and not work.done():
                beat()
                await asyncio.wait({work}, timeout=LOOK_EVERY)
        finally:
            ending.set()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await asyncio.gather(*(exchange.close() for exchange in exchanges), return_exceptions=True)
        if work.done() and not work.cancelled():
            work.result()


class _Run:
    """One run of the feed, from what is stored."""

    def __init__(
        self,
        plan: Plan,
        database: Database,
        outlet: Outlet,
        exchanges: list[Exchange],
        *,
        clock: Clock,
        ending: threading.Event,
    ) -> None:
        self._plan = plan
        self._database = database
        self._outlet = outlet
        self._clock = clock
        self._ending = ending
        self._batching = Batching(plan.base, plan.made)
        self._door = asyncio.Lock()
        self._news = News(clock)
        self._waiting: dict[str, list[Row]] = {}
        self._since = 0.0
        self._witness: Track | None = None
        self._positions: dict[str, Position] = {}
        self._sources = {
            exchange.name: Source(
                exchange, plan.universe, clock, take=self._take, lost=self._lost, changed=self._changed
            )
            for exchange in exchanges
        }
        self._backfill = Backfill(
            plan, self._sources, self._batching, clock, release=self._release, arrived=self._arrived
        )

    async def work(self, source: str) -> None:
        """Go on where the stored candles end, and never stop."""
        state = await asyncio.to_thread(self._outlet.open, KIND, source)
        owed = await asyncio.to_thread(self._resume)
        log.info("feed goes on", feed=self._plan.feed, sequence=state.sequence, tickers=len(self._positions))
        for batch in owed:
            await self._release(batch)
        async with asyncio.TaskGroup() as group:
            for each in self._sources.values():
                group.create_task(each.run())
                group.create_task(each.keep_universe(self._plan.refresh, self._start, self._backfill.add))
            group.create_task(self._backfill.run())
            group.create_task(self._keep_releasing())

    # Where everybody stands

    def _resume(self) -> list[CandleBatch]:
        """Read how far each ticker is; the batches of longer timeframes that a kill has left out."""
        with self._database.read() as connection:
            self._positions, owed = Standing.read(connection, self._plan, self._batching)
        return owed

    def _start(self, ticker: str, now: float) -> Position:
        """How far a ticker is known; a new one begins with a history."""
        if ticker not in self._positions:
            first = self._plan.first_open(now)
            self._positions[ticker] = Position(first, first)
        return self._positions[ticker]

    # Candles in

    def _take(self, track: Track, rows: list[Row]) -> None:
        if not track.is_live:
            self._backfill.take(track, rows)
            return
        if not self._waiting:
            self._since = self._clock.steady()
        self._waiting.setdefault(track.ticker, []).extend(rows)
        self._news.tell()

    def _arrived(self, track: Track, rows: list[Row]) -> None:
        """A backfill is over; `rows` were told beyond its end."""
        self._sources[track.exchange.name].go_live(track)
        if rows:
            self._take(track, rows)

    def _lost(self, track: Track) -> None:
        self._backfill.add([track])

    def _changed(self) -> None:
        self._news.tell()
        self._backfill.news.tell()

    # Batches out

    async def _keep_releasing(self) -> None:
        """Release what has come whenever it is complete, or its time is over."""
        while True:
            if not self._waiting:
                await self._news.wait()
            elif self._clock.steady() < self._since + self._plan.deadline and self._is_incomplete():
                await self._news.wait(self._since + self._plan.deadline)
            else:
                rows, self._waiting = self._waiting, {}
                for batch in self._batching.batches(sorted(rows.items())):
                    await self._release(batch)

    def _is_incomplete(self) -> bool:
        """Whether some live ticker may still tell a candle of the newest close that is here."""
        close = max(row.open_time for rows in self._waiting.values() for row in rows) + self._plan.step
        # the one that was missing when somebody looked last is mostly missing still
        if self._witness is not None and self._is_missing(self._witness, close):
            return True
        tracks = (track for source in self._sources.values() for track in source.tracks.values())
        self._witness = next((track for track in tracks if self._is_missing(track, close)), None)
        return self._witness is not None

    def _is_missing(self, track: Track, close: int) -> bool:
        exchange = track.exchange
        return (
            track.is_live
            and not track.is_gone
            and track.next_open < close
            and track.asked_at < close + GRACE_SECONDS
            and track.failures <= TOLERATED_FAILURES
            and not exchange.is_down
            and exchange.resume_at <= self._since + self._plan.deadline
        )

    async def _release(self, batch: CandleBatch) -> None:
        async with self._door:
            if await asyncio.to_thread(self._outlet.await_published, self._ending, _nobody):
                await asyncio.to_thread(self._outlet.release, batch)


def _nobody() -> None:
    """The loop beats by itself."""
