"""The live channel: numbered, gap-proof, only for whom it concerns."""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from services.notify.channels.live import LiveServer
from shared.db.engine import Database
from tests.notify.events import (
    CROSSOVER,
    RSI,
    alert,
    change,
    changed,
    eventually,
    execute,
    handle,
    person,
    rows,
)
from tests.notify.live_page import Page, Sign


def test_a_new_page_gets_the_board_then_what_changes(
    database: Database, serving: Callable[..., Any], sign: Sign
) -> None:
    handle(database, changed(change("BTCUSD")))
    handle(database, changed(change("BTCUSD", "SELL", before="BUY"), hours=1))

    async def scene(server: LiveServer) -> Page:
        page = Page(server, sign("ada"))
        async with page.open() as connection:
            await page.receive(connection)
            assert (await page.receive(connection))["type"] == "heartbeat"  # the page is live at once
            handle(database, changed(change("ETHUSD"), hours=2))
            await page.until(connection, 3)
        return page

    with serving() as server:
        page = asyncio.run(scene(server))
    snapshot, news = page.messages
    assert (snapshot["n"], snapshot["type"]) == (2, "snapshot")
    assert snapshot["data"]["views"] == [
        {
            "algorithm": CROSSOVER,
            "ticker": "BTCUSD",
            "timeframe": "1h",
            "view": "SELL",
            "since": "2026-11-20T13:00:00Z",
            "close": 43250.5,
        }
    ]
    as_of = datetime.fromisoformat(snapshot["data"]["as_of"])
    assert datetime.now(UTC) - as_of < timedelta(minutes=1)
    assert news == {
        "n": 3,
        "type": "views_changed",
        "time": news["time"],
        "data": {
            "timeframe": "1h",
            "close_time": "2026-11-20T14:00:00Z",
            "late": False,
            "changes": [
                {"algorithm": CROSSOVER, "ticker": "ETHUSD", "from": "HOLD", "to": "BUY", "close": 43250.5}
            ],
        },
    }


def test_alerts_reach_their_owner_alone(database: Database, serving: Callable[..., Any], sign: Sign) -> None:
    for user in ("ada", "bob"):
        person(database, user)
    alert(database, "ada", "BTCUSD", channels=("live",))
    alert(database, "ada", None, channels=("live",))
    alert(database, "bob", "ETHUSD", channels=("live",))

    async def scene(server: LiveServer) -> tuple[Page, Page]:
        ada, bob = Page(server, sign("ada")), Page(server, sign("bob"))
        async with ada.open() as hers, bob.open() as his:
            await ada.receive(hers)
            await bob.receive(his)
            handle(database, changed(change("BTCUSD"), change("AAPL", algorithm=RSI)))
            handle(database, changed(change("AAPL", algorithm=RSI), hours=1))
            await ada.until(hers, 3)
            await bob.until(his, 3)
        return ada, bob

    with serving() as server:
        ada, bob = asyncio.run(scene(server))
        eventually(
            lambda: rows(database, "SELECT 1 FROM delivery WHERE channel = 'live' AND state = 'sent'") != []
        )
    assert [message["type"] for message in ada.messages] == [
        "snapshot",
        "views_changed",
        "alert",
        "views_changed",
    ]
    told = ada.messages[2]
    assert told["n"] == 2
    assert told["data"]["alerts"] == [
        "Moving Average Crossover on all tickers", "Moving Average Crossover on BTCUSD",
    ]  # fmt: skip
    assert {told["data"][name] for name in ("ticker", "from", "to")} == {"BTCUSD", "HOLD", "BUY"}
    assert bob.tickers("alert") == []
    (receipt,) = rows(database, "SELECT receipt->>'accepted_at' AS at FROM delivery WHERE channel = 'live'")
    assert receipt["at"].endswith("Z")


