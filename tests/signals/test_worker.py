from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.signals import service, worker
from services.signals.algorithms import ALGORITHMS
from services.signals.candles import CandleBatch
from services.signals.lineup import Lineup
from services.signals.repository import feeds
from services.signals.runner import Runner
from shared.bus.local import LocalBus
from shared.db.engine import Database
from tests.signals import local_market
from tests.signals.closing import ALL, close_all, events
from tests.signals.market import START, batches, random_walk
from tests.signals.test_runner import MakeDatabase, MakeUrl

KEY = "signals.algorithms_listed.v1"
HOUR = timedelta(hours=1)


def test_the_list_of_algorithms_is_told_when_it_differs_from_the_one_told_last(
    migrated: MakeDatabase,
) -> None:
    database = migrated("signals")
    first = Lineup(ALGORITHMS, None)
    told = []
    for lineup in (first, first, replace(first, timeframes=dict.fromkeys(ALGORITHMS, "4h")), first):
        with database.transaction() as session:
            told.append(service.publish_algorithms(session, lineup))
    assert told == [True, False, True, True]
    lists = events(database, KEY)
    assert [{each["timeframe"] for each in event["algorithms"]} for event in lists] == [
        {None},
        {"4h"},
        {None},
    ]
    assert [each["key"] for each in lists[0]["algorithms"]] == list(ALGORITHMS)


def test_the_lineup_follows_the_settings() -> None:
    url = "postgresql+psycopg://nowhere/x"
    chosen = Lineup.of(local_market.settings(url, algorithm_timeframes='{"reversal_rsi": "15m"}'))
    assert [each.key for each in chosen.on("15m")] == ["reversal_rsi"]
    assert [each.key for each in chosen.on("4h")] == ["simple_trend_ride"]
    assert chosen.on("1d") == ()
    assert chosen.timeframe_of("golden_crossover") == "1h"
    followed = Lineup.of(local_market.settings(url))
    assert [each.key for each in followed.on("1d")] == sorted(ALGORITHMS)
    live = Lineup.of(local_market.settings(url, feed="ccxt:kraken"))
    assert live.timeframe_of("simple_trend_ride") == "4h"
    assert (
        Lineup.of(local_market.settings(url, feed="ccxt:kraken", algorithm_timeframes="feed")).timeframes
        is None
    )


@pytest.fixture(autouse=True)
def _no_lag() -> Iterator[None]:
    worker.LAG.clear()
    yield
    worker.LAG.clear()


def lag() -> float | None:
    return REGISTRY.get_sample_value("signals_lag_seconds", {"timeframe": "1h"})


def lag_at(database: Database, now: datetime, *, lineup: Lineup = ALL, shards: int = 1) -> float | None:
    with database.read() as connection:
        worker.measure_lag(connection, lineup, shards, now)
    return lag()


def use_feed(database: Database, kind: str) -> None:
    with database.transaction() as session:
        feeds.open_feed(session, kind, kind, "a market")


def hours(count: int) -> list[CandleBatch]:
    """Closes of six tickers, T5 in a chain of even number, the others in chains of odd ones."""
    return list(batches(random_walk(count, 6, seed=3)))


def test_the_lag_of_a_live_market_grows_while_its_runner_is_stopped(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    use_feed(database, "ccxt")
    stream = hours(6)
    runner = close_all(database, stream[:5])
    assert lag_at(database, START + 5 * HOUR + timedelta(seconds=3)) == 0
    assert lag_at(database, START + 6 * HOUR + timedelta(seconds=8)) == 8
    assert lag_at(database, START + 9 * HOUR) == 3 * 3600
    close_all(database, stream[5:], runner)
    assert lag_at(database, START + 6 * HOUR + timedelta(minutes=1)) == 0


def test_one_stopped_runner_of_several_shows(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    use_feed(database, "ccxt")
    close_all(database, hours(6), Runner(0, 2, ALL))
    close_all(database, hours(3), Runner(1, 2, ALL))
    assert lag_at(database, START + 6 * HOUR, shards=2) == 2 * 3600


def test_the_history_of_a_new_ticker_says_nothing_of_the_lag(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    use_feed(database, "ccxt")
    runner = close_all(database, hours(6))
    new = np.array([6], dtype=np.intp)  # of the chain of T3
    history = [batch.take(new) for batch in batches(random_walk(3, 7, seed=3))]
    close_all(database, history, runner)
    assert lag_at(database, START + 7 * HOUR + timedelta(seconds=5)) == 5


def test_no_lag_is_told_of_a_replay_or_of_a_timeframe_that_no_algorithm_runs_on(
    migrated: MakeDatabase,
) -> None:
    database = migrated("signals")
    close_all(database, hours(3))
    late = START + 30 * HOUR
    assert lag_at(database, late) is None
    use_feed(database, "ccxt")
    elsewhere = Lineup(ALGORITHMS, dict.fromkeys(ALGORITHMS, "4h"))
    assert lag_at(database, late, lineup=elsewhere) is None
    assert lag_at(database, late) == 26 * 3600
    use_feed(database, "replay")
    assert lag_at(database, late) is None


def test_the_worker_measures_the_lag_of_a_dead_runner(database_url: MakeUrl) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test", pool_size=10)
    close_all(database, hours(3))
    use_feed(database, "ccxt")
    loops = worker.loops(local_market.settings(url), database, LocalBus())
    least = (datetime.now(UTC) - START - 4 * HOUR).total_seconds()
    with local_market.running([each for each in loops if each.name == "signals-watch-tickers"]):
        local_market.wait_until(lambda: (lag() or 0.0) >= least, "the lag is measured")
    database.dispose()
