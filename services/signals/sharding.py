"""Which process works for which shard of the tickers, and how their number is changed.

A batch reaches a shard through the queue that was there when the batch was published, and each shard
leaves the tickers of the others alone. So processes that think of different numbers would lose candles:
the database remembers the number, and no process works with another one.
"""

import threading
import time
from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from services.signals.errors import ShardsInUse, WrongShards
from services.signals.ledger.records import PARTITIONS
from services.signals.repository import locks, shards
from shared import logs
from shared.db.engine import Database, is_away
from shared.process import Beat, Loop

LOCK_CHECK_SECONDS = 2.0
TRY_SECONDS = 1.0

log = logs.logger(__name__)

CatchUp = Callable[[Database, threading.Event, Beat], None]


class Owned:
    """A loop that runs only while its process holds a lock and knows the number of shards.

    The lock of a shard keeps two runners from undoing each other's work all the time, and those of all
    processes keep the number of shards as it is. What keeps a shard right when a lock is lost unnoticed
    are the chains: `service.is_current`, and their primary key. `catch_up` is called before the loop.
    """

    def __init__(
        self,
        loop: Loop,
        database: Database,
        acquire: Callable[[Connection], bool],
        *,
        shards: int,
        catch_up: CatchUp = lambda _database, _stop, _beat: None,
    ) -> None:
        self.name = loop.name
        self._loop = loop
        self._database = database
        self._acquire = acquire
        self._shards = shards
        self._catch_up = catch_up

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Wait for the lock, then run the loop until `stop` is set; start again when the lock is lost.

        Raises WrongShards when the database has come to remember another number.
        """
        while not stop.is_set():
            try:
                self._own(stop, beat)
            except SQLAlchemyError as error:
                if not is_away(error):
                    raise
                log.warning("database is away", loop=self.name, reason=type(error).__name__)
            beat()
            stop.wait(TRY_SECONDS)

    def _own(self, stop: threading.Event, beat: Beat) -> None:
        with self._database.read() as connection:
            try:
                while not self._acquire(connection):
                    beat()
                    if stop.wait(TRY_SECONDS):
                        return
                _compare(shards.count(connection), self._shards)
                self._run_guarded(stop, beat, connection)
            finally:
                # a pooled connection outlives this loop, and would keep the lock
                connection.invalidate()

    def _run_guarded(self, stop: threading.Event, beat: Beat, connection: Connection) -> None:
        ending = threading.Event()

        def guard() -> None:
            due = time.monotonic() + LOCK_CHECK_SECONDS
            while not ending.is_set():
                if stop.wait(0.1):
                    break
                if time.monotonic() >= due:
                    due = time.monotonic() + LOCK_CHECK_SECONDS
                    try:
                        locks.probe(connection)
                    except SQLAlchemyError:
                        log.exception("the lock is lost", loop=self.name)
                        break
            ending.set()

        watcher = threading.Thread(target=guard, name=f"{self.name}-lock", daemon=True)
        watcher.start()
        try:
            self._catch_up(self._database, ending, beat)
            self._loop.run(ending, beat)
        finally:
            ending.set()
            watcher.join()


def require(database: Database, number: int) -> None:
    """Raise WrongShards when the database remembers another number of shards.

    A database that doesn't answer, or isn't migrated, is not waited for: `Owned` asks again.
    """
    try:
        with database.read() as connection:
            remembered = shards.count(connection)
    except SQLAlchemyError as error:
        log.warning("the number of shards is not known yet", reason=type(error).__name__)
        return
    _compare(remembered, number)


def change(database: Database, number: int) -> int:
    """Divide the tickers among another number of shards; returns the number before.

    Raises ShardsInUse while candles are on their way to a shard, or a process works with the number.
    """
    with database.transaction() as session:
        connection = session.connection()
        shards.hold_feeds(connection)
        before = shards.count(connection)
        if number == before:
            return before
        for lag in shards.lags(connection, before):
            raise ShardsInUse(
                f"candles are on their way: feed {lag.feed} has released {lag.released} batches, runner"
                f" {lag.shard} has evaluated {lag.evaluated}; stop the feed and let worker and runners finish"
            )
        running = [shard for shard in range(PARTITIONS) if not locks.keep_shard_out(connection, shard)]
        if running:
            raise ShardsInUse(f"runner {running[0]} is running; stop the feed, all runners and all workers")
        if not locks.keep_relays_out(connection):
            raise ShardsInUse("a worker is running; stop the feed, all runners and all workers")
        shards.choose(connection, number)
    return before


def _compare(remembered: int, number: int) -> None:
    if remembered != number:
        raise WrongShards(
            f"RUNNER_SHARDS is {number}, but the tickers are divided among {remembered}; start all workers"
            f" and runners with {remembered}, or see `python -m services.signals shards --help`"
        )
