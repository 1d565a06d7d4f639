"""The number of runners: remembered, demanded of every process, and changed without losing a candle."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from services.signals import runner, sharding, worker
from services.signals.errors import ShardsInUse, WrongShards
from services.signals.repository import feeds, locks, shards
from services.signals.repository.feeds import FeedState
from services.signals.runner import Runner
from shared.bus import Queue
from shared.bus.local import LocalBus
from shared.db.engine import Database
from shared.process import Beat, Loop
from shared.settings import environment
from tests.signals import local_market
from tests.signals.closing import ALL, close, stored
from tests.signals.local_market import running, settings, wait_until
from tests.signals.market import START, batches, random_walk
from tests.signals.test_feed import write
from tests.signals.test_runner import MakeDatabase, MakeUrl

NOBODY = "amqp://127.0.0.1:1/"


def command(url: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    values = {
        **environment(),
        "DATABASE_URL": url,
        "AMQP_URL": NOBODY,
        "SECRET_KEY": "k" * 32,
        "IDENTITY_PUBLIC_KEYS": "{}",
        "HEALTH_PORT": "0",
        **variables,
    }
    whole = [sys.executable, "-m", "services.signals", *arguments]
    return subprocess.run(whole, env=values, capture_output=True, text=True, check=False, timeout=60)


def release(database: Database, sequence: int) -> None:
    """A feed that has released so many batches."""
    with database.transaction() as session:
        feeds.open_feed(session, "test", "replay", "a test")
        for number in range(1, sequence + 1):
            feeds.advance(session, "test", FeedState(number, "1h", START, None), 1)


def held_locks(database: Database) -> int:
    with database.read() as connection:
        held = """
            SELECT count(*) FROM pg_locks JOIN pg_database ON pg_locks.database = pg_database.oid
            WHERE locktype = 'advisory' AND granted AND datname = current_database()
            """
        count: int = connection.execute(text(held)).scalar_one()
        return count


def wait_for_no_lock(database: Database) -> None:
    """Wait: the database lets go of a lock a moment after the connection that held it was closed."""
    wait_until(lambda: held_locks(database) == 0, "no process holds a lock")


@contextmanager
def working(database: Database, loops: Sequence[Loop]) -> Iterator[None]:
    with running(loops):
        wait_until(lambda: held_locks(database) > 0, "the process holds its lock")
        yield
    wait_for_no_lock(database)


def test_the_command_tells_and_changes_the_number_and_names_surplus_queues(database_url: MakeUrl) -> None:
    url = database_url("signals")
    assert command(url, "shards").stdout == "1\n"
    more = command(url, "shards", "3")
    assert (more.returncode, more.stderr) == (0, "")
    assert "RUNNER_SHARDS=3" in more.stdout
    assert command(url, "shards").stdout == "3\n"
    fewer = command(url, "shards", "1")
    assert "signals-runner-1.events.v1" in fewer.stdout
    assert "signals-runner-2.events.v1" in fewer.stdout
    assert "signals-runner-0.events.v1" not in fewer.stdout


@pytest.mark.parametrize("number", ["0", "17"])
def test_the_command_refuses_a_number_that_cannot_be(number: str, database_url: MakeUrl) -> None:
    done = command(database_url("signals"), "shards", number)
    assert done.returncode == 2
    assert done.stderr == f"boritrader: there can be 1 to 16 shards, not {number}\n"


@pytest.mark.parametrize(
    "arguments", [["worker"], ["runner"], ["runner", "--shard", "1", "--shards", "3"]], ids=" ".join
)
def test_a_process_with_another_number_of_shards_does_not_start(
    arguments: list[str], database_url: MakeUrl
) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test")
    sharding.change(database, 2)
    database.dispose()
    done = command(url, *arguments)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    number = 3 if "--shards" in arguments else 1
    assert line.startswith(
        f"boritrader: RUNNER_SHARDS is {number}, but the tickers are divided among 2; start"
    )


def test_a_worker_makes_the_queues_of_all_shards(database_url: MakeUrl) -> None:
    class Noting(LocalBus):
        made: tuple[str, ...] = ()

        def relay(self, database: Database, *, service: str, queues: Sequence[Queue] = ()) -> Loop:
            self.made = tuple(queue.name for queue in queues)
            return super().relay(database, service=service, queues=queues)

    url = database_url("signals")
    database = Database(url, application_name="test")
    sharding.change(database, 3)
    bus = Noting()
    worker.loops(settings(url, runner_shards=3), database, bus)
    database.dispose()
    assert bus.made == tuple(f"signals-runner-{shard}.events.v1" for shard in range(3))


def test_the_number_stays_while_a_shard_has_candles_on_their_way(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    whole = list(batches(random_walk(5, 40, seed=2)))
    sharding.change(database, 2)
    release(database, 5)
    runners = [Runner(shard, 2, ALL) for shard in range(2)]
    for sequence, batch in enumerate(whole, start=1):
        close(database, runners[0], batch, sequence)
    for sequence, batch in enumerate(whole[:4], start=1):
        close(database, runners[1], batch, sequence)
    with pytest.raises(ShardsInUse, match=r"test has released 5 batches, runner 1 has evaluated 4; stop the"):
        sharding.change(database, 1)
    close(database, runners[1], whole[4], 5)
    assert sharding.change(database, 3) == 2
    assert sharding.change(database, 1) == 3  # no batch has come since


def test_the_number_stays_while_a_runner_or_a_worker_is_running(database_url: MakeUrl) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test", pool_size=10)
    with working(database, runner.loops(settings(url), database, LocalBus())):
        with pytest.raises(ShardsInUse, match="runner 0 is running; stop the feed, all runners and all"):
            sharding.change(database, 2)
        assert sharding.change(database, 1) == 1
    with (
        working(database, worker.loops(settings(url), database, LocalBus())),
        pytest.raises(ShardsInUse, match="a worker is running; stop the feed"),
    ):
        sharding.change(database, 2)
    assert sharding.change(database, 2) == 1
    database.dispose()


def test_a_process_that_waited_through_a_change_does_not_work_on(database_url: MakeUrl) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test", pool_size=10)
    (loop,) = runner.loops(settings(url), database, LocalBus())
    sharding.change(database, 2)
    stop = threading.Event()
    with pytest.raises(WrongShards):
        loop.run(stop, stop.set)
    wait_for_no_lock(database)
    database.dispose()


def test_a_loop_that_fails_leaves_no_lock_on_the_pooled_connection(migrated: MakeDatabase) -> None:
    database = migrated("signals")

    class Failing:
        name = "failing"

        def run(self, stop: threading.Event, beat: Beat) -> None:
            raise ArithmeticError("not today")

    owned = sharding.Owned(Failing(), database, partial(locks.try_shard, shard=0), shards=1)
    for _ in range(2):  # the second time the process must get it again itself, on another connection
        with pytest.raises(ArithmeticError):
            owned.run(threading.Event(), lambda: None)
        wait_for_no_lock(database)
        with database.transaction() as session:
            assert locks.keep_shard_out(session.connection(), 0)


def test_a_feed_waits_until_a_change_is_made(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    release(database, 1)
    with database.transaction() as session:
        shards.hold_feeds(session.connection())
        feed = threading.Thread(target=release, args=(database, 2))
        feed.start()
        feed.join(0.3)
        assert feed.is_alive()
    feed.join(10)
    assert not feed.is_alive()


def test_no_candle_is_lost_when_the_number_changes_on_the_way(database_url: MakeUrl, tmp_path: Path) -> None:
    tickers = [f"T{number}" for number in range(12)]
    results = []
    for numbers in ([1, 1, 1], [1, 4, 2]):
        url = database_url("signals")
        database = Database(url, application_name="test", pool_size=20)
        for rows, count in zip((15, 30, 45), numbers, strict=True):
            for ticker in tickers:
                write(tmp_path, ticker, rows)
            local_market.run_to_the_end(database, url, tmp_path, shards=count)
        results.append(stored(database))
        database.dispose()
    assert results[0] == results[1]
    assert len(results[0]["candle"]) == 45 * len(tickers)
