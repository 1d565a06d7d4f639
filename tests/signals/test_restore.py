"""A runner that starts over a long history."""

import threading

from prometheus_client import REGISTRY
from sqlalchemy import text

from services.signals.candles import CandleBatch
from services.signals.ledger.records import partition_of
from services.signals.repository import cycles
from services.signals.repository.cycles import TickerRow
from services.signals.runner import Runner
from shared.db.engine import Database
from tests.signals.closing import ALL, close, close_all, envelope_of, stored
from tests.signals.market import batches, random_walk
from tests.signals.test_runner import MakeDatabase

LONG = 8_000
"""Candles that take longer to step through than the transaction may be idle."""
SHORT = 600


def with_history(migrated: MakeDatabase, length: int) -> tuple[Database, CandleBatch]:
    """A database with a history of one ticker, and the batch that comes next."""
    *whole, following = batches(random_walk(length + 1, 1, seed=1))
    database = migrated("signals")
    with database.transaction() as session:
        listed = TickerRow("T0", "1h", partition_of("T0"), whole[0].open_time)
        cycles.insert_tickers(session, [listed])
        cycles.insert_candles(session, "1h", [batch.candle(0) for batch in whole], range(1, length + 1))
    return database, following


def rebuilds() -> float:
    return REGISTRY.get_sample_value("signals_rebuilds_total") or 0.0


def test_a_long_history_is_restored_without_leaving_the_transaction_idle(
    migrated: MakeDatabase,
) -> None:
    database, following = with_history(migrated, LONG)
    with database.transaction() as session:
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '1500ms'"))
        Runner(0, 1, ALL).candles_closed(session, envelope_of(following))
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM candle")).scalar_one() == LONG + 1


def test_a_runner_catches_up_before_its_first_message_and_says_that_it_lives(
    migrated: MakeDatabase,
) -> None:
    database, following = with_history(migrated, SHORT)
    beats: list[None] = []
    runner = Runner(0, 1, ALL)
    runner.catch_up(database, threading.Event(), lambda: beats.append(None))
    assert len(beats) > 10
    before = rebuilds()
    close(database, runner, following)
    runner.catch_up(database, threading.Event(), lambda: beats.append(None))
    assert rebuilds() == before


def test_catching_up_ends_when_asked_and_is_begun_again(migrated: MakeDatabase) -> None:
    database, following = with_history(migrated, SHORT)
    stop = threading.Event()
    runner = Runner(0, 1, ALL)
    beats: list[None] = []

    def beat() -> None:
        beats.append(None)
        stop.set()

    runner.catch_up(database, stop, beat)
    assert len(beats) < 5
    before = rebuilds()
    close(database, runner, following)
    assert rebuilds() == before + 1


def test_a_caught_up_runner_goes_on_as_one_that_ran_through(migrated: MakeDatabase) -> None:
    whole = list(batches(random_walk(160, 4, seed=7)))
    unbroken, caught_up = migrated("signals"), migrated("signals")
    close_all(unbroken, whole)
    close_all(caught_up, whole[:120])
    runner = Runner(0, 1, ALL)
    runner.catch_up(caught_up, threading.Event(), lambda: None)
    close_all(caught_up, whole[120:], runner)
    assert stored(caught_up) == stored(unbroken)
