"""The live feed is stopped and started again: it goes on where the stored candles end."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from services.signals import runner, worker
from services.signals.feeds.source import SETTLE_SECONDS
from shared.bus.local import LocalBus
from shared.db.engine import Database
from shared.process import Loop
from tests.signals.exchanges import HOUR, START, Stage, staged
from tests.signals.local_market import running, settings, wait_until
from tests.signals.test_feed import Publisher
from tests.signals.test_runner import MakeUrl

AAA, BBB, CCC = "kraken:AAA/USDT", "kraken:BBB/USDT", "binance:CCC/USDT"


@pytest.fixture
def url(database_url: MakeUrl) -> str:
    return database_url("signals")


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    """Two exchanges; the clock says a minute past a close."""
    with staged(url, START + 10 * HOUR + 60, kraken=("AAA/USDT", "BBB/USDT"), binance=("CCC/USDT",)) as stage:
        yield stage


def evaluating(database: Database, url: str) -> list[Loop]:
    """Relay and runner."""
    bus = LocalBus(retry_delays=(0.1,), in_place_delays=(0.02,), unroutable_seconds=3600)
    chosen = settings(url, feed="ccxt:kraken,binance")
    return [*runner.loops(chosen, database, bus), *worker.loops(chosen, database, bus)]


def stored(database: Database, timeframe: str) -> dict[str, list[int]]:
    """The closes of each ticker's evaluated candles, in hours after START."""
    with database.read() as connection:
        rows = connection.execute(
            text(
                """
                SELECT ticker, array_agg(open_time ORDER BY open_time) FROM candle
                WHERE timeframe = :timeframe AND evaluated_in IS NOT NULL GROUP BY ticker
                """
            ),
            {"timeframe": timeframe},
        )
        length = {"1h": 1, "4h": 4}[timeframe]
        return {
            ticker: [int(each.timestamp() - START) // HOUR + length for each in opened]
            for ticker, opened in rows
        }


def test_stopped_anywhere_it_loses_no_candle_and_evaluates_none_twice(stage: Stage, url: str) -> None:
    with running(evaluating(stage.database, url)):
        for batches in (3, 7, 20, 33):
            with running([stage.feed(made=("4h",), history=40)]):
                wait_until(lambda least=batches: len(stage.released()) >= least, "some batches")  # type: ignore[misc]
            stage.clock.move(HOUR)
        with running([stage.feed(made=("4h",), history=40)]):
            wait_until(lambda: ("1h", 14, (CCC, AAA, BBB)) in stage.released(), "the last close")
            stage.clock.move_to(START + 16 * HOUR + SETTLE_SECONDS)
            wait_until(lambda: ("4h", 16, (CCC, AAA, BBB)) in stage.released(), "a close as it happens")
        wait_until(lambda: stored(stage.database, "4h").get(AAA, [0])[-1] == 16, "all is evaluated")
    assert stored(stage.database, "1h") == {each: list(range(-31, 17)) for each in (AAA, BBB, CCC)}
    assert stored(stage.database, "4h") == {each: list(range(-28, 17, 4)) for each in (AAA, BBB, CCC)}
    closes = [close for timeframe, close, _ in stage.released() if timeframe == "1h"]
    assert list(dict.fromkeys(closes)) == list(range(-31, 17))


def test_what_was_missed_while_it_was_down_is_released_oldest_first(stage: Stage, url: str) -> None:
    with running(evaluating(stage.database, url)):
        with running([stage.feed()]):
            wait_until(lambda: len(stage.released()) == 2, "history")
        wait_until(lambda: stored(stage.database, "1h").get(CCC) == [9, 10], "it is stored")
        stage.clock.move_to(START + 40 * HOUR + 60)
        with running([stage.feed()]):
            wait_until(lambda: len(stage.released()) == 32, "what was missed")
    assert stage.released()[2:] == [("1h", close, (CCC, AAA, BBB)) for close in range(11, 41)]


def test_a_candle_of_a_longer_timeframe_that_a_kill_left_out_is_released_at_the_start(
    stage: Stage, url: str
) -> None:
    with running([*evaluating(stage.database, url), stage.feed(made=("4h",), history=10)]):
        wait_until(lambda: len(stored(stage.database, "4h")) == 3, "history")
        wait_until(lambda: len(stored(stage.database, "1h").get(CCC, [])) == 10, "history")
    with stage.database.transaction() as session:
        session.execute(
            text("DELETE FROM candle WHERE timeframe = '4h' AND open_time = :opened AND ticker <> :kept"),
            {"opened": datetime.fromtimestamp(START + 4 * HOUR, UTC), "kept": BBB},
        )
    before = len(stage.released())
    with running([stage.feed(made=("4h",), history=10), Publisher(stage.database)]):
        wait_until(lambda: len(stage.released()) > before, "what was left out")
    assert stage.released()[before] == ("4h", 8, (CCC, AAA))
