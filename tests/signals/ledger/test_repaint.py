"""A day evaluated again with candles fetched again, and what comes out otherwise."""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from services.signals.algorithms import ALGORITHMS
from services.signals.candles import CandleBatch
from services.signals.config import Settings
from services.signals.errors import FeedError
from services.signals.feeds.refetch import DayOfCandles, candles_of_day
from services.signals.ledger.repaint import RepaintJob, check_newest_day
from services.signals.repository import repaints
from shared.db.engine import Database
from tests.signals import audited, site
from tests.signals.audited import HOURLY
from tests.signals.conftest import Copied
from tests.signals.local_market import settings

DAY = date(2020, 1, 3)


@dataclass
class Fetched:
    batches: Sequence[CandleBatch]
    missing: Collection[str] = ()


def of_day(change: Callable[[CandleBatch], CandleBatch] = lambda batch: batch) -> list[CandleBatch]:
    """The candles of the day as an exchange tells them afterwards."""
    whole = [batch for batch in audited.whole_market() if batch.close_time.date() == DAY]
    return [change(batch) for batch in whole if batch.close_time.minute == 0 and batch.low.min() > 0]


@pytest.fixture(scope="module")
def market(kept_copied: Copied) -> Database:
    return kept_copied(audited.fill)


@pytest.fixture
def database(market: Database) -> Database:
    with market.transaction() as session:
        session.execute(text("DELETE FROM repaint_check"))
    return market


def check(database: Database, fetched: Fetched) -> dict[str, repaints.RepaintCheck]:
    asked: list[tuple[date, Collection[str]]] = []

    def refetch(day: date, tickers: Collection[str], _each: Callable[[], None]) -> Fetched:
        asked.append((day, tickers))
        return fetched

    found = {each.timeframe: each for each in check_newest_day(database, ALGORITHMS, refetch)}
    assert asked == [(DAY, sorted([*HOURLY, audited.FOUR_HOURLY]))]
    return found


def test_the_same_candles_give_the_same_changes(database: Database) -> None:
    found = check(database, Fetched(of_day()))
    with database.read() as connection:
        candles, changes = connection.execute(
            text(
                "SELECT (SELECT count(*) FROM candle WHERE timeframe = '1h' AND evaluated_in IS NOT NULL"
                " AND open_time >= '2020-01-02T23:00Z' AND open_time < '2020-01-03T23:00Z'),"
                " (SELECT count(*) FROM view_change WHERE timeframe = '1h'"
                " AND close_time >= '2020-01-03' AND close_time < '2020-01-04')"
            )
        ).one()
    assert found["1h"][2:6] == (candles, 0, changes, 0)
    assert (candles, found["4h"].candles) == (23 * 4, 6)
    assert changes > 3
    assert not any(
        each.details[what] for each in found.values() for what in ("candles", "changes", "left_out")
    )


def test_a_day_is_checked_once(database: Database) -> None:
    check(database, Fetched(of_day()))
    assert check_newest_day(database, ALGORITHMS, lambda *_: pytest.fail("asked again")) == []


def test_a_candle_that_is_another_one_today_and_what_it_would_have_turned_are_counted(
    database: Database,
) -> None:
    def changed(batch: CandleBatch) -> CandleBatch:
        if batch.timeframe != "1h" or batch.close_time.hour not in (6, 7):
            return batch
        columns = [np.concatenate([[column[0] * 3], column[1:]]) for column in batch.columns[:4]]
        return replace(batch, open_=columns[0], high=columns[1], low=columns[2], close=columns[3])

    found = check(database, Fetched(of_day(changed)))["1h"]
    assert found.candle_differences == 2
    assert found.change_differences > 0
    assert found.details["candles"][0].startswith(f"{HOURLY[0]} 2020-01-03T05:00:00Z: stored (")
    assert all(each.startswith(HOURLY[0]) for each in found.details["changes"])


