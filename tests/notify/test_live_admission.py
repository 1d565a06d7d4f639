"""Who may open the live channel, and for how long."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from websockets.exceptions import InvalidStatus

from services.notify.channels.live import LiveServer
from shared.db.engine import Database
from tests.notify.live_page import PATIENCE, Page, Sign


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
        deadline = time.monotonic() + PATIENCE
        while len(connections) < 3:  # the server hears of the end a moment later
            assert time.monotonic() < deadline
            with suppress(InvalidStatus):
                connections.append(await again.open(headers=address))
        await again.receive(connections[-1])
        for connection in connections:
            await connection.close()

    with serving(**caps) as server:
        asyncio.run(scene(server))


def test_the_end_of_a_session_closes_its_sockets_at_once_and_no_other(
    serving: Callable[..., Any], sign: Sign
) -> None:
    tokens = [sign("ada", session_id=name) for name in ("here", "here", "there")] + [sign("bob")]

    async def scene(server: LiveServer) -> tuple[list[int], float]:
        pages = [Page(server, token) for token in tokens]
        sockets = [await page.open() for page in pages]
        for page, socket in zip(pages, sockets, strict=True):
            await page.receive(socket)
        began = time.monotonic()
        server.end_sessions({"here"})
        codes = [await pages[place].until_closed(sockets[place]) for place in (0, 1)]
        took = time.monotonic() - began
        for place in (2, 3):
            await pages[place].until_beat(sockets[place])
            await sockets[place].close()
        return codes, took

    with serving(heartbeat_seconds=0.1, poll_seconds=5) as server:
        codes, took = asyncio.run(scene(server))
    assert codes == [1008, 1008]
    assert took < 1


def test_the_identity_of_an_ended_session_lets_nobody_in(serving: Callable[..., Any], sign: Sign) -> None:
    ended, new = sign("ada", session_id="ended"), sign("ada", session_id="new")

    async def scene(server: LiveServer) -> int:
        page = Page(server, ended)
        async with page.open() as connection:  # as the gateway would let it pass, from its cache
            code = await page.until_closed(connection)
        assert page.messages == []
        page = Page(server, new)
        async with page.open() as connection:
            await page.receive(connection)
        return code

    with serving() as server:
        server.end_sessions({"ended"})
        assert asyncio.run(scene(server)) == 1008


def test_a_page_that_is_still_catching_up_is_closed_too(
    database: Database, serving: Callable[..., Any], sign: Sign
) -> None:
    async def scene(server: LiveServer) -> int:
        page = Page(server, sign("ada", session_id="here"))
        async with page.open() as connection:
            server.end_sessions({"here"})
            return await page.until_closed(connection)

    with serving() as server, database.transaction() as session:
        session.execute(text("LOCK TABLE board_view IN ACCESS EXCLUSIVE MODE"))  # no board before the end
        assert asyncio.run(scene(server)) == 1008


def test_no_connection_lives_longer_than_its_age(serving: Callable[..., Any], sign: Sign) -> None:
    async def scene(server: LiveServer) -> tuple[int, float]:
        page = Page(server, sign("ada"))
        began = time.monotonic()
        async with page.open() as connection:
            code = await page.until_closed(connection)
        return code, time.monotonic() - began

    with serving(max_age_seconds=1) as server:
        code, lived = asyncio.run(scene(server))
    assert code == 1008
    assert 0.7 < lived < 3
