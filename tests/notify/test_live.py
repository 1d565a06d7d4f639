"""The live channel: numbered, gap-proof, only for whom it concerns."""

import asyncio
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.notify.channels.live import MAX_UNREAD_BYTES, LiveServer
from services.notify.channels.live_admission import Admission
from shared.db.engine import Database
from shared.web.identity import Verifier
from tests.notify.conftest import ORIGIN
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
    running,
)

Sign = Callable[..., str]
PATIENCE = 15.0


@pytest.fixture
def serving(database: Database, identity_key: tuple[str, str]) -> Callable[..., Any]:
    """Runs a live server on a free port for the length of a with block."""

    @contextmanager
    def serve(**options: Any) -> Iterator[LiveServer]:
        caps = {"max_per_user": 20, "max_per_address": 100} | {
            name: options.pop(name) for name in ("max_per_user", "max_per_address") if name in options
        }
        admission = Admission(Verifier(identity_key[1]), origin=ORIGIN, **caps)
        given: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "poll_seconds": 0.05} | options
        server = LiveServer(database, admission, **given)
        with running(server):
            server.port(10)
            yield server

    return serve


@dataclass
class Page:
    """What a page of a browser knows; it resumes with the last number as live.js does."""

    server: LiveServer
    token: str | None
    last: int | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)

    def open(self, *, since: int | str | None = "last", **options: Any) -> Any:
        since = self.last if since == "last" else since
        query = "" if since is None else f"?since={since}"
        headers = {} if self.token is None else {"X-Identity": self.token}
        return connect(
            f"ws://127.0.0.1:{self.server.port(5)}/ws/notifications{query}",
            origin=options.pop("origin", ORIGIN),
            additional_headers=headers | options.pop("headers", {}),
            proxy=None,
            max_size=None,
            **options,
        )

    async def receive(self, connection: ClientConnection) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await asyncio.wait_for(connection.recv(), PATIENCE))
        if message["type"] == "heartbeat":
            self.last = max(self.last or 0, message["n"])
        else:
            assert self.last is None or message["type"] == "snapshot" or message["n"] > self.last, "doubled"
            self.last = message["n"]
            self.messages.append(message)
        return message

    async def until(self, connection: ClientConnection, n: int) -> None:
        """Receive up to the number n."""
        while self.last is None or self.last < n:
            await self.receive(connection)

    async def until_closed(self, connection: ClientConnection) -> int:
        """Receive all there is; returns the code that the server closes with."""
        with pytest.raises(ConnectionClosed) as closed:
            await self.until(connection, 2**63)
        assert closed.value.rcvd is not None
        return int(closed.value.rcvd.code)

    def tickers(self, kind: str = "views_changed") -> list[str]:
        return [
            each["ticker"]
            for message in self.messages
            if message["type"] == kind
            for each in message["data"].get("changes", [message["data"]])
        ]


def last_number(database: Database) -> int:
    found: int = rows(database, "SELECT n FROM live_counter")[0]["n"]
    return found


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


@pytest.mark.parametrize(
    "origin", [None, "https://evil.example", "http://127.0.0.1:8000.evil.example", "null", "http://127.0.0.1"]
)
def test_pages_of_other_sites_get_a_403(origin: str | None, serving: Callable[..., Any], sign: Sign) -> None:
    async def scene(server: LiveServer) -> None:
        await Page(server, sign("ada")).open(origin=origin)

    with serving() as server, pytest.raises(InvalidStatus) as refusal:
        asyncio.run(scene(server))
    assert refusal.value.response.status_code == 403


@pytest.mark.parametrize("since", ["x", "-1", "1.5", "", str(2**63), "9" * 5000, "1&since=2"])
def test_a_number_that_is_none_gets_a_400(since: str, serving: Callable[..., Any], sign: Sign) -> None:
    async def scene(server: LiveServer) -> None:
        await Page(server, sign("ada")).open(since=since)

    with serving() as server, pytest.raises(InvalidStatus) as refusal:
        asyncio.run(scene(server))
    assert refusal.value.response.status_code == 400


@pytest.mark.parametrize("who", ["nobody", "expired", "forged"])
def test_without_a_valid_identity_the_socket_is_closed_with_1008(
    who: str, serving: Callable[..., Any], sign: Sign
) -> None:
    tokens = {
        "nobody": None,
        "expired": sign("ada", at=datetime.now(UTC) - timedelta(minutes=2)),
        "forged": sign("ada")[:-6] + "AAAAAA",
    }

    async def scene(server: LiveServer) -> int:
        page = Page(server, tokens[who])
        async with page.open() as connection:
            return await page.until_closed(connection)

    with serving() as server:
        assert asyncio.run(scene(server)) == 1008