def test_a_page_that_was_cut_at_random_misses_nothing_and_sees_nothing_twice(
    database: Database, serving: Callable[..., Any], sign: Sign
) -> None:
    person(database, "ada")
    alert(database, "ada", "BTCUSD", channels=("live",))
    rounds = 200
    chance = random.Random(11)

    def change_views() -> None:
        for hours in range(rounds):
            handle(database, changed(change("BTCUSD", "BUY" if hours % 2 == 0 else "SELL"), hours=hours))

    async def scene(server: LiveServer) -> tuple[Page, int]:
        page, cuts = Page(server, sign("ada")), 0
        changing = asyncio.create_task(asyncio.to_thread(change_views))
        while page.last is None or page.last < 2 * rounds:
            async with page.open() as connection:
                for _ in range(chance.randint(1, 8)):
                    await page.receive(connection)
                    if page.last == 2 * rounds:
                        break
                cuts += 1
                connection.transport.abort()  # whatever was under way is lost
        await changing
        return page, cuts

    with serving() as server:
        page, cuts = asyncio.run(scene(server))
    first = page.messages[0]
    assert first["type"] == "snapshot"
    seen = [message["n"] for message in page.messages[1:]]
    assert seen == list(range(first["n"] + 1, 2 * rounds + 1))
    assert [message["type"] for message in page.messages].count("snapshot") == 1
    assert cuts >= 40


def test_resuming_from_before_the_log_or_beyond_it_gives_a_snapshot(
    database: Database, serving: Callable[..., Any], sign: Sign
) -> None:
    for hours in range(3):
        handle(database, changed(change("BTCUSD"), hours=hours))
    execute(database, "DELETE FROM live_message WHERE n <= 2")
    execute(database, "UPDATE live_counter SET purged_to = 2")

    async def first(server: LiveServer, since: int) -> dict[str, Any]:
        page = Page(server, sign("ada"))
        async with page.open(since=since) as connection:
            return await page.receive(connection)

    with serving() as server:
        answers = [asyncio.run(first(server, since)) for since in (0, 1, 2, 3, 4, 2**63 - 1)]
    assert [(answer["type"], answer["n"]) for answer in answers] == [
        ("snapshot", 3),
        ("snapshot", 3),
        ("views_changed", 3),
        ("heartbeat", 3),
        ("snapshot", 3),
        ("snapshot", 3),
    ]


def test_messages_that_nobody_announced_are_found_by_the_poll_and_announced_ones_at_once(
    database: Database, serving: Callable[..., Any], sign: Sign
) -> None:
    async def scene(server: LiveServer, *, wake: bool) -> float:
        page = Page(server, sign("ada"))
        async with page.open() as connection:
            await page.receive(connection)
            await page.receive(connection)
            handle(database, changed(change("BTCUSD"), hours=int(wake)))
            began = time.monotonic()
            if wake:
                server.wake()
            await page.until(connection, 1 + int(wake))
            return time.monotonic() - began

    with serving() as server:
        asyncio.run(scene(server, wake=False))
    with serving(poll_seconds=3) as server:
        assert asyncio.run(scene(server, wake=True)) < 2


def test_heartbeats_carry_the_last_number(
    database: Database, serving: Callable[..., Any], sign: Sign
) -> None:
    handle(database, changed(change("BTCUSD")))

    async def scene(server: LiveServer) -> list[dict[str, Any]]:
        page = Page(server, sign("ada"))
        async with page.open() as connection:
            return [await page.receive(connection) for _ in range(3)]

    with serving(heartbeat_seconds=0.1) as server:
        _, joined, beat = asyncio.run(scene(server))
    for message in (joined, beat):
        assert (message["type"], message["n"], message["data"]) == ("heartbeat", 1, {})


def test_the_server_says_goodbye_when_it_stops(serving: Callable[..., Any], sign: Sign) -> None:
    codes: list[int] = []
    joined = threading.Event()

    async def scene(server: LiveServer) -> None:
        page = Page(server, sign("ada"))
        async with page.open() as connection:
            await page.receive(connection)
            joined.set()
            codes.append(await page.until_closed(connection))

    with serving() as server:
        visit = threading.Thread(target=lambda: asyncio.run(scene(server)))
        visit.start()
        assert joined.wait(10)
    visit.join(10)
    assert codes == [1001]


def test_a_restored_database_sends_everybody_a_new_board(
    database: Database, serving: Callable[..., Any], sign: Sign
) -> None:
    for hours in range(5):
        handle(database, changed(change("BTCUSD"), hours=hours))

    async def scene(server: LiveServer) -> dict[str, Any]:
        page = Page(server, sign("ada"))
        async with page.open() as connection:
            await page.receive(connection)
            execute(database, "DELETE FROM live_message WHERE n > 2")
            execute(database, "UPDATE live_counter SET n = 2")
            assert await page.until_closed(connection) == 1013
        async with page.open() as connection:
            return await page.receive(connection)

    with serving() as server:
        answer = asyncio.run(scene(server))
    assert (answer["type"], answer["n"]) == ("snapshot", 2)
