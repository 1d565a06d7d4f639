"""Daily states in the chains, and runners that go on from them."""

import hashlib
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from services.signals.algorithms import ALGORITHMS
from services.signals.candles import CandleBatch
from services.signals.engine import Engine
from services.signals.ledger.records import partition_of
from services.signals.lineup import Lineup
from services.signals.runner import Runner
from services.signals.state import EngineState
from shared.db.engine import Database
from tests.signals.closing import ALL, close, close_all, stored
from tests.signals.conftest import Copied
from tests.signals.market import batches, random_walk
from tests.signals.test_runner import MakeDatabase

DAY = 24
FEW = Lineup({key: ALGORITHMS[key] for key in ("golden_crossover", "reversal_rsi")}, None)


def market(days: int, tickers: int = 3) -> list[CandleBatch]:
    return list(batches(random_walk(days * DAY, tickers, seed=5)))


def two_days(database: Database) -> None:
    close_all(database, market(3)[: 2 * DAY])


def three_days(database: Database) -> None:
    close_all(database, market(3))


def records(database: Database, ticker: str = "T0") -> list[dict[str, Any]]:
    query = "SELECT CAST(record AS jsonb) FROM ledger WHERE partition = :partition ORDER BY sequence"
    with database.read() as connection:
        return list(connection.execute(text(query), {"partition": partition_of(ticker)}).scalars())


def checkpoints(database: Database) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(text("SELECT * FROM checkpoint ORDER BY partition, sequence")))


def go_on(database: Database, whole: list[CandleBatch], start: int, stop: int | None = None) -> None:
    """Close the batches from one place to another with a new runner."""
    runner = Runner(0, 1, ALL)
    for number, batch in enumerate(whole[start:stop], start=start + 1):
        close(database, runner, batch, number)


def restarted(database: Database, whole: list[CandleBatch], *, every: int) -> None:
    """Close batches with a new runner for each `every` of them."""
    for start in range(0, len(whole), every):
        go_on(database, whole, start, start + every)


def test_the_first_record_of_a_day_names_the_state_before_it(copied: Copied) -> None:
    database = copied(two_days)
    named = {each["close_time"]: each["checkpoint"] for each in records(database) if "checkpoint" in each}
    assert list(named) == [f"2020-01-0{day}T00:00:00Z" for day in (2, 3)]
    kept = [each for each in checkpoints(database) if each.partition == partition_of("T0")]
    assert [each.hash for each in kept] == list(named.values())
    assert all(hashlib.sha256(each.state).hexdigest() == each.hash for each in kept)
    with database.read() as connection:
        sequences = connection.execute(
            text("SELECT sequence FROM ledger WHERE partition = :partition AND record LIKE '%checkpoint%'"),
            {"partition": partition_of("T0")},
        ).scalars()
        assert [each.sequence for each in kept] == list(sequences)


@pytest.mark.parametrize("every", [5, 31])
def test_restarts_change_no_byte_of_chains_and_states(migrated: MakeDatabase, every: int) -> None:
    unbroken, broken = migrated("signals"), migrated("signals")
    present = np.random.default_rng(3).random((3 * DAY, 5)) < 0.9
    present[: DAY + 5, 4] = False
    whole = list(batches(random_walk(3 * DAY, 5, seed=5), present=present))
    close_all(unbroken, whole)
    restarted(broken, whole, every=every)
    assert stored(broken) == stored(unbroken)


def test_candles_before_the_checkpoint_are_not_read(copied: Copied) -> None:
    unbroken, restored = copied(three_days), copied(two_days)
    whole = market(3)
    go_on(restored, whole, 2 * DAY, 2 * DAY + 5)
    before = "DELETE FROM candle WHERE open_time < CAST('2020-01-02T23:00Z' AS timestamptz)"
    with restored.transaction() as session:
        session.execute(text(before))
    go_on(restored, whole, 2 * DAY + 5)
    with unbroken.transaction() as session:
        session.execute(text(before))
    assert stored(restored) == stored(unbroken)


