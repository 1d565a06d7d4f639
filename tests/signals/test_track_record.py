"""The track record beside an independent count: plain Python over the closes that the market was made of."""

import json
import statistics
from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import text

from services.signals import track_record
from services.signals.candles import CandleBatch
from services.signals.ledger.records import partition_of
from services.signals.repository import outcomes
from services.signals.runner import Runner
from shared.db.engine import Database
from tests.signals import closing, market
from tests.signals.conftest import Copied
from tests.signals.test_runner import MakeDatabase

STEPS, TICKERS = 200, 6
TABLES = ("outcome", "standing", "tally", "track_record")


def batches() -> Iterator[CandleBatch]:
    """Hourly candles of which some tickers miss some; of each 17th close a half comes in a second batch."""
    closes = np.round(market.random_walk(STEPS, TICKERS, seed=5), 2)
    random = np.random.default_rng(6)
    present = random.random(closes.shape) > 0.05
    present[:, 0] = True
    stream = market.batches(closes, volumes=random.uniform(1, 100, closes.shape), present=present)
    for number, batch in enumerate(stream):
        places = np.arange(len(batch))
        if number % 17:
            yield batch
        else:
            yield batch.take(places[::2])
            yield batch.take(places[1::2])


def fill(database: Database) -> None:
    closing.close_all(database, batches())


@pytest.fixture
def database(copied: Copied) -> Database:
    return copied(fill)


def rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.read() as connection:
        return {
            table: sorted(map(tuple, connection.execute(text(f"SELECT * FROM {table}"))), key=repr)
            for table in TABLES
        }


def figures(database: Database) -> dict:
    with database.read() as connection:
        found = outcomes.found(connection)
    assert found is not None
    return found.figures


def closes_of() -> dict[str, dict]:
    """The closes of each ticker by close time, in their order."""
    series: dict[str, dict] = {}
    for batch in batches():
        for ticker, close in zip(batch.tickers, batch.close.tolist(), strict=True):
            series.setdefault(ticker, {})[batch.close_time] = close
    return series


def changes(database: Database) -> list:
    with database.read() as connection:
        return list(
            connection.execute(
                text("SELECT algorithm, ticker, to_view, close_time FROM view_change ORDER BY close_time")
            )
        )


def moves(database: Database, after: int) -> list[tuple[str, str, float]]:
    """Algorithm, side and plain move of each change that has had so many candles."""
    series = closes_of()
    found = []
    for algorithm, ticker, view, close_time in changes(database):
        times, closes = list(series[ticker]), list(series[ticker].values())
        at = times.index(close_time)
        if at + after < len(closes):
            found.append((algorithm, view, (closes[at + after] - closes[at]) / closes[at]))
    return found


def test_moves_and_hits_are_those_counted_by_hand(database: Database) -> None:
    assert track_record.follow(database) > STEPS
    scored = {each["algorithm"]: each for each in figures(database)["algorithms"]}
    overall = figures(database)["overall"]
    every = changes(database)
    assert overall["changes"] == len(every) > 100
    assert set(scored) == {algorithm for algorithm, *_ in every}
    for place, after in enumerate((1, 4, 24)):
        known = moves(database, after)
        for key, score in [(None, overall), *scored.items()]:
            for name, sides in (("all", ("BUY", "SELL")), ("buy", ("BUY",)), ("sell", ("SELL",))):
                plain = [
                    move for algorithm, view, move in known if key in (None, algorithm) and view in sides
                ]
                gains = [
                    move if view == "BUY" else -move
                    for algorithm, view, move in known
                    if key in (None, algorithm) and view in sides
                ]
                told = score["after"][place][name]
                assert score["after"][place]["candles"] == after
                if not gains:
                    assert told is None
                    continue
                assert told["changes"] == len(gains)
                assert told["hits"] == sum(gain > 0 for gain in gains)
                assert told["hit_rate"] == pytest.approx(told["hits"] / len(gains), rel=1e-12)
                assert told["average"] == pytest.approx(statistics.fmean(gains), rel=1e-9, abs=1e-12)
                assert told["median"] == pytest.approx(statistics.median(gains), rel=1e-9, abs=1e-12)
                assert told["hold"] == pytest.approx(statistics.fmean(plain), rel=1e-9, abs=1e-12)


