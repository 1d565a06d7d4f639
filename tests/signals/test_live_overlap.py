"""Candles that an exchange tells only after a newer one of the same ticker."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from services.signals.feeds.position import OVERLAP
from services.signals.feeds.source import SETTLE_SECONDS
from services.signals.ledger.verification import verify
from shared.db.engine import Database
from tests.signals.exchanges import HOUR, START, Stage, staged
from tests.signals.local_market import running, wait_until
from tests.signals.test_feed import Publisher
from tests.signals.test_live_restart import evaluating, stored
from tests.signals.test_runner import MakeUrl

AAA, BBB = "kraken:AAA/USDT", "kraken:BBB/USDT"


@pytest.fixture
def url(database_url: MakeUrl) -> str:
    return database_url("signals")


@pytest.fixture
def stage(url: str) -> Iterator[Stage]:
    """Kraken with two markets; the clock says a minute past a close."""
    with staged(url, START + 10 * HOUR + 60, kraken=("AAA/USDT", "BBB/USDT")) as stage:
        yield stage


def holes(stage: Stage, ticker: str = "AAA/USDT") -> set[int]:
    """The open times that the exchange tells no candle of."""
    return stage.servers["kraken"].markets[ticker].missing


def close(stage: Stage, hour: int, *tickers: str) -> None:
    """Let an hour close, and wait until the candles of these tickers are released."""
    stage.clock.move_to(START + hour * HOUR + SETTLE_SECONDS)
    stage.move_until(lambda: ("1h", hour, tickers) in stage.released(), f"close {hour}")


def late(database: Database) -> list[tuple[str, str, int]]:
    """Ticker, timeframe and open time (in hours after START) of each candle that was not evaluated."""
    with database.read() as connection:
        rows = connection.execute(
            text(
                "SELECT ticker, timeframe, open_time FROM candle WHERE evaluated_in IS NULL ORDER BY 1, 2, 3"
            )
        )
        return [(row.ticker, row.timeframe, int(row.open_time.timestamp() - START) // HOUR) for row in rows]


def test_it_is_released_with_the_next_answer_before_the_newer_ones(stage: Stage) -> None:
    holes(stage).add(START + 10 * HOUR)
    with running([stage.feed(history=3), Publisher(stage.database)]):
        wait_until(lambda: len(stage.released()) == 3, "history")
        close(stage, 11, BBB)
        close(stage, 12, AAA, BBB)
        holes(stage).clear()
        close(stage, 13, AAA, BBB)
        close(stage, 14, AAA, BBB)
    assert stage.released()[3:] == [
        ("1h", 11, (BBB,)),
        ("1h", 12, (AAA, BBB)),
        ("1h", 11, (AAA,)),
        ("1h", 13, (AAA, BBB)),
        ("1h", 14, (AAA, BBB)),
    ]


def test_it_is_stored_as_late_and_what_it_completes_is_evaluated(stage: Stage, url: str) -> None:
    holes(stage).update((START + 6 * HOUR, START + 11 * HOUR))
    with running([*evaluating(stage.database, url), stage.feed(made=("4h",), history=10)]):
        wait_until(lambda: ("1h", 10, (AAA, BBB)) in stage.released(), "history, with a hole")
        close(stage, 12, BBB)
        close(stage, 13, AAA, BBB)
        wait_until(lambda: stored(stage.database, "1h").get(AAA, [0])[-1] == 13, "it is evaluated")
        assert stored(stage.database, "4h") == {AAA: [4], BBB: [4, 8, 12]}
        holes(stage).clear()
        close(stage, 14, AAA, BBB)
        wait_until(lambda: stored(stage.database, "4h") == {AAA: [4, 8, 12], BBB: [4, 8, 12]}, "both groups")
        wait_until(lambda: stored(stage.database, "1h").get(AAA, [0])[-1] == 14, "the newest close")
    assert late(stage.database) == [(AAA, "1h", 6), (AAA, "1h", 11)]
    assert stored(stage.database, "1h")[AAA] == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14]
    assert [each for each in stage.released() if each[2] == (AAA,)] == [
        ("1h", 7, (AAA,)),
        ("4h", 8, (AAA,)),
        ("1h", 12, (AAA,)),
        ("4h", 12, (AAA,)),
    ]
    verify(stage.database)


def test_a_restart_knows_what_is_known_and_what_is_not(stage: Stage, url: str) -> None:
    holes(stage).update((START + 2 * HOUR, START + 8 * HOUR))
    with running(evaluating(stage.database, url)):
        with running([stage.feed(history=10, made=("4h",))]):
            wait_until(lambda: ("1h", 10, (AAA, BBB)) in stage.released(), "history, with holes")
        holes(stage).clear()
        stage.clock.move_to(START + 11 * HOUR + 60)
        before = stage.released()
        with running([stage.feed(history=10, made=("4h",))]):
            stage.move_until(lambda: ("1h", 11, (AAA, BBB)) in stage.released(), "the next close")
            expected = [(AAA, "1h", 2), (AAA, "1h", 8), (AAA, "4h", 0)]
            wait_until(lambda: late(stage.database) == expected, "all of it is stored")
        assert stage.released()[len(before) :] == [
            ("1h", 3, (AAA,)),
            ("4h", 4, (AAA,)),
            ("1h", 9, (AAA,)),
            ("1h", 11, (AAA, BBB)),
        ]
        again = stage.released()
        with running([stage.feed(history=10, made=("4h",))]):
            close(stage, 12, AAA, BBB)
            wait_until(lambda: ("4h", 12, (AAA, BBB)) in stage.released(), "a group across the restart")
        assert stage.released()[len(again) :] == [("1h", 12, (AAA, BBB)), ("4h", 12, (AAA, BBB))]


def test_it_may_come_as_long_as_it_is_among_the_last_ones_and_never_from_before_the_first(
    stage: Stage,
) -> None:
    server = stage.servers["kraken"]
    last = 10 + OVERLAP
    holes(stage).update((START + 9 * HOUR, START + 10 * HOUR))
    with running([stage.feed(history=2), Publisher(stage.database)]):
        wait_until(lambda: ("1h", 10, (BBB,)) in stage.released(), "history")
        for hour in range(11, last + 1):
            close(stage, hour, *((BBB,) if hour == 11 else (AAA, BBB)))
        before = len(stage.released())
        holes(stage).clear()
        close(stage, last + 1, AAA, BBB)
        asked = server.count("OHLC", "AAA/USDT")
        close(stage, last + 2, AAA, BBB)
        assert server.count("OHLC", "AAA/USDT") == asked + 1
    assert stage.released()[before:] == [
        ("1h", 11, (AAA,)),
        ("1h", last + 1, (AAA, BBB)),
        ("1h", last + 2, (AAA, BBB)),
    ]
