"""Pages that talk, read slowly, or get much at once."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from services.notify.channels.live import MAX_UNREAD_BYTES, LiveServer
from shared.db.engine import Database
from tests.notify.events import change, changed, execute, handle
from tests.notify.live_page import Page, Sign


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
