"""STALE tickers and missing ones."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from services.signals import worker
from services.signals.candles import CandleBatch
from services.signals.repository import feeds
from services.signals.runner import Runner
from services.signals.silence import GRACE, WallClock
from shared.bus.local import LocalBus
from shared.db.engine import Database
from tests.signals import local_market
from tests.signals.closing import ALL, close, close_all, envelope_of, events
from tests.signals.market import START, batches, random_walk
from tests.signals.test_runner import MakeDatabase, MakeUrl

STALE = "signals.ticker_stale.v1"
RECOVERED = "signals.ticker_recovered.v1"
HOUR = timedelta(hours=1)


def with_silence(steps: int, silent: slice, ticker: int = 1, tickers: int = 3) -> list[CandleBatch]:
    present = np.ones((steps, tickers), dtype=np.bool_)
    present[silent, ticker] = False
    return list(batches(random_walk(steps, tickers, seed=2), present=present))


def stale(database: Database) -> dict[str, datetime]:
    with database.read() as connection:
        rows = connection.execute(
            text("SELECT ticker, stale_since FROM ticker WHERE stale_since IS NOT NULL")
        )
        return {row.ticker: row.stale_since for row in rows}


def missing() -> float:
    return REGISTRY.get_sample_value("signals_missing_tickers_total", {"timeframe": "1h"}) or 0.0


def live_feed(database: Database, kind: str = "ccxt") -> None:
    with database.transaction() as session:
        feeds.open_feed(session, "live", kind, "an exchange")


def look(database: Database, now: datetime, clock: WallClock | None = None) -> bool:
    """What a clock says that has looked before."""
    with database.transaction() as session:
        if clock is None:
            clock = WallClock()
            clock.look(session, now)
        return clock.look(session, now)


@pytest.mark.parametrize("restart", [False, True])
def test_a_ticker_is_stale_after_two_closes_without_it_and_recovers_with_its_next_candle(
    migrated: MakeDatabase, restart: bool, caplog: pytest.LogCaptureFixture
) -> None:
    database = migrated("signals")
    whole = with_silence(20, slice(10, 14))
    before = missing()

    runner = close_all(database, whole[:11])
    assert (stale(database), missing() - before) == ({}, 1)
    close(database, runner, whole[11], 12)
    assert stale(database) == {"T1": START + 12 * HOUR}
    assert missing() - before == 2
    runner = Runner(0, 1, ALL) if restart else runner
    close(database, runner, whole[12], 13)
    close(database, runner, whole[13], 14)
    assert missing() - before == 2
    close(database, runner, whole[14], 15)
    assert stale(database) == {}
    close_all(database, whole[15:], runner)

    fell = {"timeframe": "1h", "as_of": "2020-01-01T12:00:00Z"}
    assert events(database, STALE) == [
        fell | {"tickers": [{"ticker": "T1", "last_close": "2020-01-01T10:00:00Z"}]}
    ]
    assert events(database, RECOVERED) == [
        {"timeframe": "1h", "close_time": "2020-01-01T15:00:00Z", "tickers": ["T1"]}
    ]
    assert caplog.text.count("tickers are missing") == 2


def test_history_that_comes_late_ends_no_silence_and_begins_none(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    live = with_silence(30, slice(10, 30))
    gap = [batch.take(np.array([1], dtype=np.intp)) for batch in with_silence(30, slice(0, 0))]
    runner = close_all(database, live)
    close_all(database, gap[10:28], runner)
    assert list(stale(database)) == ["T1"]
    assert events(database, RECOVERED) == []
    close(database, runner, gap[28], 60)
    assert stale(database) == {}
    assert len(events(database, STALE)) == 1


def test_each_shard_looks_after_its_own_tickers(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    runners = [Runner(shard, 3, ALL) for shard in range(3)]
    present = np.ones((8, 9), dtype=np.bool_)
    present[4:, 1:] = False
    for number, batch in enumerate(batches(random_walk(8, 9, seed=2), present=present), start=1):
        for runner in runners:
            close(database, runner, batch, number)
    assert set(stale(database)) == {f"T{number}" for number in range(1, 9)}
    told = [each["ticker"] for event in events(database, STALE) for each in event["tickers"]]
    assert sorted(told) == sorted(stale(database))


def test_a_live_feed_that_is_silent_altogether_is_told_by_the_wall_clock_once(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    whole = with_silence(20, slice(0, 0))
    runner = close_all(database, whole[:10])
    live_feed(database)
    last = START + 10 * HOUR

    assert look(database, last + 2 * HOUR)
    assert stale(database) == {}
    now = last + 2 * HOUR + GRACE
    assert look(database, now)
    assert look(database, now + HOUR)
    assert stale(database) == dict.fromkeys(("T0", "T1", "T2"), now)
    assert [len(each["tickers"]) for each in events(database, STALE)] == [3]
    assert events(database, STALE)[0]["tickers"][0]["last_close"] == "2020-01-01T10:00:00Z"

    close(database, runner, whole[15], 16)
    assert stale(database) == {}
    assert [each["tickers"] for each in events(database, RECOVERED)] == [["T0", "T1", "T2"]]


def test_the_wall_clock_makes_no_ticker_of_a_replay_stale(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    close_all(database, with_silence(10, slice(0, 0)))
    assert look(database, datetime.now(UTC))
    live_feed(database, "replay")
    assert look(database, datetime.now(UTC))
    assert stale(database) == {}


def test_the_wall_clock_rests_while_the_feed_brings_history(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    close_all(database, with_silence(10, slice(0, 0)))
    live_feed(database)
    clock, now = WallClock(), datetime.now(UTC)
    for sequence in range(1, 4):
        with database.transaction() as session:
            session.execute(text("UPDATE feed SET sequence = :sequence"), {"sequence": sequence})
        assert look(database, now, clock)
        assert stale(database) == {}
    assert look(database, now, clock)
    assert len(stale(database)) == 3


def test_the_wall_clock_waits_for_a_close_that_is_being_evaluated(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    whole = with_silence(20, slice(0, 0))
    runner = close_all(database, whole[:10])
    live_feed(database)
    now = START + 20 * HOUR
    with database.transaction() as session:
        runner.candles_closed(session, envelope_of(whole[19]))
        assert not look(database, now)
    assert look(database, now)
    assert stale(database) == {}


def test_the_worker_counts_tickers_and_stale_ones(database_url: MakeUrl) -> None:
    url = database_url("signals")
    database = Database(url, application_name="test", pool_size=10)
    close_all(database, with_silence(10, slice(4, 10)))
    loops = worker.loops(local_market.settings(url), database, LocalBus())

    def counted() -> bool:
        names = ("signals_tickers", "signals_stale_tickers")
        return [REGISTRY.get_sample_value(name, {"timeframe": "1h"}) for name in names] == [3, 1]

    with local_market.running([each for each in loops if each.name == "signals-watch-tickers"]):
        local_market.wait_until(counted, "tickers are counted")
    database.dispose()