def test_following_every_change_is_what_a_person_would_have_had(database: Database) -> None:
    track_record.follow(database)
    scored = {each["algorithm"]: each for each in figures(database)["algorithms"]}
    turned = {(a, t, when): view for a, t, view, when in changes(database)}
    for key, score in scored.items():
        worths, falls, holds, hold_falls = [], [], [], []
        for ticker, series in closes_of().items():
            worth, units, path = 1.0, 0.0, []
            for when, close in series.items():
                worth = units * close or worth
                path.append(worth)
                match turned.get((key, ticker, when)):
                    case "BUY":
                        units = worth / close
                    case "SELL":
                        units = 0.0
            prices = list(series.values())
            worths.append(path[-1])
            holds.append(prices[-1] / prices[0])
            falls.append(max(1 - now / max(path[: at + 1]) for at, now in enumerate(path)))
            hold_falls.append(max(1 - now / max(prices[: at + 1]) for at, now in enumerate(prices)))
        following = score["following"]
        assert following["tickers"] == TICKERS
        assert following["average"] == pytest.approx(statistics.fmean(worths) - 1, abs=1e-12)
        assert following["median"] == pytest.approx(statistics.median(worths) - 1, abs=1e-12)
        assert following["hold"] == pytest.approx(statistics.fmean(holds) - 1, abs=1e-12)
        assert following["ahead"] == sum(w > h for w, h in zip(worths, holds, strict=True))
        assert following["drawdown"] == pytest.approx(statistics.fmean(falls), abs=1e-12)
        assert following["deepest"] == pytest.approx(max(falls), abs=1e-12)
        assert following["hold_drawdown"] == pytest.approx(statistics.fmean(hold_falls), abs=1e-12)


def test_read_on_close_by_close_it_is_what_reading_all_at_once_gives(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    runner = Runner(0, 1, closing.ALL)
    for sequence, batch in enumerate(batches(), start=1):
        closing.close(database, runner, batch, sequence)
        if sequence % 23 == 0:
            track_record.follow(database)
    track_record.follow(database)
    kept = rows(database)
    with database.transaction() as session:
        outcomes.forget(session)
    track_record.follow(database)
    assert rows(database) == kept
    assert all(kept.values())


def test_what_is_known_stays_when_old_candles_are_let_go(database: Database) -> None:
    track_record.follow(database)
    kept = rows(database)
    with database.transaction() as session:
        session.execute(text("DELETE FROM candle"))
        session.execute(text("DELETE FROM view_change"))
    assert track_record.follow(database) == 0
    with database.transaction() as session:
        track_record.put_together(session)
    assert rows(database) == kept


def test_changes_come_from_the_ledger_and_from_nowhere_else(database: Database) -> None:
    told = len(changes(database))
    with database.transaction() as session:
        session.execute(text("DELETE FROM view_change WHERE to_view = 'SELL'"))
        session.execute(text("UPDATE view_change SET close = close * 2"))
    track_record.follow(database)
    overall = figures(database)["overall"]
    assert overall["changes"] == told
    assert overall["sells"] > 0


def test_a_candle_that_was_edited_stops_its_chain_and_is_named(database: Database) -> None:
    chain = partition_of("T0")
    with database.transaction() as session:
        place = session.execute(
            text(
                """
                UPDATE candle SET close = close + 1, high = high + 1 WHERE ticker = 'T0' AND open_time = (
                    SELECT open_time FROM candle WHERE ticker = 'T0' ORDER BY open_time OFFSET 30 LIMIT 1)
                RETURNING evaluated_in
                """
            )
        ).scalar_one()
    track_record.follow(database)
    with database.read() as connection:
        said = outcomes.problems(connection)
    words = f"chain {chain}, record {place} was made of other candles than those that are stored"
    assert said == [words]
    assert all(row[1] < place for row in rows(database)["outcome"] if row[0] == chain)
    with database.transaction() as session:
        session.execute(
            text(
                """
                UPDATE candle SET close = close - 1, high = high - 1
                WHERE ticker = 'T0' AND evaluated_in = :place
                """
            ),
            {"place": place},
        )
    track_record.follow(database)
    with database.read() as connection:
        assert outcomes.problems(connection) == []


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            "UPDATE ledger SET record = replace(record, 'BUY', 'SELL') || ' ' WHERE sequence = 20",
            "record 20 does not have the hash that is stored with it",
        ),
        ("DELETE FROM ledger WHERE sequence = 20", "record 20 is missing"),
    ],
)
def test_a_record_that_was_touched_stops_its_chain_and_is_named(
    edit: str, words: str, database: Database
) -> None:
    with database.transaction() as session:
        session.execute(text(edit))
    track_record.follow(database)
    with database.read() as connection:
        said = outcomes.problems(connection)
    chains = {row[0] for row in rows(database)["tally"]}
    assert said == sorted((f"chain {chain}, {words}" for chain in chains), key=said.index)


def test_a_late_record_counts_and_is_told_apart(database: Database) -> None:
    track_record.follow(database)
    with database.read() as connection:
        late = sum(
            len(json.loads(body)["changes"])
            for body in connection.execute(text("SELECT record FROM ledger WHERE late")).scalars()
        )
    assert figures(database)["overall"]["late"] == late > 0


def test_an_empty_ledger_gives_no_figures(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    assert track_record.follow(database) == 0
    with database.read() as connection:
        assert outcomes.found(connection) is None
    with database.transaction() as session:
        assert track_record.put_together(session).figures == {"overall": None, "algorithms": []}
