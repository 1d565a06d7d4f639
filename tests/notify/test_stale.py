"""Tickers that fall silent and come back, and changes that were decided late."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from services.notify.channels.live import LiveServer
from shared.contracts.envelope import Event
from shared.db.engine import Database
from tests.notify.conftest import Browser
from tests.notify.events import (
    CROSSOVER,
    RSI,
    alert,
    change,
    changed,
    deliveries,
    execute,
    handle,
    person,
    recovered,
    rows,
    stale,
)
from tests.notify.live_page import Page, Sign

NOW = "SELECT ticker FROM board_silence WHERE since IS NOT NULL ORDER BY ticker"


def silent(database: Database) -> list[str]:
    return [row["ticker"] for row in rows(database, NOW)]


def messages(database: Database) -> list[dict[str, Any]]:
    found = rows(database, "SELECT data FROM live_message WHERE type = 'stale' ORDER BY n")
    return [row["data"] for row in found]


def test_a_silent_ticker_is_told_to_everybody_until_its_candles_come_again(database: Database) -> None:
    handle(database, stale("BTCUSD", "ETHUSD"))
    assert silent(database) == ["BTCUSD", "ETHUSD"]
    handle(database, recovered("BTCUSD", hours=3))
    assert silent(database) == ["ETHUSD"]
    assert messages(database) == [
        {
            "timeframe": "1h",
            "as_of": "2026-11-20T14:00:00Z",
            "tickers": [
                {"ticker": "BTCUSD", "last_close": "2026-11-20T12:00:00Z"},
                {"ticker": "ETHUSD", "last_close": "2026-11-20T12:00:00Z"},
            ],
        },
        {"timeframe": "1h", "close_time": "2026-11-20T15:00:00Z", "recovered": ["BTCUSD"]},
    ]
    told = rows(database, "SELECT payload FROM outbox ORDER BY seq")
    assert [row["payload"]["data"]["n"] for row in told] == [1, 2]


def test_news_of_a_ticker_may_come_in_any_order_and_twice(database: Database) -> None:
    for number, order in enumerate(itertools.permutations(range(4))):
        ticker = f"T{number}"
        news: list[Event] = [
            stale(ticker), recovered(ticker, hours=3), stale(ticker, hours=5), recovered(ticker, hours=9),
        ]  # fmt: skip
        for place in (*order, 0, 2):
            handle(database, news[place])
            handle(database, news[place])
        assert silent(database) == []


def test_what_is_known_is_not_told_again(database: Database) -> None:
    for _ in range(2):
        handle(database, stale("BTCUSD"))
    handle(database, stale("BTCUSD", "ETHUSD"))
    assert [[each["ticker"] for each in data["tickers"]] for data in messages(database)] == [
        ["BTCUSD"], ["ETHUSD"],
    ]  # fmt: skip


def test_a_ticker_that_stands_twice_in_the_news_counts_once(database: Database) -> None:
    handle(database, stale("BTCUSD", "BTCUSD"))
    handle(database, recovered("BTCUSD", "BTCUSD", hours=3))
    assert len(messages(database)) == 2


def test_a_new_page_is_told_what_is_stale_now_and_an_open_one_what_becomes_so(
    database: Database, serving: Callable[..., Any], sign: Sign
) -> None:
    handle(database, stale("BTCUSD", "ETHUSD"))
    handle(database, recovered("ETHUSD", hours=3))

    async def scene(server: LiveServer) -> Page:
        page = Page(server, sign("ada"))
        async with page.open() as connection:
            await page.receive(connection)
            handle(database, stale("AAPL", hours=1))
            handle(database, recovered("BTCUSD", hours=4))
            await page.until(connection, 4)
        return page

    with serving() as server:
        snapshot, fell, came = asyncio.run(scene(server)).messages
    assert snapshot["data"]["stale"] == [
        {
            "ticker": "BTCUSD",
            "timeframe": "1h",
            "since": "2026-11-20T14:00:00Z",
            "last_close": "2026-11-20T12:00:00Z",
        }
    ]
    assert (fell["type"], [each["ticker"] for each in fell["data"]["tickers"]]) == ("stale", ["AAPL"])
    assert (came["type"], came["data"]["recovered"]) == ("stale", ["BTCUSD"])


def test_a_late_change_moves_the_board_and_alerts_nobody(database: Database) -> None:
    person(database, "ada")
    alert(database, "ada", None, channels=("mail", "live"))
    handle(database, changed(change("BTCUSD"), late=True))
    assert deliveries(database) == []
    assert rows(database, "SELECT ticker, view FROM board_view") == [{"ticker": "BTCUSD", "view": "BUY"}]
    (message,) = rows(database, "SELECT type, data FROM live_message")
    assert (message["type"], message["data"]["late"]) == ("views_changed", True)


def test_a_late_change_told_again_as_in_time_still_alerts_nobody(database: Database) -> None:
    person(database, "ada")
    alert(database, "ada", None)
    handle(database, changed(change("BTCUSD"), late=True))
    handle(database, changed(change("BTCUSD")))
    assert deliveries(database) == []


def test_the_inbox_lists_late_changes_that_an_alert_covers_and_says_so(
    database: Database, browser: Callable[..., Browser]
) -> None:
    for user in ("ada", "bob"):
        person(database, user)
    alert(database, "ada", "BTCUSD")
    alert(database, "ada", None)  # both cover it: it stands there once
    alert(database, "bob", "BTCUSD", algorithm=RSI)
    execute(database, "UPDATE alert SET created_at = '2026-11-20 12:30:00+00'")
    handle(database, changed(change("BTCUSD"), late=True))  # closed before the alert was made
    handle(database, changed(change("BTCUSD", "SELL", before="BUY"), hours=1, late=True))
    handle(database, changed(change("BTCUSD", "BUY", before="SELL"), hours=2))
    items = browser("ada").get("/api/v1/inbox").json["items"]  # type: ignore[index]
    assert [(each["to"], each["late"], len(each["told"])) for each in items] == [
        ("BUY", False, 1), ("SELL", True, 0),
    ]  # fmt: skip
    assert browser("ada").get("/inbox").text.count("Decided late, nobody was alerted.") == 1
    assert browser("bob").get("/api/v1/inbox").json["items"] == []  # type: ignore[index]


def test_the_inbox_pages_over_told_and_late_changes_without_gap_or_repeat(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada")
    alert(database, "ada", "BTCUSD")
    execute(database, "UPDATE alert SET created_at = '2026-11-20 00:00:00+00'")
    for hours in range(7):
        handle(database, changed(change("BTCUSD"), hours=hours, late=hours % 3 == 1))
    seen: list[int] = []
    cursor: str | None = ""
    for _ in range(4):
        page = browser("ada").get(f"/api/v1/inbox?limit=2{cursor}").json
        assert page is not None
        seen += [int(each["id"]) for each in page["items"]]
        cursor = f"&cursor={page['next']}" if page["next"] else None
    assert cursor is None
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 7


def test_an_alert_whose_mails_were_stopped_lists_no_late_change(
    database: Database, browser: Callable[..., Browser]
) -> None:
    person(database, "ada")
    alert(database, "ada", "BTCUSD", algorithm=CROSSOVER, channels=())
    execute(database, "UPDATE alert SET created_at = '2026-11-20 00:00:00+00'")
    handle(database, changed(change("BTCUSD"), late=True))
    assert browser("ada").get("/api/v1/inbox").json["items"] == []  # type: ignore[index]
