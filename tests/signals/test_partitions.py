"""Where candles are stored: a table per timeframe and span of time, made when they are needed."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.signals import worker
from services.signals.candles import TIMEFRAMES, Candle, length_of
from services.signals.repository import cycles, partitions
from services.signals.repository.partitions import CANDLES_OF_A_TICKER, partition_at
from shared.bus.local import LocalBus
from shared.db import migrate
from shared.db.engine import Database
from tests.signals import local_market
from tests.signals.test_runner import MakeDatabase, MakeUrl

OPENED = datetime(2024, 3, 6, 12, tzinfo=UTC)


def candle(opened: datetime, ticker: str = "T0") -> Candle:
    return Candle(ticker, opened, 1.0, 1.0, 1.0, 1.0, 1.0)


def tables(database: Database) -> dict[str, int]:
    """The tables that hold candles, and how many."""
    with database.read() as connection:
        rows = connection.execute(text("SELECT tableoid::regclass::text, count(*) FROM candle GROUP BY 1"))
        return {row[0]: row[1] for row in rows}


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return [each.name for each in partitions.existing(connection)]


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
@pytest.mark.parametrize(
    "opened", [OPENED, datetime(1965, 1, 1, tzinfo=UTC), datetime(1970, 1, 5, tzinfo=UTC)]
)
def test_each_partition_holds_equally_many_candles_and_the_next_begins_where_it_ends(
    timeframe: str, opened: datetime
) -> None:
    found = partition_at(timeframe, opened)
    assert found.start <= opened < found.end
    assert found.end - found.start == CANDLES_OF_A_TICKER * length_of(timeframe)
    assert partition_at(timeframe, found.end).start == found.end
    assert partition_at(timeframe, found.start - timedelta(seconds=1)).end == found.start


def test_partitions_of_minutes_are_weeks_from_monday() -> None:
    found = partition_at("1m", OPENED)
    assert (found.name, found.start.weekday()) == ("candle_1m_20240304", 0)


@pytest.mark.parametrize("opened", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_candles_at_the_ends_of_the_calendar_have_a_partition(
    migrated: MakeDatabase, opened: datetime
) -> None:
    database = migrated("signals")
    with database.transaction() as session:
        cycles.insert_candles(session, "1d", [candle(opened)], [1])
    assert tables(database) == {partition_at("1d", opened).name: 1}
    assert names(database) == list(tables(database))


def test_candles_find_the_partition_of_their_timeframe_and_time(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    week = timedelta(days=7)
    with database.transaction() as session:
        cycles.insert_candles(session, "1m", [candle(OPENED), candle(OPENED + week)], [1, 2])
        cycles.insert_candles(session, "1m", [candle(OPENED + timedelta(minutes=1))], [3])
        cycles.insert_candles(session, "1h", [candle(OPENED)], None)
    assert tables(database) == {"candle_1m_20240304": 2, "candle_1m_20240311": 1, "candle_1h_20240122": 1}
    assert names(database) == sorted(tables(database))


def test_a_partition_made_by_a_batch_that_fails_is_made_again_by_the_next(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    with Session(database.engine) as session:  # never committed
        cycles.insert_candles(session, "1m", [candle(OPENED)], [1])
    assert names(database) == []
    with database.transaction() as session:
        cycles.insert_candles(session, "1m", [candle(OPENED)], [1])
    assert tables(database) == {"candle_1m_20240304": 1}


def test_several_shards_that_need_a_partition_at_once_make_it_once(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    shards = 4
    ready = threading.Barrier(shards)
    failures: list[Exception] = []

    def store(shard: int) -> None:
        try:
            with database.transaction() as session:
                ready.wait()
                cycles.insert_candles(session, "1m", [candle(OPENED, f"T{shard}")], [1])
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must say so
            failures.append(error)

    threads = [threading.Thread(target=store, args=(shard,)) for shard in range(shards)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert tables(database) == {"candle_1m_20240304": shards}


def test_making_a_partition_keeps_nobody_from_reading_and_writing_the_others(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    with database.transaction() as session:
        cycles.insert_candles(session, "1m", [candle(OPENED)], [1])
    with database.transaction() as reading, database.transaction() as writing:
        reading.execute(text("SELECT count(*) FROM candle WHERE timeframe = '1m'"))
        cycles.insert_candles(writing, "1m", [candle(OPENED, "T1")], [1])
        with database.transaction() as making:
            making.execute(text("SET LOCAL lock_timeout = '200ms'"))
            cycles.insert_candles(making, "1m", [candle(OPENED + timedelta(days=7))], [2])
    assert tables(database) == {"candle_1m_20240304": 2, "candle_1m_20240311": 1}


def test_the_worker_makes_a_partition_before_candles_need_it(database_url: MakeUrl) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test", pool_size=10)
    monday = datetime(2024, 3, 11, tzinfo=UTC)
    with database.transaction() as session:
        cycles.insert_candles(session, "1m", [candle(monday - timedelta(days=2))], [1])
        assert partitions.ensure_ahead(session.connection()) == []
        cycles.insert_candles(session, "1m", [candle(monday - timedelta(hours=16))], [2])
    loops = worker.loops(local_market.settings(url), database, LocalBus())
    with local_market.running([each for each in loops if each.name == "signals-partitions"]):
        local_market.wait_until(
            lambda: names(database) == ["candle_1m_20240304", "candle_1m_20240311"], "the next one is there"
        )
    database.dispose()


def test_partitions_are_no_drift_and_go_with_the_table(database_url: MakeUrl) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test")
    with database.transaction() as session:
        cycles.insert_candles(session, "1m", [candle(OPENED)], [1])
    migrate.check("signals", url)
    migrate.downgrade("signals", url)
    with database.read() as connection:
        left = connection.execute(text("SELECT relname FROM pg_class WHERE relname LIKE 'candle%'"))
        assert left.scalars().all() == []
    database.dispose()
