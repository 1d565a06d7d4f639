"""Candles go after their time, and never while a chain still needs them."""

from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import pytest
from pydantic import ValidationError
from sqlalchemy import text

from services.signals import retention, track_record
from services.signals.candles import CandleBatch, length_of
from services.signals.ledger.records import partition_of
from services.signals.repository import locks, outcomes, partitions
from services.signals.repository.partitions import Partition, partition_at
from services.signals.runner import Runner
from shared.db.engine import Database
from tests.signals import local_market
from tests.signals.closing import ALL, close, close_all, stored
from tests.signals.market import START, batches, random_walk
from tests.signals.test_runner import MakeDatabase

KEPT: Mapping[str, timedelta] = {"1m": timedelta(days=7)}
MINUTE = length_of("1m")
SAME_CHAIN = "T11"
"""A ticker in the chain of T0."""


def at(opened: timedelta, number: int, tickers: tuple[str, ...] = ("T0", "T1", "T2")) -> CandleBatch:
    """Minute candles that open at a time after START."""
    price = np.array([100.0 + (number + place) % 7 for place in range(len(tickers))])
    return CandleBatch("1m", START + opened + MINUTE, tickers, price, price, price, price, price)


def weeks(count: int, *tickers: str) -> list[CandleBatch]:
    """Two closes a day."""
    moments = [timedelta(days=day, hours=12 * part) for day in range(7 * count) for part in range(2)]
    return [at(moment, number, tickers or ("T0", "T1", "T2")) for number, moment in enumerate(moments)]


def tables(database: Database) -> list[str]:
    with database.read() as connection:
        return [each.name for each in partitions.existing(connection)]


def drop_once_read(database: Database, kept: Mapping[str, timedelta]) -> list[Partition]:
    track_record.follow(database)
    return retention.drop_old(database, kept)


def test_partitions_older_than_the_retention_are_dropped_and_a_restart_goes_on_from_the_checkpoint(
    migrated: MakeDatabase,
) -> None:
    unbroken, database = migrated("signals"), migrated("signals")
    whole = weeks(5)
    close_all(unbroken, whole)
    close_all(database, whole[:-3])
    before = tables(database)

    dropped = drop_once_read(database, KEPT)

    assert [each.name for each in dropped] == before[:4]
    assert tables(database) == before[4:]
    with database.read() as connection:
        newest = partitions.newest_open_time(connection, "1m")
    assert newest is not None
    assert all(each.end <= newest - KEPT["1m"] for each in dropped)
    runner = Runner(0, 1, ALL)
    for number, batch in enumerate(whole[-3:], start=len(whole) - 2):
        close(database, runner, batch, number)
    left, right = stored(database), stored(unbroken)
    assert {name: rows for name, rows in left.items() if name != "candle"} == {
        name: rows for name, rows in right.items() if name != "candle"
    }


def test_candles_of_a_timeframe_without_a_retention_are_kept_for_ever(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    close_all(database, weeks(4))
    before = tables(database)
    assert drop_once_read(database, {"5m": timedelta(days=1)}) == []
    assert tables(database) == before


def test_nothing_goes_while_a_chain_of_the_timeframe_has_no_checkpoint(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    stream = weeks(4)
    runner = close_all(database, stream)
    new = at(timedelta(days=27, hours=13), 0, ("T0", "T1", "T2", "T9"))
    close(database, runner, new, len(stream) + 1)
    assert drop_once_read(database, KEPT) == []

    close(database, runner, at(timedelta(days=28, hours=1), 1, ("T0", "T1", "T2", "T9")), len(stream) + 2)
    assert len(drop_once_read(database, KEPT)) == 3


def test_history_of_a_new_ticker_stays_until_a_checkpoint_has_it(migrated: MakeDatabase) -> None:
    """Its closes lie before the newest checkpoint, its records behind it."""
    database = migrated("signals")
    stream = weeks(4)
    runner = close_all(database, stream)
    close_all(database, weeks(1, SAME_CHAIN), runner)
    assert drop_once_read(database, KEPT) == []

    for day in (28, 29):
        close(database, runner, at(timedelta(days=day), day, ("T0", "T1", "T2", SAME_CHAIN)), 500 + day)
    assert len(drop_once_read(database, KEPT)) == 3


def test_candles_that_the_track_record_has_not_read_stay(migrated: MakeDatabase) -> None:
    """Of any chain: here all but that of T0 are read."""
    database = migrated("signals")
    close_all(database, weeks(4))
    before = tables(database)
    for chain in {partition_of("T1"), partition_of("T2")} - {partition_of("T0")}:
        with database.transaction() as session:
            track_record.read_on(session, chain)

    assert retention.drop_old(database, KEPT) == []
    assert tables(database) == before

    track_record.follow(database)
    with database.read() as connection:
        assert outcomes.problems(connection) == []
    assert len(retention.drop_old(database, KEPT)) == 3


def test_a_chain_whose_candles_are_gone_is_not_said_to_be_of_others(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    close_all(database, weeks(2))
    with database.transaction() as session:
        oldest = partitions.existing(session.connection())[0]
        partitions.drop(session.connection(), oldest)
    track_record.follow(database)
    with database.read() as connection:
        said = outcomes.problems(connection)
    assert said == [
        f"chain {chain}, record 1 was made of candles that are no longer kept"
        for chain in sorted({partition_of(ticker) for ticker in ("T0", "T1", "T2")})
    ]


def test_partitions_stay_while_a_close_is_evaluated_or_somebody_reads(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    close_all(database, weeks(4))
    with database.transaction() as session:
        locks.share_closes(session.connection())
        assert drop_once_read(database, KEPT) == []
    with database.transaction() as session:
        session.execute(text("SELECT count(*) FROM candle"))
        assert drop_once_read(database, KEPT) == []
    assert len(drop_once_read(database, KEPT)) == 3


def test_while_somebody_reads_the_oldest_candles_newer_ones_stay_too(migrated: MakeDatabase) -> None:
    """A hole in what is stored would pass for candles that were changed."""
    database = migrated("signals")
    close_all(database, weeks(4))
    oldest, *_ = tables(database)
    with database.transaction() as session:
        session.execute(text(f"SELECT count(*) FROM {oldest}"))
        assert drop_once_read(database, KEPT) == []
    assert len(drop_once_read(database, KEPT)) == 3


def test_the_retention_is_a_setting_and_a_wrong_one_is_refused() -> None:
    url = "postgresql+psycopg://nowhere/x"
    assert local_market.settings(url).retention()["1m"] == timedelta(days=90)
    assert "1d" not in local_market.settings(url).retention()
    chosen = local_market.settings(url, candle_retention='{"1d": 3650}')
    assert chosen.retention() == {"1d": timedelta(days=3650)}
    for wrong in ("90", '{"2m": 1}', '{"1m": 0}', '{"1m": "a"}', '{"1m": 1.5}', "{", '{"1m": true}'):
        with pytest.raises(ValidationError, match="CANDLE_RETENTION"):
            local_market.settings(url, candle_retention=wrong)


def test_hourly_partitions_are_longer_than_a_day_of_checkpoints(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    close_all(database, batches(random_walk(30, 2, seed=1)))
    assert tables(database) == [partition_at("1h", START).name]
    assert drop_once_read(database, {"1h": timedelta(hours=1)}) == []
