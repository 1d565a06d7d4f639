from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.signals.candles import Candle, CandleBatch
from services.signals.ledger.records import Record
from services.signals.positions import BUY
from services.signals.repository import cycles, history
from services.signals.repository.cycles import ChangeRow, Signals, TickerRow
from tests.signals.closing import close_all, stored
from tests.signals.market import batches, random_walk
from tests.signals.test_runner import MakeDatabase

OPENED = datetime(2024, 1, 1, tzinfo=UTC)
EXTREMES = [
    5e-324,
    2.2250738585072014e-308,
    1e-7,
    0.1,
    0.1 + 0.2,
    1 / 3,
    1e15 + 0.3,
    1e16,
    1e22,
    1.7976931348623157e308,
]


def test_every_float64_comes_back_from_the_database_as_it_went_in(migrated: MakeDatabase) -> None:
    database = migrated("signals")

    @example(EXTREMES)
    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.floats(min_value=0, exclude_min=True, allow_infinity=False), min_size=1, max_size=20))
    def check(prices: list[float]) -> None:
        candles = [Candle(f"T{number}", OPENED, *[price] * 5) for number, price in enumerate(prices)]
        tickers, columns = tuple(candle.ticker for candle in candles), [np.array(prices)] * 5
        batch = CandleBatch("1h", OPENED + timedelta(hours=1), tickers, *columns)
        with Session(database.engine) as session:  # never committed
            cycles.insert_candles(session, "1h", candles, None)
            by_row = [history.candle_at(session, candle.ticker, "1h", OPENED) for candle in candles]
            session.rollback()
            cycles.insert_close(session, batch, range(len(batch)))
            in_columns = [history.candle_at(session, candle.ticker, "1h", OPENED) for candle in candles]
        assert candles == by_row == in_columns

    check()


def test_candles_are_read_part_by_part_and_over_long_gaps(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    times = [datetime(year, 1, 1, tzinfo=UTC) for year in (1965, 2001, 2024)]
    with database.transaction() as session:
        for opened in times:
            cycles.insert_candles(session, "1d", [Candle("T", opened, 1.0, 1.0, 1.0, 1.0, 1.0)], [1])
        cycles.insert_tickers(session, [TickerRow("T", "1d", 3, times[0])])
    with database.read() as connection:
        found = list(history.evaluated_candles(connection, "1d", {3: history.FOREVER}))
        assert list(history.evaluated_candles(connection, "1d", {4: history.FOREVER})) == []
    assert [batch.open_time for batch in found] == times


def test_nothing_is_written_twice(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    close_all(database, batches(random_walk(30, 3, seed=1)))
    before = stored(database)
    column = np.array([0.2, 0.1])
    candles = CandleBatch("1h", OPENED + timedelta(hours=1), ("T8", "T9"), *[column] * 5)
    one, bought = np.ones(1, dtype=np.intp), np.full(1, BUY, dtype=np.int8)
    signals = Signals(candles, (("z", "0"), ("a", "1")), one, one, bought, bought)
    nothing = Signals(candles, (), one[:0], one[:0], bought[:0], bought[:0])
    with database.transaction() as session, cycles.inserting_signals(session, signals):
        pass
    with database.transaction() as session, cycles.inserting_signals(session, nothing):
        pass
    again = replace(signals, tickers_at=one - 1)
    with (
        pytest.raises(ZeroDivisionError),
        database.transaction() as session,
        cycles.inserting_signals(session, again),
    ):
        raise ZeroDivisionError
    with database.read() as connection:
        stored_row = connection.execute(text("SELECT * FROM signal WHERE ticker = 'T9'")).one()
    assert float(stored_row.close) == 0.1
    assert (stored_row.algorithm, stored_row.algorithm_version, stored_row.open_time) == ("a", "1", OPENED)
    assert (stored_row.timeframe, stored_row.signal, stored_row.view) == ("1h", "BUY", "BUY")
    assert len(stored(database)["signal"]) == len(before["signal"]) + 1


AWKWARD = [
    '{"text":"a \\"quoted\\" \\\\ one"}',
    "{a,b}",
    "",
    "NULL",
    " spaced ",
    "tab\tand\nline",
    "é\U0001f600",
    "'; --",
]


def test_texts_come_back_from_the_database_as_they_went_in(migrated: MakeDatabase) -> None:
    records = [
        Record(3, number, "1h", OPENED, late=bool(number % 2), body=body, hash=body)
        for number, body in enumerate(AWKWARD, start=1)
    ]
    database = migrated("signals")
    with database.transaction() as session:
        cycles.insert_records(session, records)
    with database.read() as connection:
        found = connection.execute(
            text("SELECT sequence, late, close_time, record, hash FROM ledger ORDER BY sequence")
        ).all()
    assert [tuple(row) for row in found] == [
        (each.sequence, each.late, each.close_time, each.body, each.hash) for each in records
    ]


def test_conditions_come_back_from_the_database_as_they_went_in(migrated: MakeDatabase) -> None:
    why = [{"text": each, "value": 0.1 + 0.2, "threshold": None, "holds": True} for each in AWKWARD]
    row = ChangeRow("T", "a", "1h", OPENED, "1", "HOLD", "BUY", 1 / 3, why, 3, 7)
    database = migrated("signals")
    with database.transaction() as session:
        cycles.insert_changes(session, [row], late=True)
        cycles.insert_changes(session, [], late=True)
    with database.read() as connection:
        found = connection.execute(text("SELECT * FROM view_change")).one()
    assert found.why == why
    assert (found.ticker, found.close_time, found.algorithm, found.timeframe) == ("T", OPENED, "a", "1h")
    assert (found.from_view, found.to_view, float(found.close)) == ("HOLD", "BUY", 1 / 3)
    assert (found.algorithm_version, found.ledger_partition, found.ledger_sequence, found.late) == (
        "1",
        3,
        7,
        True,
    )