@pytest.mark.parametrize(("message", "code"), [("hello", 1003), ("x" * 1_000_000, 1009)])
def test_a_page_that_talks_is_closed(
    message: str, code: int, serving: Callable[..., Any], sign: Sign
) -> None:
    async def scene(server: LiveServer) -> int:
        page = Page(server, sign("ada"))
        async with page.open() as connection:
            await page.receive(connection)
            await connection.send(message)
            return await page.until_closed(connection)

    with serving() as server:
        assert asyncio.run(scene(server)) == code


@pytest.mark.parametrize(
    ("caps", "users"),
    [({"max_per_user": 3}, ["ada"] * 4), ({"max_per_address": 3}, ["ada", "bob", "cleo", "dan"])],
)
def test_connections_of_one_person_and_of_one_address_are_capped(
    caps: dict[str, int], users: list[str], serving: Callable[..., Any], sign: Sign
) -> None:
    address = {"X-Real-IP": "203.0.113.7"}

    async def scene(server: LiveServer) -> None:
        connections = []
        for user in users[:3]:
            page = Page(server, sign(user))
            connections.append(await page.open(headers=address))
            await page.receive(connections[-1])
        with pytest.raises(InvalidStatus) as refusal:
            await Page(server, sign(users[3])).open(headers=address)
        assert refusal.value.response.status_code == 429
        await connections.pop().close()
        again = Page(server, sign(users[3]))
        for _ in range(100):  # the server hears of the end a moment later
            try:
                connections.append(await again.open(headers=address))
                break
            except InvalidStatus:
                await asyncio.sleep(0.02)
        await again.receive(connections[-1])
        for connection in connections:
            await connection.close()

    with serving(**caps) as server:
        asyncio.run(scene(server))


def log_messages(database: Database, count: int, size: int) -> None:
    """So many messages of so many bytes at once, as if much had changed."""
    execute(
        database,
        "WITH taken AS (UPDATE live_counter SET n = n + :count RETURNING n)"
        " INSERT INTO live_message (n, type, data)"
        " SELECT taken.n - :count + number, 'views_changed', jsonb_build_object('filler', repeat('x', :size))"
        " FROM taken, generate_series(1, :count) AS number",
        count=count,
        size=size,
    )


def test_a_slow_reader_is_closed_and_delays_nobody(
    database: Database, serving: Callable[..., Any], sign: Sign
) -> None:
    async def scene(server: LiveServer) -> tuple[Page, int]:
        quick, lazy = Page(server, sign("quick")), Page(server, sign("lazy"))
        async with quick.open() as fast, lazy.open(ping_interval=None) as slow:
            for _ in ("snapshot", "heartbeat"):  # after the second they are joined
                await quick.receive(fast)
                await lazy.receive(slow)
            slow.transport.pause_reading()
            n = 0
            # Until what the kernel takes and what may wait are both full, and the server has had enough.
            while joined(server) == 2:
                n += 10
                await asyncio.to_thread(log_messages, database, 10, 20_000)
                await quick.until(fast, n)
                assert n < 5000
            slow.transport.resume_reading()
            assert await lazy.until_closed(slow) == 1013
        async with lazy.open() as again:  # and it goes on where it was
            await lazy.until(again, n)
        return lazy, n

    with serving() as server:
        lazy, n = asyncio.run(scene(server))
    assert [message["n"] for message in lazy.messages] == list(range(n + 1))


def joined(server: LiveServer) -> int:
    return len(server._clients)


def test_a_big_board_is_no_reason_to_call_a_reader_slow(
    database: Database, serving: Callable[..., Any], sign: Sign
) -> None:
    execute(
        database,
        "INSERT INTO board_view SELECT 'golden_crossover', 'T' || number, '1h', 'BUY', now(), 1"
        " FROM generate_series(1, 10000) AS number",
    )

    async def scene(server: LiveServer) -> Page:
        page = Page(server, sign("ada"))
        async with page.open() as connection:
            await page.receive(connection)
            handle(database, changed(change("BTCUSD")))
            await page.until(connection, 1)
        return page

    with serving() as server:
        page = asyncio.run(scene(server))
    assert len(page.messages[0]["data"]["views"]) == 10_000
    assert len(json.dumps(page.messages[0])) > MAX_UNREAD_BYTES
    assert page.tickers() == ["BTCUSD"]


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
