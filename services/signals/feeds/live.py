"""The live feed: closed candles of any number of exchanges, merged into one batch per timeframe and close.

All exchanges are asked side by side in one asyncio loop. A close is released as soon as every ticker has
answered, at the latest when the cycle's deadline is over: whoever was not there by then follows in a batch
of its own. New tickers, and those that have fallen far behind, are caught up with apart (backfill.py). A
ticker's candles leave in the order of time, whatever happens.

How far a ticker is say its stored candles, and those released that no runner has stored yet.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from services.signals.candles import CandleBatch
from services.signals.feeds.backfill import Backfill
from services.signals.feeds.batching import Batching
from services.signals.feeds.candle_time import moment, seconds_of
from services.signals.feeds.clock import Clock, News, SystemClock
from services.signals.feeds.exchange import Client, Exchange, public_client
from services.signals.feeds.plan import Plan
from services.signals.feeds.release import Outlet
from services.signals.feeds.rows import Row
from services.signals.feeds.source import GRACE_SECONDS, Source, Track
from services.signals.repository import positions
from services.signals.repository.positions import StoredRow
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
        self._positions: dict[str, datetime] = {}
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
        plan = self._plan
        prefixes = tuple(f"{name}:" for name in plan.exchanges)
        with self._database.read() as connection:
            # read first: what is evaluated meanwhile is found among the stored ones then
            flying: dict[str, dict[str, list[StoredRow]]] = {each: {} for each in (plan.base, *plan.made)}
            for timeframe, row in positions.in_flight(connection):
                if timeframe in flying and row.ticker.startswith(prefixes):
                    flying[timeframe].setdefault(row.ticker, []).append(row)
            self._positions = positions.newest(connection, plan.base, prefixes)
            for ticker, rows in flying[plan.base].items():
                opened = max(row.open_time for row in rows)
                self._positions[ticker] = max(opened, self._positions.get(ticker, opened))
            since = {
                ticker: moment(seconds_of(opened) // plan.grid * plan.grid - plan.grid)
                for ticker, opened in self._positions.items()
                if plan.made
            }

            def released(timeframe: str) -> Iterator[tuple[str, list[Row]]]:
                return _joined(positions.candles_since(connection, timeframe, since), flying[timeframe])

            made = {
                timeframe: {ticker: {row.open_time for row in rows} for ticker, rows in released(timeframe)}
                for timeframe in plan.made
            }
            return list(self._batching.resume(released(plan.base), made))

    def _start(self, ticker: str, now: float) -> int:
        """When the first candle opens that is wanted of a ticker."""
        known = self._positions.get(ticker)
        return self._plan.first_open(now) if known is None else seconds_of(known) + self._plan.step

    # Candles in

    def _take(self, track: Track, rows: list[Row]) -> None:
        self._positions[track.ticker] = moment(rows[-1].open_time)
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
        close = max(rows[-1].open_time for rows in self._waiting.values()) + self._plan.step
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


def _joined(
    stored: Iterable[tuple[str, Sequence[StoredRow]]], flying: Mapping[str, Sequence[StoredRow]]
) -> Iterator[tuple[str, list[Row]]]:
    """The candles of each ticker, oldest first, each once: those that are stored, and those in flight."""
    unseen = dict(flying)
    for ticker, rows in stored:
        yield ticker, _rows((*unseen.pop(ticker, ()), *rows))
    for ticker, rows in unseen.items():
        yield ticker, _rows(rows)


def _rows(known: Iterable[StoredRow]) -> list[Row]:
    rows = {each.open_time: Row(seconds_of(each.open_time), *each[2:]) for each in known}
    return [rows[opened] for opened in sorted(rows)]


def _nobody() -> None:
    """The loop beats by itself."""
