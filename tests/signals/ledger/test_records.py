import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from services.signals.ledger import records
from services.signals.ledger.records import GENESIS, Head, Record
from tests.signals.closing import close_all
from tests.signals.market import batches, random_walk
from tests.signals.test_runner import MakeDatabase

CLOSE = datetime(2024, 3, 1, 12, tzinfo=UTC)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def record(head: Head, *, close_time: datetime = CLOSE, timeframe: str = "1h") -> Record:
    return records.append(
        head,
        timeframe=timeframe,
        close_time=close_time,
        candles=records.NO_CANDLES,
        algorithms=[{"key": "a", "parameters": {"n": 3.0}, "version": "1"}],
        set_aside=[],
        changes=[{"algorithm": "a", "close": 1.5, "from": "HOLD", "ticker": "T", "to": "BUY"}],
    )


def test_a_record_is_canonical_json_that_names_the_record_before() -> None:
    first = record(Head(3))
    second = record(first.head_after(Head(3)), close_time=CLOSE + timedelta(hours=1))
    assert first.body == (
        '{"algorithms":[{"key":"a","parameters":{"n":3},"version":"1"}],"candles":"'
        + records.NO_CANDLES
        + '",'
        '"changes":[{"algorithm":"a","close":1.5,"from":"HOLD","ticker":"T","to":"BUY"}],'
        '"close_time":"2024-03-01T12:00:00Z","format":1,"late":false,"partition":3,"previous":"'
        + GENESIS
        + '",'
        '"sequence":1,"set_aside":[],"timeframe":"1h"}'
    )
    assert (
        json.loads(second.body)["previous"] == first.hash == hashlib.sha256(first.body.encode()).hexdigest()
    )
    assert json.loads(second.body)["sequence"] == 2


@pytest.mark.parametrize(
    ("moment", "timeframe", "late"),
    [
        (CLOSE, "1h", True),
        (CLOSE, "15m", True),
        (CLOSE, "4h", False),
        (CLOSE - timedelta(hours=4), "4h", True),
        (CLOSE + timedelta(minutes=15), "15m", False),
    ],
)
def test_a_chain_is_in_order_of_close_time_then_timeframe(
    moment: datetime, timeframe: str, late: bool
) -> None:
    head = record(Head(0)).head_after(Head(0))
    assert json.loads(record(head, close_time=moment, timeframe=timeframe).body)["late"] is late


def test_a_late_record_does_not_move_the_clock_of_its_chain_back() -> None:
    head = record(Head(0)).head_after(Head(0))
    late = record(head, close_time=CLOSE - timedelta(hours=1))
    assert late.late
    after = late.head_after(head)
    assert (after.close_time, after.timeframe, after.sequence) == (CLOSE, "1h", 2)


def test_the_partition_of_a_ticker_never_changes() -> None:
    tickers = ("BTCUSD", "ETH/BTC", "AAPL", "MSFT")
    assert [records.partition_of(ticker) for ticker in tickers] == [11, 10, 14, 6]


@given(st.lists(st.tuples(FLOATS, st.text(alphabet="ABZaz09._/:-", min_size=1, max_size=9)), max_size=20))
def test_columns_are_written_as_rfc_8785_says(rows: list[tuple[float, str]]) -> None:
    numbers = records._json_numbers(np.array([number for number, _ in rows], dtype=np.float64))
    columns: dict[str, list[Any]] = {"tickers": [name for _, name in rows], "close": numbers}
    plain: dict[str, Any] = {"tickers": columns["tickers"], "close": [number for number, _ in rows]}
    assert records.canonical_columns(columns) == rfc8785.dumps(plain)


def test_the_hash_of_candles_depends_on_each_value_and_not_on_the_order_of_tickers() -> None:
    batch = next(batches(random_walk(1, 6, seed=1)))
    partitions = [0, 1, 0, 1, 0, 1]
    hashes = dict(records.candle_hashes(batch, partitions))
    backwards = np.arange(5, -1, -1, dtype=np.intp)
    assert dict(records.candle_hashes(batch.take(backwards), partitions[::-1])) == hashes
    batch.volume[2] += 1
    changed = dict(records.candle_hashes(batch, partitions))
    assert changed[0] != hashes[0]
    assert changed[1] == hashes[1]


def test_stored_chains_hold_all_that_is_needed_to_recompute_them(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    closes = random_walk(60, 9, seed=3)
    present = np.ones(closes.shape, dtype=np.bool_)
    present[30:40, 4] = False
    whole = list(batches(closes, present=present))
    close_all(database, whole)
    with database.read() as connection:
        rows = connection.execute(text("SELECT * FROM ledger ORDER BY partition, sequence")).all()
        candles = connection.execute(
            text("SELECT ticker, open_time, open, high, low, close, volume FROM candle ORDER BY ticker")
        ).all()
    chains: dict[int, str] = {}
    for row in rows:
        content = json.loads(row.record)
        assert hashlib.sha256(row.record.encode()).hexdigest() == row.hash
        assert rfc8785.dumps(content).decode() == row.record
        assert content["previous"] == chains.get(row.partition, GENESIS)
        assert (content["partition"], content["sequence"], content["late"]) == (
            row.partition,
            row.sequence,
            row.late,
        )
        assert content["close_time"] == records.iso(row.close_time)
        chains[row.partition] = row.hash
        mine = [
            each
            for each in candles
            if records.partition_of(each.ticker) == row.partition
            and each.open_time == row.close_time - timedelta(hours=1)
        ]
        columns = {name: [float(getattr(each, name)) for each in mine] for name in records.COLUMNS}
        digest = rfc8785.dumps({**columns, "tickers": [each.ticker for each in mine]})
        assert content["candles"] == hashlib.sha256(digest).hexdigest()
        assert [each["key"] for each in content["algorithms"]] == sorted(
            each["key"] for each in content["algorithms"]
        )
    lengths = {partition: sum(row.partition == partition for row in rows) for partition in chains}
    assert set(lengths.values()) == {60}
