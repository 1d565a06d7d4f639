"""The page of an algorithm and its figures, beside a count of its own over the stored candles and changes."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from services.signals import service, track_record, windows
from services.signals.algorithm_pages import words_of
from services.signals.algorithms import ALGORITHMS
from services.signals.algorithms.overlays import overlaid_by_key
from services.signals.candles import CandleBatch
from services.signals.evaluation import Shard
from services.signals.ledger.records import PARTITIONS
from services.signals.lineup import Lineup
from services.signals.pages import parameter
from services.signals.record_pages import percent, signed_percent
from services.signals.repository import feeds, performance
from services.signals.runner import Runner
from shared.db.engine import Database
from tests.signals import closing, market, site
from tests.signals.conftest import Copied
from tests.signals.test_runner import MakeDatabase

FEE = 0.001
KEY = "reversal_rsi"
DAYS = 140
ADDED = 100


def daily_batches(steps: int) -> list[CandleBatch]:
    """Daily candles of three tickers."""
    closes = np.round(market.random_walk(steps, 3, seed=21), 2)
    volumes = np.random.default_rng(22).uniform(1, 100, closes.shape)
    return [
        replace(batch, timeframe="1d", close_time=market.START + (number + 1) * timedelta(days=1))
        for number, batch in enumerate(market.batches(closes, volumes=volumes))
    ]


def close_all(database: Database, shard: Shard, batches: list[CandleBatch]) -> None:
    """All closes in one transaction: what stands in the tables is the same, and there sooner."""
    with database.transaction() as session:
        for sequence, batch in enumerate(batches, start=1):
            event = closing.envelope_of(batch, sequence).data
            service.close_candles(session, shard, event, timedelta(hours=1))


def fill(database: Database) -> None:
    close_all(database, Shard(range(PARTITIONS), closing.ALL), daily_batches(DAYS))
    with database.transaction() as session:
        feeds.open_feed(session, "test", "replay", site.SOURCE)
    work_out(database)


def work_out(database: Database) -> int:
    """What the worker does: read the ledger, then bring the windows up to date; of how many tickers."""
    track_record.follow(database)
    return windows.refresh(database)


def fill_and_add(database: Database) -> None:
    """The same market with all algorithms but KEY for 100 days, and with KEY from then on."""
    batches = daily_batches(DAYS)
    without = {key: rule for key, rule in ALGORITHMS.items() if key != KEY}
    close_all(database, Shard(range(PARTITIONS), Lineup(without, None)), batches[:ADDED])
    runner = Runner(0, 1, closing.ALL)
    for sequence, batch in enumerate(batches[ADDED:], start=ADDED + 1):
        closing.close(database, runner, batch, sequence)
    work_out(database)


@pytest.fixture
def database(copied: Copied) -> Database:
    return copied(fill)


@pytest.fixture
def client(database: Database) -> Iterator[FlaskClient]:
    with site.person(database) as client:
        yield client


def by_hand(database: Database, algorithm: str, ticker: str, days: int) -> dict[str, float]:
    """Return, holding, drawdown and trades of a window in plain Python."""
    with database.read() as connection:
        candles = connection.execute(
            text(
                """
                SELECT open_time, CAST(close AS float8) FROM candle WHERE ticker = :ticker ORDER BY open_time
                """
            ),
            {"ticker": ticker},
        ).all()
        changes = connection.execute(
            text(
                """
                SELECT close_time, to_view FROM view_change WHERE ticker = :ticker AND algorithm = :algorithm
                ORDER BY close_time
                """
            ),
            {"ticker": ticker, "algorithm": algorithm},
        ).all()
    series = [(opened + timedelta(days=1), close) for opened, close in candles]
    start = series[-1][0] - timedelta(days=days)
    before = [view for when, view in changes if when <= start]
    turned = {when: view for when, view in changes if when > start}
    series = [(when, close) for when, close in series if when > start]
    cash, units, path, gains, bought = 1.0, 0.0, [], [], 0.0
    for place, (when, close) in enumerate(series):
        path.append(cash + units * close)
        view = turned.get(when) or (before[-1] if place == 0 and before else None)
        if view == "BUY" and units == 0:
            units, cash, bought = cash / (close * (1 + FEE)), 0.0, close
        elif view == "SELL" and units:
            cash, units = units * close * (1 - FEE), 0.0
            gains.append((close - bought - FEE * (close + bought)) / bought)
    if units:
        close = series[-1][1]
        cash = units * close * (1 - FEE)
        gains.append((close - bought - FEE * (close + bought)) / bought)
    path[-1] = cash
    return {
        "trades": len(gains),
        "total": cash - 1,
        "hold": series[-1][1] / series[0][1] - 1,
        "drawdown": max(1 - worth / max(path[: at + 1]) for at, worth in enumerate(path)),
        "win_rate": sum(gain > 0 for gain in gains) / len(gains) if gains else np.nan,
    }


def most_traded(database: Database) -> tuple[str, str]:
    """Algorithm and ticker with the most trades in 90 days."""
    with database.read() as connection:
        rows = [
            row
            for key in ALGORITHMS
            for row in performance.page(connection, key, 90, "trades", offset=0, limit=1)
        ]
    most = max(rows, key=lambda row: row.trades or 0)
    return most.algorithm, most.ticker


def words(client: FlaskClient, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, response.text
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", response.text))


def test_the_table_of_all_windows_is_what_a_count_by_hand_gives(database: Database) -> None:
    seen = 0
    for key in ALGORITHMS:
        for days in (30, 90, 365):
            with database.read() as connection:
                rows = performance.page(connection, key, days, "ticker", offset=0, limit=10)
            assert [row.ticker for row in rows] == ["T0", "T1", "T2"]
            for row in rows:
                expected = by_hand(database, key, row.ticker, days)
                for name, value in expected.items():
                    told = getattr(row, name)
                    assert (np.nan if told is None else told) == pytest.approx(value, abs=1e-12, nan_ok=True)
                seen += int(expected["trades"])
    assert seen > 30


def test_api_and_page_tell_the_same_of_one_ticker(client: FlaskClient, database: Database) -> None:
    key, ticker = most_traded(database)
    answer = client.get(f"/api/v1/backtest?algorithm={key}&ticker={ticker}&days=90").json
    expected = by_hand(database, key, ticker, 90)
    figures = answer["statistics"]
    for name in ("trades", "total", "hold", "drawdown", "win_rate"):
        assert figures[name] == pytest.approx(expected[name], abs=1e-12)
    assert len(answer["trades"]) == figures["trades"]
    last = answer["points"][-1]
    assert (last["equity"] - 1, last["hold"] - 1) == pytest.approx((figures["total"], figures["hold"]))
    assert max(point["drawdown"] for point in answer["points"]) == figures["drawdown"]
    assert len(answer["points"]) <= windows.POINTS
    page = words(client, f"/algorithms/{key}?ticker={ticker}&days=90")
    assert f"{ticker}, the last 90 days" in page
    assert (
        f"Return {signed_percent(figures['total'])} buy and hold: {signed_percent(figures['hold'])}" in page
    )
    assert f"Win rate {percent(figures['win_rate'])}" in page
    assert page.count(" still open, counted at the last close ") == sum(
        trade["is_open"] and not trade["held_before"] for trade in answer["trades"]
    )


def test_a_position_from_before_the_days_is_taken_at_their_first_close(
    client: FlaskClient, database: Database
) -> None:
    held = []
    for key in ALGORITHMS:
        for ticker in ("T0", "T1", "T2"):
            answer = client.get(f"/api/v1/backtest?algorithm={key}&ticker={ticker}&days=30").json
            held += [trade for trade in answer["trades"] if trade["held_before"]]
            if answer["trades"] and answer["trades"][-1]["held_before"]:
                assert answer["trades"][-1]["entry"] == answer["since"]
    assert held


def test_the_days_of_an_algorithm_begin_where_it_was_first_evaluated(copied: Copied) -> None:
    database = copied(fill_and_add)
    closes = {
        ticker: [float(batch.close[batch.tickers.index(ticker)]) for batch in daily_batches(DAYS)]
        for ticker in ("T0", "T1", "T2")
    }
    added = market.START + timedelta(days=ADDED + 1)
    with database.read() as connection:
        rows = {
            (days, row.ticker): row
            for days in (30, 90, 365)
            for row in performance.page(connection, KEY, days, "ticker", offset=0, limit=10)
        }
        summary = performance.summary(connection, KEY, 365)
    assert summary is not None
    for (days, ticker), row in rows.items():
        first = max(ADDED, DAYS - days)
        assert row.since == market.START + timedelta(days=first + 1)
        assert row.hold == pytest.approx(closes[ticker][-1] / closes[ticker][first] - 1, abs=1e-12)
    with site.person(database) as client:
        answer = client.get(f"/api/v1/backtest?algorithm={KEY}&ticker=T1&days=365").json
        page = words(client, f"/algorithms/{KEY}?ticker=T1&days=365")
        short = words(client, f"/algorithms/{KEY}?ticker=T1&days=30")
        other = client.get("/api/v1/backtest?algorithm=buy_the_dip&ticker=T1&days=365").json
    assert answer["evaluated_since"] == answer["since"] == added.isoformat().replace("+00:00", "Z")
    assert answer["statistics"]["hold"] == rows[365, "T1"].hold
    assert len(answer["points"]) == DAYS - ADDED
    said = "Maximized RSI was first evaluated on T1 at the first of these closes"
    assert said in page
    assert said not in short
    assert other["since"] == other["evaluated_since"] < answer["since"]


def test_windows_are_worked_out_as_soon_as_the_ledger_was_read(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    close_all(database, Shard(range(PARTITIONS), closing.ALL), daily_batches(3))
    assert windows.refresh(database) == 0
    assert work_out(database) == 3
    assert windows.refresh(database) == 0


def test_the_page_opens_with_the_ticker_that_turned_last(client: FlaskClient, database: Database) -> None:
    with database.read() as connection:
        newest = connection.execute(
            text(
                """
                SELECT ticker FROM view_change WHERE algorithm = :key ORDER BY close_time DESC, ticker LIMIT 1
                """
            ),
            {"key": KEY},
        ).scalar_one()
    page = words(client, f"/algorithms/{KEY}")
    assert f"{newest}, the last 90 days" in page
    assert "Maximized RSI" in page
    assert "BUY when RSI14 &lt; 35 and close &lt; SMA100." in page
    assert "SELL when RSI14 &gt; 65." in page
    assert "Parameters Entry RSI 35 Exit RSI 65" in page


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("entry_rsi_fall", "Entry RSI fall"),
        ("exit_multiple", "Exit multiple"),
        ("trailing_stop_loss", "Trailing stop loss"),
        ("sma", "SMA"),
        ("minLimit", "MinLimit"),
        ("_limit", " limit"),
    ],
)
def test_the_name_of_a_number_is_read_as_words(name: str, read: str) -> None:
    assert parameter(name) == read


def test_what_makes_no_sense_in_the_address_is_passed_over(client: FlaskClient) -> None:
    for query in ("ticker=NONE", "days=7", "sort=total;drop", "page=0", "page=x", "ticker=%00", "page=9e9"):
        assert "the last 90 days" in words(client, f"/algorithms/{KEY}?{query}"), query


def test_the_tickers_are_sorted_and_paged(client: FlaskClient, database: Database) -> None:
    with database.transaction() as session:
        session.execute(
            text(
                """
                INSERT INTO performance
                SELECT copy.* FROM performance AS known
                CROSS JOIN generate_series(1, 49) AS number
                CROSS JOIN LATERAL jsonb_populate_record(known,
                    jsonb_build_object('ticker', 'A' || lpad(CAST(number AS text), 2, '0'))) AS copy
                WHERE known.algorithm = :key AND known.ticker = 'T0' AND known.days = 30
                """
            ),
            {"key": KEY},
        )
    first = client.get(f"/algorithms/{KEY}?days=30&sort=ticker").text
    table = first[first.index('id="tickers-title"') :]
    others = [f"A{number:02}" for number in range(1, 50)]
    assert re.findall(r'scope="row"><a [^>]+>(\w+)</a>', table) == [*others, "T0"]
    assert 'rel="next"' in table
    second = client.get(f"/algorithms/{KEY}?days=30&sort=ticker&page=2").text
    assert re.findall(r'scope="row"><a [^>]+>(\w+)</a>', second) == ["T1", "T2"]
    by_return = client.get(f"/algorithms/{KEY}?days=30&sort=total").text
    assert 'aria-sort="descending"' in by_return


def test_a_stranger_logs_in_first_and_an_unknown_algorithm_is_not_found(
    client: FlaskClient, database: Database
) -> None:
    assert client.get("/algorithms/no_such").status_code == 404
    assert client.get("/api/v1/backtest?algorithm=reversal_rsi&ticker=NONE").status_code == 404
    assert client.get("/api/v1/backtest?algorithm=no_such&ticker=T0").status_code == 400
    with site.visitor(database) as stranger:
        assert stranger.get(f"/algorithms/{KEY}").headers["Location"].startswith("/login")
        assert stranger.get(f"/api/v1/backtest?algorithm={KEY}&ticker=T0").status_code == 401


def test_before_the_first_candle_the_page_says_that_it_waits(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    assert windows.refresh(database) == 0
    with site.person(database) as client:
        page = words(client, f"/algorithms/{KEY}")
    assert "Waiting for the first candles" in page
    assert "Not worked out yet" in page


def test_only_what_is_behind_is_worked_out_again(database: Database) -> None:
    assert windows.refresh(database) == 0
    more = daily_batches(DAYS + 1)[-1]
    closing.close(database, Runner(0, 1, closing.ALL), more, DAYS + 1)
    assert work_out(database) == 3
    with database.read() as connection:
        rows = performance.page(connection, KEY, 30, "ticker", offset=0, limit=10)
    assert {row.until for row in rows} == {more.close_time}


def test_board_and_ticker_page_lead_to_the_algorithm(client: FlaskClient) -> None:
    assert f'href="/algorithms/{KEY}"' in client.get("/dashboard").text
    assert f'href="/algorithms/{KEY}?ticker=T1"' in client.get(f"/tickers/T1?algorithm={KEY}").text


def test_every_published_rule_says_entry_and_exit_apart() -> None:
    for algorithm in ALGORITHMS.values():
        assert all(words_of(algorithm)), algorithm.key
    pair = overlaid_by_key("reversal_rsi+stop_loss_5", ALGORITHMS)
    assert words_of(pair).exit == "RSI14 > 65. Or, before any entry: close <= 0.95 x entry price."
