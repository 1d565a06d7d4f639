"""The tickers of one exchange and the order in which it is asked for them.

Every ticker is either due at some time, or being asked for, or resting until a backfill wants more of it.
Live ones go first. A few requests run at once; ccxt's own limiter spaces them as the exchange wants it.
"""

import asyncio
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from services.signals.candles import Refusal
from services.signals.feeds import telling
from services.signals.feeds.clock import Clock, News
from services.signals.feeds.exchange import Exchange, Trouble
from services.signals.feeds.position import Position
from services.signals.feeds.release import TICKER
from services.signals.feeds.rows import MILLISECONDS, Row
from services.signals.feeds.universe import Universe
from shared import logs

AT_ONCE = 8
SETTLE_SECONDS = 1.0
"""Between a close and the first request for it: trades of the last moment still go into the candle."""
GRACE_SECONDS = 10.0
"""So long after a close an exchange that answers without the candle has none: nothing was traded."""
POLLS = 5
"""So often a ticker is asked for again that answers without the candle: after 3, 9, 27 … seconds."""
REACH = 100
"""A live ticker that lacks more candles than this is caught up with apart from the others."""
LONGEST_PAUSE = 300.0
NAMED_AT_MOST = 10

log = logs.logger(__name__)


@dataclass(eq=False)
class Track:
    """One ticker, and how far it is known.

    `until` is the close up to which a backfill wants it; None is a live one, wanted for ever. `asked_at` is
    when it was asked for last and answered, by the exchange's clock.
    """

    ticker: str
    symbol: str
    exchange: Exchange
    position: Position
    until: int | None = None
    is_live: bool = False
    is_gone: bool = False
    not_before: float = 0.0
    asked_at: float = 0.0
    empty: int = 0
    failures: int = 0
    place: int = -1
    """Its entry in the order of asking; an older entry of it counts for nothing."""

    @property
    def next_open(self) -> int:
        """When the candle opens that is wanted next."""
        return self.position.next_open

    @property
    def is_wanting(self) -> bool:
        """Whether a backfill wants more of it."""
        return not self.is_gone and self.until is not None and self.next_open < self.until


Take = Callable[[Track, list[Row]], None]
_places = count()


@dataclass
class _Due:
    """Tracks by the moment they are due, soonest first."""

    heap: list[tuple[float, int, Track]] = field(default_factory=list)

    def push(self, due: float, track: Track) -> None:
        track.place = next(_places)
        heapq.heappush(self.heap, (due, track.place, track))

    def pop(self, now: float) -> Track | None:
        if self.heap and (due := self.soonest) is not None and due <= now:
            return heapq.heappop(self.heap)[2]
        return None

    @property
    def soonest(self) -> float | None:
        while self.heap and (self.heap[0][2].is_gone or self.heap[0][2].place != self.heap[0][1]):
            heapq.heappop(self.heap)
        return self.heap[0][0] if self.heap else None


