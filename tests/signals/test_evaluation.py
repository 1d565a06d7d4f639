"""What becomes of candles that are no part of a proper close, and what of the chains meanwhile."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from services.signals.algorithms import ALGORITHMS
from services.signals.candles import CandleBatch
from services.signals.ledger.records import NO_CANDLES, partition_of
from services.signals.lineup import Lineup
from services.signals.runner import Runner
from shared.db.engine import Database
from tests.signals.closing import ALL, close, close_all, stored, with_prices
from tests.signals.market import batches, random_walk
from tests.signals.test_runner import MakeDatabase

HOUR = timedelta(hours=1)
YEARS = timedelta(days=36_500)


def market(steps: int, tickers: int = 3) -> list[CandleBatch]:
    return list(batches(random_walk(steps, tickers, seed=5)))


def at(batch: CandleBatch, later: timedelta) -> CandleBatch:
    return replace(batch, close_time=batch.close_time + later)


def named(batch: CandleBatch, *tickers: str, timeframe: str = "1h") -> CandleBatch:
    first = batch.take(np.zeros(len(tickers), dtype=np.intp))
    return replace(first, tickers=tickers, timeframe=timeframe)


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"{name}_total", labels) or 0.0


def records(database: Database) -> list[Any]:
    with database.read() as connection:
        rows = connection.execute(
            text(
                "SELECT partition, sequence, close_time, late, CAST(record AS jsonb) AS record"
                " FROM ledger ORDER BY partition, sequence"
            )
        )
        return list(rows)


def run_sharded(database: Database, whole: Sequence[CandleBatch], shards: int) -> None:
    runners = [Runner(shard, shards, ALL) for shard in range(shards)]
    for sequence, batch in enumerate(whole, start=1):
        for runner in runners:
            close(database, runner, batch, sequence)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda last: with_prices(at(last, YEARS), -1.0), id="bad prices in the far future"),
        pytest.param(lambda last: at(last, timedelta(minutes=7)), id="off the grid"),
        pytest.param(lambda last: at(last.take(np.array([], np.intp)), YEARS), id="nothing, far away"),
    ],
)
def test_a_batch_of_which_nothing_is_accepted_moves_no_chain(migrated: MakeDatabase, wrong: Any) -> None:
    whole = market(24)
    database = migrated("signals")
    runner = close_all(database, whole[:20])
    before = stored(database)

    close(database, runner, wrong(whole[19]), 21)
    assert stored(database) == before

    close_all(database, whole[20:], runner)
    assert not any(row.late for row in records(database))


@pytest.mark.parametrize(
    "skipped",
    [
        pytest.param(lambda batch: with_prices(batch, -1.0), id="all refused"),
        pytest.param(lambda batch: batch.take(np.array([], np.intp)), id="no candle came"),
    ],
)
def test_the_next_close_without_an_accepted_candle_is_a_skipped_cycle_with_its_record(
    migrated: MakeDatabase, skipped: Any
) -> None:
    whole = market(22)
    database = migrated("signals")
    runner = close_all(database, [*whole[:20], skipped(whole[20])])
    last = [row for row in records(database) if row.close_time == whole[20].close_time]
    assert {row.partition for row in last} == {partition_of(name) for name in whole[0].tickers}
    assert {(row.late, row.record["candles"]) for row in last} == {(False, NO_CANDLES)}

    close(database, runner, whole[20], 22)  # corrected, but after the cycle
    supplement = [row for row in records(database) if row.close_time == whole[20].close_time and row.late]
    assert {row.partition for row in supplement} == {row.partition for row in last}
    close(database, runner, whole[21], 23)
    assert not any(row.late for row in records(database) if row.close_time == whole[21].close_time)


def test_the_chains_are_the_same_for_any_number_of_shards_whatever_comes(migrated: MakeDatabase) -> None:
    walk = random_walk(40, 12, seed=9)
    present = np.random.default_rng(3).random(walk.shape) < 0.3
    present[:, 0] = True
    whole = list(batches(walk, present=present))
    last = whole[29]
    odd: Iterable[CandleBatch] = [
        with_prices(at(last, 50 * HOUR), -1.0),
        at(last, timedelta(minutes=1)),
        named(at(last, 10 * HOUR), "T0", "T1", "T2", "T3", "T4", "T5", timeframe="4h"),
        with_prices(whole[30], -1.0),
        whole[3],
        with_prices(whole[4], 7.0),
    ]
    alone = whole[-1].take(np.array([0], dtype=np.intp))
    stream = [*whole[:30], *odd, *whole[30:], at(alone, 7 * HOUR)]
    results = []
    for shards in (1, 5):
        database = migrated("signals")
        run_sharded(database, stream, shards)
        results.append(stored(database))
    assert results[0] == results[1]


def test_a_ticker_in_a_second_timeframe_is_refused_while_its_algorithms_follow_the_feed(
    migrated: MakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    whole = market(48)
    database = migrated("signals")
    runner = close_all(database, whole)
    before = stored(database)
    refused = count("signals_refused_candles", reason="second_timeframe")
    again = named(at(whole[-1], 24 * HOUR), "T0", "T1", timeframe="1d")

    close(database, runner, again, 49)
    close(database, Runner(0, 1, ALL), again, 50)

    assert stored(database) == before
    assert caplog.text.count("the ticker runs in another timeframe") == 4
    assert count("signals_refused_candles", reason="second_timeframe") == refused + 4


def test_a_new_ticker_beside_one_in_a_second_timeframe_is_evaluated(migrated: MakeDatabase) -> None:
    whole = market(10)
    database = migrated("signals")
    daily = named(at(whole[-1], 14 * HOUR), "T0", "NEW", timeframe="1d")
    runner = close_all(database, [*whole, daily])
    with database.read() as connection:
        rows = connection.execute(text("SELECT ticker, timeframe FROM ticker ORDER BY ticker")).all()
    assert rows == [("NEW", "1d"), ("T0", "1h"), ("T1", "1h"), ("T2", "1h")]
    before = stored(database)
    close(database, runner, named(at(daily, YEARS), "T0", timeframe="1d"), 12)
    assert stored(database) == before


def test_algorithms_with_a_timeframe_each_take_a_ticker_in_several(migrated: MakeDatabase) -> None:
    chosen = dict.fromkeys(ALGORITHMS, "1h") | {"simple_trend_ride": "4h"}
    whole = market(10)
    database = migrated("signals")
    four_hours = named(at(whole[-1], 2 * HOUR), "T0", timeframe="4h")
    close_all(database, [*whole, four_hours], Runner(0, 1, Lineup(ALGORITHMS, chosen)))
    with database.read() as connection:
        rows = connection.execute(text("SELECT algorithm, timeframe FROM view WHERE ticker = 'T0'")).all()
    assert {row.algorithm: row.timeframe for row in rows} == chosen


def test_every_refused_candle_is_named_in_one_warning_and_every_outcome_is_counted(
    migrated: MakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    whole = market(10, tickers=12)
    database = migrated("signals")
    runner = close_all(database, whole[:9])
    outcomes = ("accepted", "ignored", "late", "refused")
    before = {name: count("signals_candles", outcome=name) for name in outcomes}
    reasons = {name: count("signals_refused_candles", reason=name) for name in ("negative", "zero_price")}
    broken = with_prices(whole[9], 3.0)
    broken.low[:9] = -1.0
    broken.low[9] = 0.0

    close(database, runner, broken, 10)
    close(database, runner, whole[8], 11)

    warnings = [each.getMessage() for each in caplog.records if "candles refused" in each.getMessage()]
    assert len(warnings) == 1
    for ticker in (f"T{number}" for number in range(9)):
        assert f"{ticker} 2020-01-01T09:00:00Z: a value is negative" in warnings[0]
    assert "T9 2020-01-01T09:00:00Z: a price is zero" in warnings[0]
    after = {name: count("signals_candles", outcome=name) - before[name] for name in outcomes}
    assert after == {"accepted": 2, "ignored": 12, "late": 0, "refused": 10}
    assert count("signals_refused_candles", reason="negative") == reasons["negative"] + 9
    assert count("signals_refused_candles", reason="zero_price") == reasons["zero_price"] + 1


def test_a_line_of_refused_candles_has_a_bound_and_none_is_left_out(
    migrated: MakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    database = migrated("signals")
    close_all(database, [with_prices(batch, -1.0) for batch in market(1, tickers=250)])
    warnings = [each.getMessage() for each in caplog.records]
    assert [message.count("a value is negative") for message in warnings] == [100, 100, 50]
    assert all(f"T{number} 2020" in "".join(warnings) for number in range(250))
