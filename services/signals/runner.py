"""The runner: closed candles in, views and their ledger out, one process for each shard of the tickers."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from prometheus_client import Counter, Histogram
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from services.signals import service
from services.signals.config import Settings
from services.signals.evaluation import Evaluation, Shard
from services.signals.lineup import Lineup
from shared import logs
from shared.bus import Bus, Handler, Queue, Subscription
from shared.contracts.envelope import Envelope, Event
from shared.contracts.signals import CandlesClosedV1
from shared.db.engine import Database
from shared.process import Beat, Loop

LOCK_SPACE = 0x5349474E
"""First half of the advisory locks that say which process owns a shard; the second is the shard."""
LOCK_CHECK_SECONDS = 2.0
REFUSED_SHOWN = 5

log = logs.logger(__name__)

CANDLES = Counter("signals_candles", "Candles that came in, by what became of them.", ["outcome"])
CLOSE_SECONDS = Histogram("signals_close_seconds", "Time from a batch to its stored views.", ["timeframe"])
REBUILDS = Counter("signals_rebuilds", "Times the state was rebuilt from stored candles.")
SET_ASIDE = Counter("signals_set_aside", "Steps in which an algorithm failed.", ["algorithm"])


class Runner:
    """The state of one shard between messages, and what it does with each.

    State in memory follows the committed transaction: from the first step until the commit it counts as
    lost, and a runner without state rebuilds it from what is stored.
    """

    def __init__(self, shard: int, shards: int, lineup: Lineup) -> None:
        self.partitions = service.partitions_of(shard, shards)
        self._lineup = lineup
        self._state: Shard | None = None

    @property
    def handlers(self) -> Mapping[type[Event], Handler]:
        """What the runner does with each event."""
        return {CandlesClosedV1: self.candles_closed}

    def candles_closed(self, session: Session, envelope: Envelope[Any]) -> None:
        """Evaluate one close in the transaction of its message."""
        batch: CandlesClosedV1 = envelope.data
        began = time.perf_counter()
        state, self._state = self._state, None
        if state is None or not service.is_current(session, state):
            state = service.restored_shard(session, self.partitions, self._lineup)
            REBUILDS.inc()
        result = service.close_candles(session, state, batch)

        def committed(_session: Session) -> None:
            self._state = state
            _report(result)
            CLOSE_SECONDS.labels(batch.timeframe).observe(time.perf_counter() - began)

        sqlalchemy_event.listen(session, "after_commit", committed, once=True)


def queue_of(shard: int) -> Queue:
    """The queue of a shard: every shard gets every batch and takes its own tickers from it."""
    return Queue(f"signals-runner-{shard}.events.v1", (CandlesClosedV1,), ordered=True)


class Owned:
    """A loop that runs only in the one process that holds the lock of its shard; others stand by.

    The lock keeps two runners from undoing each other's work all the time. What keeps a shard right when
    a lock is lost unnoticed are the chains: `service.is_current`, and their primary key.
    """

    def __init__(self, loop: Loop, database: Database, shard: int) -> None:
        self.name = loop.name
        self._loop = loop
        self._database = database
        self._shard = shard

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Wait for the shard, then run the loop until `stop` is set or the lock is lost."""
        with self._database.read() as connection:
            parameters = {"space": LOCK_SPACE, "shard": self._shard}
            acquire = text("SELECT pg_try_advisory_lock(:space, :shard)")
            while not connection.execute(acquire, parameters).scalar_one():
                beat()
                if stop.wait(1.0):
                    return
            try:
                self._run_guarded(stop, beat, lambda: connection.execute(text("SELECT 1")))
            finally:
                # a pooled connection outlives this loop, and would keep the lock
                connection.invalidate()

    def _run_guarded(self, stop: threading.Event, beat: Beat, probe: Any) -> None:
        ending = threading.Event()

        def guard() -> None:
            due = time.monotonic() + LOCK_CHECK_SECONDS
            while not ending.is_set():
                if stop.wait(0.1):
                    break
                if time.monotonic() >= due:
                    due = time.monotonic() + LOCK_CHECK_SECONDS
                    try:
                        probe()
                    except SQLAlchemyError:
                        log.exception("the lock of the shard is lost", shard=self._shard)
                        break
            ending.set()

        watcher = threading.Thread(target=guard, name=f"{self.name}-lock", daemon=True)
        watcher.start()
        try:
            self._loop.run(ending, beat)
        finally:
            ending.set()
            watcher.join()


def loops(settings: Settings, database: Database, bus: Bus) -> list[Loop]:
    """The loops of the runner process of one shard."""
    runner = Runner(settings.runner_shard, settings.runner_shards, Lineup.of(settings))
    subscription = Subscription(
        queue=queue_of(settings.runner_shard).name,
        handlers=runner.handlers,
        database=database,
        ordered=True,
        prefetch=2,
    )
    return [Owned(bus.consumer(subscription), database, settings.runner_shard)]


def _report(result: Evaluation) -> None:
    CANDLES.labels("accepted").inc(len(result.candles))
    CANDLES.labels("late").inc(len(result.late))
    for candle, reason in result.refused[:REFUSED_SHOWN]:
        log.warning("candle refused", ticker=candle.ticker, open_time=candle.open_time, reason=reason.words)
    if result.refused:
        CANDLES.labels("refused").inc(len(result.refused))
        log.warning(
            "candles refused",
            count=len(result.refused),
            timeframe=result.timeframe,
            close_time=result.close_time,
        )
    for failure in result.failures:
        SET_ASIDE.labels(failure.algorithm).inc()
        log.error(
            "algorithm set aside",
            algorithm=failure.algorithm,
            close_time=result.close_time,
            exc_info=failure.error,
        )
