"""What of a list is asked for, and the changes with their why."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from shared.db.engine import Database
from tests.signals import site
from tests.signals.conftest import Copied
from tests.signals.test_api import all_items, get

NOON = "2020-01-04T12:00:00Z"
LATER = "2020-01-06T00:00:00Z"
Item = dict[str, Any]


@pytest.fixture(scope="module")
def database(kept_copied: Copied) -> Database:
    """A market of which T1 has fallen silent, and whose newest changes were decided late."""
    return kept_copied(site.fill_with_silence)


@pytest.fixture
def client(database: Database) -> Iterator[FlaskClient]:
    with site.person(database) as client:
        yield client


def test_lists_are_filtered_as_their_parameters_say(client: FlaskClient) -> None:
    tickers, views = all_items(client, "tickers", 3), all_items(client, "views", 100)
    signals, changes = all_items(client, "signals", 500), all_items(client, "changes", 500)
    candles = all_items(client, "candles?ticker=T0", 500)
    chosen: list[tuple[str, list[Item]]] = [
        ("tickers?ticker=T3,T0,NONE", [each for each in tickers if each["ticker"] in ("T0", "T3")]),
        ("tickers?stale=true", [each for each in tickers if each["ticker"] == "T1"]),
        ("tickers?stale=false&timeframe=1h", [each for each in tickers if each["ticker"] != "T1"]),
        ("tickers?timeframe=4h", []),
        ("views?view=BUY", [each for each in views if each["view"] == "BUY"]),
        ("views?ticker=T0,T1&stale=true", [each for each in views if each["ticker"] == "T1"]),
        ("views?stale=false&timeframe=1h", [each for each in views if each["ticker"] != "T1"]),
        ("views?timeframe=1d", []),
        ("signals?ticker=T0,T2&signal=SELL", [
            each for each in signals if each["ticker"] in ("T0", "T2") and each["signal"] == "SELL"
        ]),
        (f"signals?since={NOON}&until={LATER}&timeframe=1h", within(signals, "time")),
        ("signals?timeframe=5m", []),
        (f"candles?ticker=T0&since={NOON}&until={LATER}", within(candles, "time")),
        (f"changes?since={NOON}&until={LATER}", within(changes, "close_time")),
        ("changes?view=SELL&ticker=T1,T2", [
            each for each in changes if each["to"] == "SELL" and each["ticker"] in ("T1", "T2")
        ]),
        ("changes?algorithm=pump_and_dump&timeframe=1h", [
            each for each in changes if each["algorithm"] == "pump_and_dump"
        ]),
        ("changes?late=true", [each for each in changes if each["late"]]),
        ("changes?late=false", [each for each in changes if not each["late"]]),
    ]  # fmt: skip
    for path, expected in chosen:
        assert all_items(client, path, 37) == expected, path
    empty = ("timeframe=4h", "timeframe=1d", "timeframe=5m")
    assert all(expected for path, expected in chosen if not path.endswith(empty))


def within(items: list[Item], name: str) -> list[Item]:
    return [each for each in items if NOON <= each[name] < LATER]


def test_a_silent_ticker_says_since_when_and_keeps_its_views(client: FlaskClient, database: Database) -> None:
    (silent,) = get(client, "tickers?ticker=T1")["items"]
    assert silent["stale_since"] == "2020-01-08T06:00:00Z"
    views = get(client, "views?ticker=T1")["items"]
    assert {each["stale_since"] for each in views} == {"2020-01-08T06:00:00Z"}
    with database.read() as connection:
        stored = connection.execute(text("SELECT view FROM view WHERE ticker = 'T1' ORDER BY algorithm"))
        assert [each["view"] for each in views] == list(stored.scalars())


def test_changes_come_newest_first_with_why_and_ledger(client: FlaskClient, database: Database) -> None:
    items = all_items(client, "changes", 11)
    with database.read() as connection:
        rows = connection.execute(
            text(
                "SELECT close_time, ticker, algorithm, why, ledger_partition, ledger_sequence, late"
                " FROM view_change ORDER BY close_time DESC, ticker, algorithm"
            )
        ).all()
    assert len(rows) > 50
    assert [
        (each["close_time"], each["ticker"], each["algorithm"], each["why"], each["ledger"], each["late"])
        for each in items
    ] == [
        (
            f"{row.close_time.replace(tzinfo=None).isoformat()}Z",
            row.ticker,
            row.algorithm,
            row.why,
            {"partition": row.ledger_partition, "sequence": row.ledger_sequence},
            row.late,
        )
        for row in rows
    ]
    assert set(items[0]) == {
        "algorithm", "algorithm_version", "parameters", "ticker", "timeframe", "close_time", "from", "to",
        "close", "why", "ledger", "late",
    }  # fmt: skip
    assert {(each["from"], each["to"]) for each in items} >= {("HOLD", "BUY"), ("BUY", "SELL")}
    assert {each["algorithm_version"] for each in items} == {"1"}
    assert all(
        set(each["why"][0]) == {"side", "text", "value", "operator", "threshold", "holds"} for each in items
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [("2020-01-04T12:00:00", NOON), ("2020-01-04T13:00:00%2B01:00", NOON), ("2020-01-06", LATER)],
)
def test_a_time_is_in_utc_unless_it_says_else(given: str, meant: str, client: FlaskClient) -> None:
    assert get(client, f"changes?until={given}") == get(client, f"changes?until={meant}")


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("path", ["candles?ticker=T0", "signals?ticker=T0", "changes?ticker=T0"])
def test_the_first_and_the_last_moment_that_there_is_are_times_too(
    path: str, moment: str, client: FlaskClient
) -> None:
    assert bool(get(client, f"{path}&since={moment}")["items"]) == moment.startswith("0001")
    assert bool(get(client, f"{path}&until={moment}")["items"]) == moment.startswith("9999")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("candles?ticker=T0,T1", "ticker"),
        ("tickers?stale=yes", "stale"),
        ("tickers?ticker=", "ticker.0"),
        (f"views?ticker={','.join(['T0'] * 101)}", "ticker"),
        ("views?view=STALE", "view"),
        ("views?ticker=T0,%00", "ticker.1"),
        ("signals?since=1577836800", "since"),
        ("signals?signal=HOLD", "signal"),
        ("changes?since=yesterday", "since"),
        ("changes?until=10000-01-01T00:00:00Z", "until"),
        ("changes?late=1", "late"),
    ],
)
def test_a_filter_that_is_none_is_named(path: str, field: str, client: FlaskClient) -> None:
    response = client.get(f"/api/v1/{path}")
    assert response.status_code == 400
    assert [each["field"] for each in response.json["errors"]] == [field]  # type: ignore[index]
