"""The replay feed: recorded candles, released close by close as if they had just happened.

It brings its own clock. A restart goes on behind the last batch that was released.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from prometheus_client import Counter

from services.signals.candles import TIMEFRAMES, CandleBatch
from services.signals.config import Settings, feed_name_of, replay_dir_of
from services.signals.errors import FeedError
from services.signals.feeds.csv_files import Recording, read_directory
from services.signals.feeds.release import BEAT_EVERY, TICKER, Outlet
from services.signals.repository import feeds
from services.signals.repository.feeds import FeedState
from shared import logs
from shared.db.engine import Database
from shared.process import Beat

BANNER_FILE = "banner.txt"
"""A file beside the recordings; its first line says on pages what they are and where they come from."""

log = logs.logger(__name__)
REJECTED = Counter("signals_feed_rejected_rows", "Rows that could not be used.", ["feed"])


@dataclass(frozen=True)
class Pace:
    """How fast closes are released: the first `warmup` at once, then `speed` a second; 0 is at once."""

    speed: float
    warmup: int

    def pause(self, closes: int) -> float:
        """Seconds between the close number `closes` (from 1) and the one before it."""
        return 0.0 if self.speed == 0 or closes <= self.warmup else 1 / self.speed

    def seconds(self, done: int, closes: int) -> float:
        """Seconds from close number `done` (0 before the first) to close number `closes`."""
        return 0.0 if self.speed == 0 else max(0, closes - max(done, self.warmup)) / self.speed


class Rest(NamedTuple):
    """What a recording still holds: closes to come, and how many seconds they take at the pace."""

    closes: int
    seconds: float


class ReplayFeed:
    """The loop of the feed process for recorded data. After the last candle it says so and idles.

    `now` says what time it is outside of the recording: when a batch is released.
    """

    def __init__(
        self,
        name: str,
        recording: Recording,
        database: Database,
        *,
        source: str,
        pace: Pace,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = "signals-feed"
        self._feed = name
        self._recording = recording
        self._source = source
        self._pace = pace
        self._database = database
        self._outlet = Outlet(name, database, recorded=True, now=now)

    @classmethod
    def of(cls, settings: Settings, database: Database, recording: Recording | None = None) -> Self:
        """The feed that the settings name, with its recording unless that was read already.

        Raises FeedError when it is no replay, or nothing is readable.
        """
        recording = recording or recording_of(settings.feed)
        pace = Pace(settings.replay_speed, settings.warmup_closes)
        source = source_of(chosen_directory(settings.feed))
        return cls(settings.feed_name, recording, database, source=source, pace=pace)

    def rest(self) -> Rest:
        """What is still to come from where the feed stands."""
        with self._database.read() as connection:
            last = feeds.last_close(connection, self._feed)
        closes = self._recording.close_times
        done = 0 if last is None else int(np.searchsorted(closes, int(last.timestamp()), side="right"))
        return Rest(len(closes) - done, self._pace.seconds(done, len(closes)))

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Release batches until `stop` is set."""
        outlet = self._outlet
        state = outlet.open("replay", self._source)
        log.info("replay goes on", feed=self._feed, sequence=state.sequence, close_time=state.close_time)
        released = time.monotonic()
        for closes, batch in self._after(state):
            if not outlet.await_published(stop, beat):
                return
            is_next = batch.close_time != outlet.state.close_time
            due = released + self._pace.pause(closes) if is_next else released
            if not _wait_until(due, stop, beat):
                return
            released = max(due, time.monotonic() - self._pace.pause(closes))
            outlet.release(batch)
        if not outlet.await_published(stop, beat):
            return
        with self._database.transaction() as session:
            feeds.end(session, self._feed)
        log.info("replay has ended", feed=self._feed, sequence=outlet.state.sequence)
        while not stop.wait(BEAT_EVERY):
            beat()

    def _after(self, state: FeedState) -> Iterator[tuple[int, CandleBatch]]:
        """The batches behind a position, each with the number of its close among all closes, from 1."""
        closes, before = 0, None
        for batch in self._recording.batches():
            if batch.close_time != before:
                closes, before = closes + 1, batch.close_time
            if not _is_behind(state, batch):
                yield closes, batch


def chosen_directory(feed: str) -> Path:
    """The directory of recordings that a FEED names. Raises FeedError when it names none."""
    directory = replay_dir_of(feed)
    if directory is None:
        raise FeedError(
            f"FEED is {feed!r}; it must be replay:DIR, a directory of TICKER.csv files, or ccxt:EXCHANGE"
        )
    return directory


def recording_of(feed: str) -> Recording:
    """The recording that a FEED names. Raises FeedError when it is no replay, or nothing is readable."""
    return read_recording(chosen_directory(feed), feed_name_of(feed))


def read_recording(directory: Path, feed: str) -> Recording:
    """The recording in a directory; what it lost is logged row by row. Raises FeedError for an empty one."""
    try:
        recording = read_directory(directory)
    except OSError as error:
        raise FeedError(f"FEED: {directory} cannot be read: {error.strerror}") from None
    for row in recording.rejected:
        log.warning(str(row))
    if recording.rejected:
        REJECTED.labels(feed).inc(len(recording.rejected))
        complaint = f"{directory}: {len(recording.rejected)} rows skipped"
        log.warning(complaint, feed=feed)
    named = tuple(each for each in recording.tickers if TICKER.fullmatch(each.ticker))
    for each in recording.tickers:
        if each not in named:
            complaint = f"{directory}: {each.ticker!r} is no name for a ticker, its candles are left out"
            log.warning(complaint)
    if not named:
        raise FeedError(f"FEED: {directory} holds no readable TICKER.csv")
    return Recording(named, recording.rejected)


def source_of(directory: Path) -> str:
    """Where a recording comes from, in the words of its banner, else the directory's name."""
    try:
        lines = (directory / BANNER_FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return lines[0].strip() if lines else directory.resolve().name


def _is_behind(state: FeedState, batch: CandleBatch) -> bool:
    """Whether a batch is the position or comes before it."""
    if state.close_time is None or state.timeframe is None:
        return False
    order = (batch.close_time, TIMEFRAMES[batch.timeframe])
    return order <= (state.close_time, TIMEFRAMES[state.timeframe])


def _wait_until(due: float, stop: threading.Event, beat: Beat) -> bool:
    """Wait for a moment of the monotonic clock; False when asked to stop."""
    while (rest := due - time.monotonic()) > 0:
        beat()
        if stop.wait(min(rest, BEAT_EVERY)):
            return False
    beat()
    return not stop.is_set()
