"""The runner: closed candles in, views and their ledger out, one process for each shard of the tickers."""

import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any

from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.orm import Session

from services.signals import service, sharding, versions
from services.signals.candles import Outcome, Refusal
from services.signals.config import Settings
from services.signals.evaluation import Evaluation, Shard
from services.signals.ledger.records import iso
from services.signals.lineup import Lineup
from services.signals.repository import locks
from services.signals.repository.shards import note_position
from services.signals.repository.versions import note_failures
from shared import logs
from shared.bus import Bus, Handler, Queue, Subscription
from shared.contracts.envelope import Envelope, Event
from shared.contracts.signals import CandlesClosedV1
from shared.db.engine import Database
from shared.process import Beat, Loop

REFUSED_AT_ONCE = 100
"""Refused candles that one line of the log names."""

log = logs.logger(__name__)

CANDLES = Counter("signals_candles", "Candles that came in, by what became of them.", ["outcome"])
REFUSED = Counter("signals_refused_candles", "Candles that were refused, by the reason.", ["reason"])
CLOSE_SECONDS = Histogram("signals_close_seconds", "Time from a batch to its stored views.", ["timeframe"])
REBUILDS = Counter("signals_rebuilds", "Times the state was rebuilt from stored candles.")
MISSING = Counter(
    "signals_missing_tickers",
    "Tickers of which a close brought no candle, unless STALE before.",
    ["timeframe"],
)
SET_ASIDE = Counter("signals_set_aside", "Steps in which an algorithm failed.", ["algorithm"])
UNLOADED = Gauge("signals_unloaded_algorithms", "Installed algorithms that can't be loaded.")

for _outcome in Outcome:  # told as 0 from the start
    CANDLES.labels(_outcome)
for _reason in Refusal:
    REFUSED.labels(_reason)


class _Stopped(Exception):
    """Catching up was asked to end."""


class Runner:
    """The state of one shard between messages, and what it does with each.

    State in memory follows the committed transaction: from the first step until the commit it counts as
    lost, and a runner without state rebuilds it from what is stored.
    """

    def __init__(
        self, shard: int, shards: int, lineup: Lineup, *, alert_max_age: timedelta = timedelta(hours=1)
    ) -> None:
        self.shard = shard
        self.partitions = service.partitions_of(shard, shards)
        self._lineup = lineup
        self._alert_max_age = alert_max_age
        self._state: Shard | None = None
        self._registered = False

    @property
    def handlers(self) -> Mapping[type[Event], Handler]:
        """What the runner does with each event."""
        return {CandlesClosedV1: self.candles_closed}

    def catch_up(self, database: Database, stop: threading.Event, beat: Beat) -> None:
        """Rebuild the state unless it is current, so that the first message finds it; `stop` ends it.

        A long history takes minutes, in which no transaction may be open.
        """

        def each_close() -> None:
            beat()
            if stop.is_set():
                raise _Stopped

        with database.read() as connection:
            if self._state is not None and service.is_current(connection, self._state):
                return
            try:
                self._state = service.restored_shard(connection, self.partitions, self._lineup, each_close)
            except _Stopped:
                return
        REBUILDS.inc()

    def candles_closed(self, session: Session, envelope: Envelope[Any]) -> None:
        """Evaluate one close in the transaction of its message."""
        batch: CandlesClosedV1 = envelope.data
        began = time.perf_counter()
        state, self._state = self._state, None
        connection = session.connection()
        locks.allow_thinking(connection)
        if state is None or not service.is_current(connection, state):
            state = service.restored_shard(connection, self.partitions, self._lineup)
            REBUILDS.inc()
        result = service.close_candles(session, state, batch, self._alert_max_age)
        note_position(connection, self.shard, batch.feed, batch.sequence)
        if not self._registered:
            versions.register(session, self._lineup)
        if result.candles.tickers:
            note_failures(
                connection,
                shard=self.shard,
                timeframe=batch.timeframe,
                close_time=batch.close_time,
                failed={failure.algorithm for failure in result.step.failures},
            )

        def committed(_session: Session) -> None:
            self._state, self._registered = state, True
            _report(result)
            CLOSE_SECONDS.labels(batch.timeframe).observe(time.perf_counter() - began)

        sqlalchemy_event.listen(session, "after_commit", committed, once=True)


def queue_of(shard: int) -> Queue:
    """The queue of a shard: every shard gets every batch and takes its own tickers from it."""
    return Queue(f"signals-runner-{shard}.events.v1", (CandlesClosedV1,), ordered=True)


def loops(settings: Settings, database: Database, bus: Bus) -> list[Loop]:
    """The loops of the runner process of one shard.

    Raises WrongShards when there are not so many, LineupError when its algorithms can't be run.
    """
    sharding.require(database, settings.runner_shards)
    lineup = Lineup.of(settings)
    versions.require(database, lineup)
    UNLOADED.set(len(lineup.set_aside))
    runner = Runner(
        settings.runner_shard,
        settings.runner_shards,
        lineup,
        alert_max_age=timedelta(seconds=settings.alert_max_age),
    )
    subscription = Subscription(
        queue=queue_of(settings.runner_shard).name,
        handlers=runner.handlers,
        database=database,
        ordered=True,
        prefetch=2,
    )
    return [
        sharding.Owned(
            bus.consumer(subscription),
            database,
            partial(locks.try_shard, shard=settings.runner_shard),
            shards=settings.runner_shards,
            catch_up=runner.catch_up,
        )
    ]


def _report(result: Evaluation) -> None:
    candles = result.candles
    CANDLES.labels(Outcome.ACCEPTED).inc(len(candles))
    CANDLES.labels(Outcome.LATE).inc(len(result.late))
    CANDLES.labels(Outcome.IGNORED).inc(result.ignored)
    CANDLES.labels(Outcome.REFUSED).inc(len(result.refused))
    for _, reason in result.refused:
        REFUSED.labels(reason).inc()
    refused = iter(result.refused)
    while named := [
        f"{candle.ticker} {iso(candle.open_time)}: {reason.words}"
        for candle, reason in islice(refused, REFUSED_AT_ONCE)
    ]:
        log.warning(
            "candles refused",
            count=len(result.refused),
            timeframe=candles.timeframe,
            candles="; ".join(named),
        )
    if result.newly_missing:
        MISSING.labels(candles.timeframe).inc(result.newly_missing)
        log.warning(
            "tickers are missing",
            count=result.newly_missing,
            timeframe=candles.timeframe,
            close_time=candles.close_time,
            evaluated=len(candles),
        )
    for failure in result.step.failures:
        SET_ASIDE.labels(failure.algorithm).inc()
        log.error(
            "algorithm set aside",
            algorithm=failure.algorithm,
            close_time=candles.close_time,
            exc_info=failure.error,
        )