class Source:
    """One exchange in a feed. `take` gets every candle, `lost` a live ticker that has fallen far behind."""

    def __init__(
        self,
        exchange: Exchange,
        universe: Universe,
        clock: Clock,
        *,
        take: Take,
        lost: Callable[[Track], None],
        changed: Callable[[], None],
    ) -> None:
        self.exchange = exchange
        self.tracks: dict[str, Track] = {}
        self.is_settled = False
        """Whether its markets have been asked for once, in vain or not."""
        self._universe = universe
        self._clock = clock
        self._take = take
        self._lost = lost
        self._changed = changed
        self._live, self._history = _Due(), _Due()
        self._news = News(clock)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._misnamed: set[str] = set()

    # What is watched

    async def keep_universe(
        self, every: float, start: Callable[[str, float], Position], found: Callable[[list[Track]], None]
    ) -> None:
        """Find the markets, and look again every so many seconds; `start` says how far a ticker is known."""
        while True:
            try:
                symbols = await self.exchange.markets()
            except Trouble as trouble:
                log.warning("exchange tells no markets", exchange=self.exchange.name, error=str(trouble))
                again = max(self._clock.steady() + 1, self.exchange.resume_at)
            else:
                found(self._renew(symbols, start))
                again = self._clock.steady() + every
            self.is_settled = True
            self._news.tell()
            self._changed()
            await self._clock.sleep_until(again)

    def _renew(self, symbols: list[str], start: Callable[[str, float], Position]) -> list[Track]:
        """Take a list of markets; the tracks that are new."""
        name = self.exchange.name
        wanted = {f"{name}:{symbol}": symbol for symbol in symbols if self._universe.holds(name, symbol)}
        if not wanted:
            log.error("no market fits UNIVERSE", exchange=name, markets=len(symbols))
        for ticker in [each for each in wanted if not TICKER.fullmatch(each)]:
            if ticker not in self._misnamed:
                self._misnamed.add(ticker)
                log.warning("market left out: its name makes no ticker", exchange=name, market=wanted[ticker])
            del wanted[ticker]
        gone = [ticker for ticker in self.tracks if ticker not in wanted]
        for ticker in gone:
            self.tracks.pop(ticker).is_gone = True
        new = [
            Track(ticker, symbol, self.exchange, start(ticker, self.exchange.now()))
            for ticker, symbol in wanted.items()
            if ticker not in self.tracks
        ]
        self.tracks.update((track.ticker, track) for track in new)
        telling.TICKERS.labels(name).set(len(self.tracks))
        if gone:
            log.info("markets are gone", exchange=name, count=len(gone), tickers=gone[:NAMED_AT_MOST])
        if new:
            names = [track.ticker for track in new[:NAMED_AT_MOST]]
            log.info("markets found", exchange=name, count=len(new), tickers=names)
        return new

    # Asking

    def go_live(self, track: Track) -> None:
        """Ask for a ticker at each of its closes from now on."""
        track.until, track.is_live = None, True
        self._live.push(self._clock.steady() + self._to_next_close(track), track)
        self._news.tell()

    def backfill(self, track: Track, until: int) -> None:
        """Ask for a ticker's candles up to a close."""
        track.until = until
        if track.is_wanting:
            self._history.push(self._clock.steady(), track)
            self._news.tell()

    def rest(self, track: Track) -> None:
        """Ask no more for a ticker."""
        track.until, track.is_live, track.place = None, False, -1

    async def run(self) -> None:
        """Ask for whatever is due, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                steady = self._clock.steady()
                if steady < self.exchange.resume_at:
                    await self._clock.sleep_until(self.exchange.resume_at)
                elif self.exchange.is_down:
                    await self._probe()
                elif track := self._live.pop(steady) or self._history.pop(steady):
                    await self._slots.acquire()
                    group.create_task(self._ask(track))
                else:
                    due = [each for each in (self._live.soonest, self._history.soonest) if each is not None]
                    await self._news.wait(min(due) if due else None)

    async def _probe(self) -> None:
        try:
            await self.exchange.probe()
        except Trouble as trouble:
            log.info("exchange is still down", exchange=self.exchange.name, error=str(trouble))
        self._changed()

    async def _ask(self, track: Track) -> None:
        exchange = self.exchange
        asked_at, step = exchange.now(), exchange.step
        end = int(asked_at) if track.until is None else track.until
        since = track.position.since(step)
        limit = min(exchange.page, max(1, (end - since) // step + 2))
        try:
            rows = await exchange.candles(track.symbol, since, limit)
        except Trouble as trouble:
            self._failed(track, trouble)
        else:
            self._answered(track, rows, asked_at, since + limit * step)
        finally:
            self._slots.release()
            self._news.tell()
            self._changed()

    def _answered(self, track: Track, rows: list[Row], asked_at: float, asked_to: int) -> None:
        """Take the candles that were not known; those were asked for that open before `asked_to`."""
        track.asked_at, track.failures = asked_at, 0
        if track.is_gone:
            return
        before = track.next_open
        repeated = [
            (Refusal.REPEATED_WITH_OTHER_VALUES, row.open_time * MILLISECONDS)
            for row in track.position.changed(rows)
        ]
        self.exchange.tell_refused(track.symbol, repeated)
        if unknown := track.position.unknown(rows):
            track.position.note(unknown, self.exchange.step)
            self._take(track, unknown)
        is_further = track.next_open > before
        if is_further:
            telling.LAST_CLOSE.labels(self.exchange.name).set(track.next_open)
        if track.until is not None:
            if not is_further:  # nothing was traded in all that time, or the exchange keeps no candles so old
                track.position.next_open = min(track.until, asked_to)
            if track.is_wanting:
                self._history.push(self._clock.steady(), track)
            return
        if not track.is_live:
            return
        track.empty = 0 if is_further else track.empty + 1
        if is_further and (self.exchange.now() - track.next_open) // self.exchange.step > REACH:
            self.rest(track)
            self._lost(track)
            return
        wait = self._to_next_close(track)
        if not is_further and wait <= 0:
            following = self.exchange.step - self.exchange.now() % self.exchange.step + SETTLE_SECONDS
            wait = min(following, 3.0**track.empty) if track.empty <= POLLS else following
        self._live.push(self._clock.steady() + wait, track)

    def _failed(self, track: Track, trouble: Trouble) -> None:
        if track.is_gone:
            return
        track.failures += 1
        log.info(
            "no candles", ticker=track.ticker, kind=trouble.kind, error=str(trouble), tries=track.failures
        )
        pause = min(LONGEST_PAUSE, 2.0**track.failures) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        due = max(self._clock.steady() + pause, self.exchange.resume_at)
        if track.is_live:
            self._live.push(due, track)
        elif track.is_wanting:
            self._history.push(due, track)

    def _to_next_close(self, track: Track) -> float:
        """Seconds until the candle that is wanted next can be asked for; not above 0 when it can."""
        return track.next_open + self.exchange.step + SETTLE_SECONDS - self.exchange.now()