def test_a_ticker_silent_since_long_before_the_checkpoint_goes_on_from_it(migrated: MakeDatabase) -> None:
    present = np.ones((3 * DAY, 3), dtype=np.bool_)
    present[DAY // 2 : 5 * DAY // 2, 1] = False
    whole = list(batches(random_walk(3 * DAY, 3, seed=5), present=present))
    unbroken, broken = migrated("signals"), migrated("signals")
    close_all(unbroken, whole)
    restarted(broken, whole, every=33)
    assert stored(broken) == stored(unbroken)


def test_history_of_a_new_ticker_that_came_after_the_checkpoint_is_read_again(migrated: MakeDatabase) -> None:
    walk = random_walk(3 * DAY, 3, seed=8)
    present = np.ones(walk.shape, dtype=np.bool_)
    present[:, 2] = False
    live = list(batches(walk, present=present))
    history = [batch.take(np.array([2], dtype=np.intp)) for batch in batches(walk)][: 2 * DAY + 3]
    stream = [*live[: 2 * DAY + 3], *history, *live[2 * DAY + 3 :]]
    unbroken, broken = migrated("signals"), migrated("signals")
    close_all(unbroken, stream)
    restarted(broken, stream, every=17)
    assert stored(broken) == stored(unbroken)
    assert [each["late"] for each in records(unbroken, "T2")].count(True) >= 2 * DAY
    assert not any(each["late"] and "checkpoint" in each for each in records(unbroken, "T2"))


def test_another_lineup_takes_a_state_at_its_first_record_and_an_indicator_that_it_lacks_is_built(
    migrated: MakeDatabase, copied: Copied, caplog: pytest.LogCaptureFixture
) -> None:
    database, alone = migrated("signals"), copied(three_days)
    whole = market(3)
    change = 2 * DAY + 5
    close_all(database, whole[:change], Runner(0, 1, FEW))
    go_on(database, whole, change)
    assert "a checkpoint is completed from the stored candles" in caplog.text
    named = [each["close_time"] for each in records(database) if "checkpoint" in each]
    assert named[-2:] == ["2020-01-03T06:00:00Z", "2020-01-04T00:00:00Z"]

    signals = (
        "SELECT * FROM signal WHERE open_time >= CAST('2020-01-03T05:00Z' AS timestamptz) ORDER BY 1, 2, 3"
    )
    with database.read() as left, alone.read() as right:
        columns = [
            [(row.ticker, row.open_time, row.algorithm, row.signal) for row in each.execute(text(signals))]
            for each in (left, right)
        ]
    assert columns[0] == columns[1]


def state_of(engine: Engine, whole: list[CandleBatch], ticker: str) -> dict[str, bytes]:
    """The arrays of a ticker's state after some closes."""
    for batch in whole:
        engine.step(batch)
    return arrays_of(engine.snapshot([ticker]))


def arrays_of(state: EngineState) -> dict[str, bytes]:
    return {
        name: array.tobytes() for name, array in state.arrays.items() if not name.startswith("algorithm/")
    }


def test_after_retention_a_new_algorithm_moves_no_seed_of_what_the_checkpoint_has(
    migrated: MakeDatabase,
) -> None:
    """T1 has too few candles left for the new indicators, T2 none."""
    steps, change, kept_from = 10 * DAY + 6, 10 * DAY + 5, 5 * DAY
    present = np.ones((steps, 3), dtype=np.bool_)
    present[DAY : change - 30, 1] = present[2 * DAY : change, 2] = False
    whole = list(batches(random_walk(steps, 3, seed=5), present=present))
    database = migrated("signals")
    close_all(database, whole[:change], Runner(0, 1, FEW))
    with database.transaction() as session:
        session.execute(
            text("DELETE FROM candle WHERE open_time < :moment"), {"moment": whole[kept_from].open_time}
        )
    close(database, Runner(0, 1, ALL), whole[change], change + 1)

    states = {
        each.partition: EngineState.from_bytes(each.state)
        for each in checkpoints(database)
        if each.close_time == whole[change].close_time
    }
    found = {ticker: arrays_of(states[partition_of(ticker)].only([ticker])) for ticker in ("T0", "T1", "T2")}
    had = state_of(Engine("1h", FEW.on("1h")), whole[:change], "T0")
    left = [state_of(Engine("1h", ALL.on("1h")), whole[kept_from:change], each) for each in ("T0", "T1")]
    assert had["indicator/rsi14/gain"] != left[0]["indicator/rsi14/gain"]
    assert found["T0"] == {**left[0], **had}
    assert found["T1"] == left[1]
    assert not any(map(any, (found["T2"]["count"], found["T2"]["indicator/rsi14/gain"])))
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM ticker")).scalar_one() == 3
        assert (
            connection.execute(
                text("SELECT count(evaluated_in) FROM candle WHERE open_time = :moment"),
                {"moment": whole[change].open_time},
            ).scalar_one()
            == 3
        )


SPOIL = {
    "nonsense": "UPDATE checkpoint SET state = 'nonsense'",
    "nonsense with its hash": "UPDATE checkpoint SET state = 'nonsense',"
    " hash = encode(sha256('nonsense'), 'hex')",
    "of another day": "UPDATE checkpoint AS one SET (state, hash) = (SELECT state, hash"
    " FROM checkpoint AS other WHERE other.partition = one.partition AND close_time = '2020-01-02')",
}
"""What may have become of a state: rot, a forger's work, and a sound state of another day."""


@pytest.mark.parametrize("how", SPOIL)
def test_a_state_that_its_record_does_not_name_is_passed_over_for_the_candles(
    copied: Copied, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    unbroken, broken = copied(three_days), copied(two_days)
    whole = market(3)
    with broken.transaction() as session:
        spoilt = session.execute(text(f"{SPOIL[how]} WHERE close_time = '2020-01-03' RETURNING sequence"))
        assert spoilt.all()
    go_on(broken, whole, 2 * DAY)
    assert "a checkpoint is passed over" in caplog.text
    assert stored(broken)["ledger"] == stored(unbroken)["ledger"]


def test_a_ticker_of_which_neither_checkpoint_nor_candles_are_left_begins_anew_with_the_views_it_had(
    migrated: MakeDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    silent, back = 5 * DAY, 6 * DAY + 5
    present = np.ones((8 * DAY, 3), dtype=np.bool_)
    present[silent:back, 2] = False
    whole = list(batches(random_walk(8 * DAY, 3, seed=5), present=present))
    database = migrated("signals")
    close_all(database, whole[: back - 2])
    with database.transaction() as session:
        session.execute(text("UPDATE checkpoint SET state = 'nonsense'"))
        session.execute(
            text("DELETE FROM candle WHERE open_time < :moment"), {"moment": whole[silent].open_time}
        )
    go_on(database, whole, back - 2)
    assert "a checkpoint is passed over" in caplog.text
    with database.read() as connection:
        listed = connection.execute(text("SELECT ticker FROM ticker ORDER BY 1")).scalars().all()
        rows = connection.execute(
            text(
                "SELECT algorithm, from_view, to_view, close_time FROM view_change"
                " WHERE ticker = 'T2' ORDER BY close_time"
            )
        ).all()
    assert listed == ["T0", "T1", "T2"]
    views: dict[str, str] = {}
    for algorithm, from_view, to_view, _ in rows:
        assert from_view == views.get(algorithm, "HOLD")
        views[algorithm] = to_view
    closes = [row.close_time for row in rows]
    assert closes[0] < whole[silent].open_time < whole[back].open_time < closes[-1]
