"""Catching up: the history of new tickers, and what was missed while we or an exchange were away.

Tickers are caught up with together, a window of closes after the other, so that every close of the past is
one batch, oldest first. A ticker or an exchange that fails is left behind, and taken up with the next ones.
"""

import random
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from services.signals.candles import CandleBatch
from services.signals.feeds import telling
from services.signals.feeds.batching import Batching
from services.signals.feeds.clock import Clock, News
from services.signals.feeds.plan import Plan
from services.signals.feeds.rows import PackedRows, Row, pack, unpack
from services.signals.feeds.source import GRACE_SECONDS, Source, Track
from shared import logs

TELL_EVERY = 5.0
TRIES = 5
COME_BACK_SECONDS = 60.0

log = logs.logger(__name__)


class Backfill:
    """The tickers that are behind. `arrived` gets each that is not any more, with rows beyond its end."""

    def __init__(
        self,
        plan: Plan,
        sources: Mapping[str, Source],
        batching: Batching,
        clock: Clock,
        *,
        release: Callable[[CandleBatch], Awaitable[None]],
        arrived: Callable[[Track, list[Row]], None],
    ) -> None:
        self.news = News(clock)
        self._plan = plan
        self._sources = sources
        self._batching = batching
        self._clock = clock
        self._release = release
        self._arrived = arrived
        self._candidates: dict[str, Track] = {}
        self._rows: dict[str, list[PackedRows]] = {}
        self._began = clock.steady()
        self._told = clock.steady()

    def add(self, tracks: Iterable[Track]) -> None:
        """Catch up with these."""
        for track in tracks:
            self._candidates[track.ticker] = track
        self.news.tell()

    def take(self, track: Track, rows: list[Row]) -> None:
        """Candles of a ticker that is being caught up with."""
        self._rows.setdefault(track.ticker, []).append(pack(rows))

    async def run(self) -> None:
        """Catch up with whatever is behind, for ever."""
        while True:
            steady = self._clock.steady()
            first_look = self._began + self._plan.deadline
            if steady < first_look and not all(each.is_settled for each in self._sources.values()):
                await self.news.wait(first_look)
                continue
            self._candidates = {name: each for name, each in self._candidates.items() if not each.is_gone}
            ready = [
                track
                for track in self._candidates.values()
                if track.not_before <= steady and not track.exchange.is_down
            ]
            if not ready:
                later = [each.not_before for each in self._candidates.values() if each.not_before > steady]
                await self.news.wait(min(later) if later else None)
                continue
            for track in ready:
                del self._candidates[track.ticker]
            await self._catch_up(ready)

    async def _catch_up(self, tracks: list[Track]) -> None:
        step = self._plan.step
        ends = {track.ticker: track.exchange.last_close(GRACE_SECONDS) for track in tracks}
        begins = {track.ticker: track.next_open for track in tracks}
        target = max(ends.values())
        total = sum(max(0, ends[each] - begins[each]) // step for each in ends)
        close = min(begins.values())
        if total:
            log.info("backfill begins", feed=self._plan.feed, tickers=len(tracks), candles=total)
        telling.BACKFILL.labels(self._plan.feed, "total").set(total)
        telling.BACKFILL.labels(self._plan.feed, "done").set(0)
        while close < target:
            close = min(close + self._plan.window * step, target)
            for track in tracks:
                self._sources[track.exchange.name].backfill(track, min(close, ends[track.ticker]))
            while any(track.is_wanting for track in tracks):
                tracks = self._without_the_sick(tracks)
                if self._is_time_to_tell():
                    self._tell(tracks, begins, ends, total)
                if any(track.is_wanting for track in tracks):
                    await self.news.wait(self._clock.steady() + TELL_EVERY)
            await self._release_to(close, total)
        telling.BACKFILL.labels(self._plan.feed, "done").set(total)
        if total:
            log.info("backfill is done", feed=self._plan.feed, tickers=len(tracks), candles=total)
        for track in tracks:
            rest = self._rows.pop(track.ticker, None)
            if not track.is_gone:
                self._arrived(track, unpack(rest) if rest else [])

    def _without_the_sick(self, tracks: list[Track]) -> list[Track]:
        """Leave behind those that can't be waited for; they are taken up again later."""
        kept = []
        for track in tracks:
            if track.is_gone:
                continue
            if track.is_wanting and (track.exchange.is_down or track.failures >= TRIES):
                self._sources[track.exchange.name].rest(track)
                pause = COME_BACK_SECONDS if track.failures >= TRIES else 0.0
                track.not_before = self._clock.steady() + pause * random.uniform(1, 2)  # noqa: S311 - jitter
                track.failures = 0
                self._candidates[track.ticker] = track
            else:
                kept.append(track)
        return kept

    async def _release_to(self, close: int, total: int) -> None:
        """Release the candles of the window that ends with a close."""
        batches = self._batching.batches(self._window(close))
        for released, batch in enumerate(batches, start=1):
            await self._release(batch)
            if self._is_time_to_tell():
                log.info("backfill goes out", batches=released, close_time=batch.close_time, candles=total)

    def _window(self, close: int) -> Iterator[tuple[str, list[Row]]]:
        """Take out, ticker by ticker, the candles that close by then."""
        for ticker in sorted(self._rows):
            rows = sorted(unpack(self._rows.pop(ticker)))
            size = bisect_right(rows, close - self._plan.step, key=lambda row: row.open_time)
            if rest := rows[size:]:
                self._rows[ticker] = [pack(rest)]
            if size:
                yield ticker, rows[:size]

    def _tell(
        self, tracks: list[Track], begins: Mapping[str, int], ends: Mapping[str, int], total: int
    ) -> None:
        gone = total - sum(
            max(0, ends[each.ticker] - begins[each.ticker]) // self._plan.step for each in tracks
        )
        missing = sum(max(0, ends[each.ticker] - each.next_open) // self._plan.step for each in tracks)
        done = total - gone - missing
        telling.BACKFILL.labels(self._plan.feed, "done").set(done)
        log.info("backfill", feed=self._plan.feed, done=done, total=total, tickers=len(tracks))

    def _is_time_to_tell(self) -> bool:
        steady = self._clock.steady()
        if steady - self._told < TELL_EVERY:
            return False
        self._told = steady
        return True