def test_candles_that_only_one_side_has_are_counted(database: Database) -> None:
    gone = of_day(
        lambda batch: (
            batch.take(np.arange(1, len(batch), dtype=np.intp))
            if batch.close_time.hour == 6 and batch.timeframe == "1h"
            else batch
        )
    )
    skipped = next(batch for batch in of_day() if batch.timeframe == "1h")
    new = replace(skipped, close_time=skipped.close_time.replace(hour=2))
    found = check(database, Fetched([*gone, new]))["1h"]
    assert found.candle_differences == 1 + len(HOURLY)
    assert found.change_differences == 0
    assert f"{HOURLY[0]} 2020-01-03T05:00:00Z: not told any more" in found.details["candles"]
    assert f"{HOURLY[0]} 2020-01-03T01:00:00Z: told now, never stored" in found.details["candles"]


def test_a_ticker_that_could_not_be_asked_is_left_out(database: Database) -> None:
    whole = of_day(
        lambda batch: (
            batch.take(np.arange(1, len(batch), dtype=np.intp)) if batch.timeframe == "1h" else batch
        )
    )
    found = check(database, Fetched(whole, missing=(HOURLY[0],)))["1h"]
    assert (found.candles, found.candle_differences, found.change_differences) == (23 * 3, 0, 0)
    assert found.details["left_out"] == [HOURLY[0]]


def test_a_rule_that_was_another_one_is_left_out(database: Database) -> None:
    others = {key: each for key, each in ALGORITHMS.items() if key != "simple_trend_ride"}
    fetched = Fetched(of_day())
    found = check_newest_day(database, others, lambda *_: fetched)
    assert [each.change_differences for each in found] == [0, 0]
    assert found[0].details["left_out"] == ["the algorithm simple_trend_ride is not installed"]


def test_nothing_is_published_of_a_day_of_which_no_candle_could_be_fetched(database: Database) -> None:
    assert check(database, Fetched([], missing=(*HOURLY, audited.FOUR_HOURLY))) == {}
    with database.read() as connection:
        assert repaints.page(connection, None, 10) == []


def test_what_is_found_is_published(database: Database) -> None:
    check(database, Fetched(of_day()))
    with site.person(database) as client:
        page = client.get("/api/v1/ledger/repaint-checks?limit=1").json
        rest = client.get(f"/api/v1/ledger/repaint-checks?cursor={page['next']}").json
    items = page["items"] + rest["items"]
    assert [(each["day"], each["timeframe"], each["change_differences"]) for each in items] == [
        ("2020-01-03", "1h", 0),
        ("2020-01-03", "4h", 0),
    ]
    assert rest["next"] is None


def test_a_replay_reads_its_files_again(database: Database, tmp_path: Path) -> None:
    for batch in of_day():
        for candle in (batch.candle(index) for index in range(len(batch))):
            with (tmp_path / f"{candle.ticker}.csv").open("a", encoding="utf-8") as file:
                if not file.tell():
                    file.write("time,open,high,low,close,volume\n")
                file.write(",".join([candle.open_time.isoformat(), *map(repr, candle.values)]) + "\n")
    chosen = settings("postgresql+psycopg://nowhere/x", feed=f"replay:{tmp_path}")
    found = check_newest_day(database, ALGORITHMS, partial(_of_settings, chosen))
    assert [each[2:6] for each in found] == [(23 * 4, 0, found[0].changes, 0), (6, 0, found[1].changes, 0)]


def _of_settings(
    chosen: Settings, day: date, tickers: Collection[str], each: Callable[[], None]
) -> DayOfCandles:
    return candles_of_day(chosen, day, tickers, each=each)


def test_a_feed_that_cannot_be_read_again_ends_nothing(database: Database) -> None:
    asked = threading.Event()

    def refetch(_day: date, _tickers: Collection[str], _each: Callable[[], None]) -> Fetched:
        asked.set()
        raise FeedError("the files are gone")

    stop = threading.Event()
    job = RepaintJob(database, ALGORITHMS, refetch, delay=0.0)
    thread = threading.Thread(target=job.run, args=(stop, lambda: None))
    thread.start()
    assert asked.wait(20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
