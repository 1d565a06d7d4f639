from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from services.signals.algorithms import ALGORITHMS
from shared.db.engine import Database
from tests.signals import site

LISTS = ("algorithms", "tickers", "candles?ticker=T0", "views", "signals", "changes")


@pytest.fixture
def database(filled: Database) -> Database:
    return filled


@pytest.fixture
def client(database: Database) -> Iterator[FlaskClient]:
    with site.person(database) as client:
        yield client


def get(client: FlaskClient, path: str) -> Any:
    response = client.get(f"/api/v1/{path}")
    assert response.status_code == 200, response.text
    return response.json


def all_items(client: FlaskClient, path: str, limit: int) -> list[dict[str, Any]]:
    joint = "&" if "?" in path else "?"
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = get(client, f"{path}{joint}limit={limit}{cursor}")
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


@pytest.mark.parametrize("path", LISTS)
def test_a_stranger_gets_401_as_problem_json(path: str, database: Database) -> None:
    with site.visitor(database) as stranger:
        response = stranger.get(f"/api/v1/{path}")
    assert response.status_code == 401
    assert response.content_type == "application/problem+json"


def test_algorithms_are_listed_with_the_timeframe_they_run_on(
    database: Database, client: FlaskClient
) -> None:
    followed = get(client, "algorithms")
    assert followed["next"] is None
    assert {each["key"]: each["timeframe"] for each in followed["items"]} == dict.fromkeys(ALGORITHMS)
    assert followed["items"][0]["name"] == "Moving Average Crossover"
    with site.person(database, algorithm_timeframes='{"golden_crossover": "15m"}') as other:
        chosen = {each["key"]: each["timeframe"] for each in get(other, "algorithms")["items"]}
    assert chosen == {key: each.timeframe for key, each in ALGORITHMS.items()} | {"golden_crossover": "15m"}


def test_tickers_come_with_their_newest_candle(client: FlaskClient) -> None:
    items = all_items(client, "tickers", 2)
    assert [each["ticker"] for each in items] == ["T0", "T1", "T2", "T3", "T4"]
    newest = get(client, "candles?ticker=T0&limit=1")["items"][0]
    assert items[0] == {
        "ticker": "T0",
        "timeframe": "1h",
        "first_time": "2020-01-01T00:00:00Z",
        "time": newest["time"],
        "close": newest["close"],
        "stale_since": None,
    }


def test_candles_come_newest_first_with_numbers_and_times_in_utc(
    client: FlaskClient, database: Database
) -> None:
    items = all_items(client, "candles?ticker=T2&timeframe=1h", 50)
    assert len(items) == 170
    assert items[-1]["time"] == "2020-01-01T00:00:00Z"
    assert [each["time"] for each in items] == sorted((each["time"] for each in items), reverse=True)
    assert set(items[0]) == {"time", "open", "high", "low", "close", "volume", "late"}
    with database.read() as connection:
        stored = connection.execute(
            text("SELECT close FROM candle WHERE ticker = 'T2' ORDER BY open_time DESC")
        )
        assert [each["close"] for each in items] == [float(close) for close in stored.scalars()]


def test_views_are_filtered_by_ticker_and_algorithm(client: FlaskClient) -> None:
    everything = all_items(client, "views", 7)
    assert len(everything) == 5 * len(ALGORITHMS)
    assert set(everything[0]) == {"algorithm", "ticker", "timeframe", "view", "since", "close", "stale_since"}
    assert [(each["ticker"], each["algorithm"]) for each in everything] == sorted(
        (each["ticker"], each["algorithm"]) for each in everything
    )
    assert all_items(client, "views?ticker=T3", 2) == [each for each in everything if each["ticker"] == "T3"]
    chosen = all_items(client, "views?algorithm=reversal_rsi", 2)
    assert chosen == [each for each in everything if each["algorithm"] == "reversal_rsi"]
    assert get(client, "views?ticker=NOBODY") == {"items": [], "next": None}


def test_signals_come_newest_first_and_page_without_gap_or_repeat(
    client: FlaskClient, database: Database
) -> None:
    everything = all_items(client, "signals", 100)
    with database.read() as connection:
        rows = connection.execute(
            text("SELECT open_time, ticker, algorithm FROM signal ORDER BY open_time DESC, ticker, algorithm")
        ).all()
    assert len(rows) > 300
    found = [(each["time"], each["ticker"], each["algorithm"]) for each in everything]
    assert found == [(f"{row[0].replace(tzinfo=None).isoformat()}Z", row[1], row[2]) for row in rows]
    filtered = all_items(client, "signals?ticker=T1&algorithm=pump_and_dump", 20)
    assert filtered == [
        each for each in everything if (each["ticker"], each["algorithm"]) == ("T1", "pump_and_dump")
    ]
    assert filtered


def test_signals_of_one_candle_in_two_timeframes_page_without_loss(
    client: FlaskClient, database: Database
) -> None:
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO signal (ticker, open_time, algorithm, timeframe, signal, view, close,"
                " algorithm_version)"
                " SELECT 'TWICE', '2020-01-01', 'reversal_rsi', timeframe, 'BUY', 'BUY', 1, '1'"
                " FROM unnest(ARRAY['1h', '4h', '1d']) AS timeframe"
            )
        )
    items = all_items(client, "signals?ticker=TWICE", 1)
    assert [each["timeframe"] for each in items] == ["1d", "1h", "4h"]


@pytest.mark.parametrize("path", LISTS)
def test_who_has_the_newest_state_is_told_so(path: str, client: FlaskClient) -> None:
    first = client.get(f"/api/v1/{path}")
    again = client.get(f"/api/v1/{path}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("candles", "ticker"),
        ("candles?ticker=%00", "ticker"),
        ("candles?ticker=T0&timeframe=2h", "timeframe"),
        ("candles?ticker=T0&limit=0", "limit"),
        ("candles?ticker=T0&limit=100000", "limit"),
        ("views?algorithm=no_such", "algorithm"),
        ("views?surprise=1", "surprise"),
        ("signals?algorithm=%27;--", "algorithm"),
        ("tickers?limit=many", "limit"),
    ],
)
def test_a_bad_parameter_is_named(path: str, field: str, client: FlaskClient) -> None:
    response = client.get(f"/api/v1/{path}")
    assert response.status_code == 400
    assert response.content_type == "application/problem+json"
    assert [each["field"] for each in response.json["errors"]] == [field]  # type: ignore[index]


@pytest.mark.parametrize("path", ["tickers", "candles?ticker=T0", "views", "signals", "changes"])
@pytest.mark.parametrize("cursor", ["x", "W10", "WzFd", "WyJhIiwiYiIsImMiLCJkIl0", "WyJ5ZXN0ZXJkYXkiXQ"])
def test_a_foreign_cursor_is_refused(path: str, cursor: str, client: FlaskClient) -> None:
    joint = "&" if "?" in path else "?"
    response = client.get(f"/api/v1/{path}{joint}cursor={cursor}")
    assert (response.status_code, response.json["code"]) == (400, "invalid_cursor")  # type: ignore[index]


def test_an_unknown_ticker_has_no_candles(client: FlaskClient) -> None:
    response = client.get("/api/v1/candles?ticker=NOBODY")
    assert response.status_code == 404
    assert response.json["code"] == "ticker_not_found"  # type: ignore[index]
