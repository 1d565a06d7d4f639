"""The way of a feed's batches out: stored with the feed's position, one after the other.

A batch becomes an outbox row in the transaction that moves the feed's position, so a killed process has
released it or it has not. The next one is stored only when the one before has gone out, so nobody sees two
of them in another order.
"""

import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from prometheus_client import Counter

from services.signals.candles import CandleBatch
from services.signals.repository import feeds
from services.signals.repository.feeds import FeedState
from shared.contracts.signals import CandlesClosedV1
from shared.db import outbox
from shared.db.engine import Database
from shared.process import Beat

TICKER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,39}")
"""A name that a batch can carry."""
SHORTEST_WAIT = 0.002
LONGEST_WAIT = 0.05
BEAT_EVERY = 1.0

BATCHES = Counter("signals_feed_batches", "Closes that the feed has released.", ["feed"])


class Outlet:
    """Where a feed's batches leave; `state` is where the feed stands.

    `recorded` says of every batch whether it is a replay of recorded data; `now` what time it is outside of
    one: when a batch is released.
    """

    def __init__(
        self,
        feed: str,
        database: Database,
        *,
        recorded: bool,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.feed = feed
        self.state = FeedState(0, None, None, None)
        self._recorded = recorded
        self._database = database
        self._now = now

    def open(self, kind: str, source: str) -> FeedState:
        """Take the feed into use, where it stood last; a new one stands at its beginning."""
        with self._database.transaction() as session:
            self.state = feeds.open_feed(session, self.feed, kind, source)
        return self.state

    def release(self, batch: CandleBatch) -> None:
        """Store a batch as the next one.

        Raises RuntimeError when another process has sent one of this feed meanwhile.
        """
        sequence = self.state.sequence + 1
        columns = [tuple(column.tolist()) for column in batch.columns]
        event = CandlesClosedV1.model_validate(
            {
                "feed": self.feed,
                "sequence": sequence,
                "timeframe": batch.timeframe,
                "close_time": batch.close_time,
                "released_at": self._now(),
                "recorded": self._recorded,
                "tickers": batch.tickers,
                **dict(zip(("open", "high", "low", "close", "volume"), columns, strict=True)),
            }
        )
        with self._database.transaction() as session:
            envelope = outbox.add(session, event, aggregate_id=self.feed, aggregate_version=sequence)
            state = FeedState(sequence, batch.timeframe, batch.close_time, envelope.id)
            if not feeds.advance(session, self.feed, state, len(batch)):
                raise RuntimeError(f"another process sends the feed {self.feed} too")
        self.state = state
        BATCHES.labels(self.feed).inc()

    def await_published(self, stop: threading.Event, beat: Beat) -> bool:
        """Wait until the last batch has gone out; False when asked to stop."""
        if self.state.outbox_id is None:
            return not stop.is_set()
        pause, beaten = SHORTEST_WAIT, time.monotonic()
        while not stop.is_set():
            with self._database.read() as connection:
                if feeds.is_published(connection, self.state.outbox_id):
                    return True
            if time.monotonic() - beaten > BEAT_EVERY:
                beat()
                beaten = time.monotonic()
            stop.wait(pause)
            pause = min(LONGEST_WAIT, pause * 1.5)
        return False
