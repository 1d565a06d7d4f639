"""The worker and the live process on the local bus, as the embedded default runs them."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from services.notify import live, worker
from services.notify.channels.live import LiveServer
from services.notify.config import Settings
from services.notify.repository import live_log
from shared.bus.local import LocalBus
from shared.contracts.auth import SessionEndedV1
from shared.db import outbox
from shared.db.engine import Database
from tests.notify.events import alert, change, changed, eventually, execute, handle, person, rows, running
from tests.notify.live_page import Page


def test_an_event_from_the_bus_reaches_the_browser(
    database: Database,
    migrated: Callable[[str], Database],
    make_settings: Callable[..., Settings],
    sign: Callable[..., str],
) -> None:
    signals = migrated("messaging")
    person(database, "ada")
    alert(database, "ada", "BTCUSD", channels=("live",))
    settings = make_settings(live_host="127.0.0.1", live_port=0)
    bus = LocalBus()
    consumers = worker.loops(settings, database, bus)
    channel = live.loops(settings, database, bus)
    server = channel[0]
    assert isinstance(server, LiveServer)

    async def scene() -> Page:
        page = Page(server, sign("ada"))
        async with page.open() as connection:
            await page.receive(connection)
            with signals.transaction() as session:
                outbox.add(session, changed(change("BTCUSD")), aggregate_id="a", aggregate_version=1)
            await page.until(connection, 2)
        return page

    with running(*consumers, *channel, bus.relay(signals, service="signals")):
        server.port(10)
        page = asyncio.run(scene())
        eventually(lambda: rows(database, "SELECT 1 FROM outbox WHERE published_at IS NOT NULL") != [])
    assert [message["type"] for message in page.messages] == ["snapshot", "views_changed", "alert"]


def test_the_end_of_a_session_that_auth_tells_of_closes_its_socket(
    database: Database,
    migrated: Callable[[str], Database],
    make_settings: Callable[..., Settings],
    sign: Callable[..., str],
) -> None:
    auth, bus = migrated("messaging"), LocalBus()
    channel = live.loops(make_settings(live_host="127.0.0.1", live_port=0), database, bus)
    server = channel[0]
    assert isinstance(server, LiveServer)

    async def scene() -> int:
        page = Page(server, sign("ada", session_id="here"))
        async with page.open() as connection:
            await page.receive(connection)
            with auth.transaction() as session:
                over = SessionEndedV1(user_id="ada", session_ids=("here",))
                outbox.add(session, over, aggregate_id="ada", aggregate_version=1)
            return await page.until_closed(connection)

    with running(*channel, bus.relay(auth, service="auth")):
        server.port(10)
        assert asyncio.run(scene()) == 1008


def test_more_than_one_batch_of_live_messages_is_purged(database: Database) -> None:
    count = 2 * worker.PURGE_BATCH + 1
    execute(
        database,
        "INSERT INTO live_message (n, type, data, created_at)"
        " SELECT number, 'views_changed', '{}', now() - interval '2 days'"
        " FROM generate_series(1, :count) AS number",
        count=count,
    )
    execute(database, "UPDATE live_counter SET n = :count", count=count)
    with database.transaction() as session:
        before = datetime.now(UTC) - timedelta(days=1)
        assert live_log.purge(session, before, worker.PURGE_BATCH) == worker.PURGE_BATCH
    assert rows(database, "SELECT purged_to FROM live_counter") == [{"purged_to": worker.PURGE_BATCH}]
    worker.purge_live_log(database, timedelta(days=1))
    assert rows(database, "SELECT * FROM live_message") == []
    assert rows(database, "SELECT n, purged_to FROM live_counter") == [{"n": count, "purged_to": count}]


def test_what_nobody_came_to_fetch_ends_with_its_live_message(database: Database) -> None:
    person(database, "ada")
    alert(database, "ada", None, channels=("live", "mail"))
    handle(database, changed(change("BTCUSD")))
    execute(database, "UPDATE live_message SET created_at = now() - interval '2 days'")
    handle(database, changed(change("ETHUSD")))
    worker.purge_live_log(database, timedelta(days=1))
    found = rows(
        database,
        "SELECT ticker, channel, state, reason FROM delivery d JOIN view_change c ON c.id = d.view_change_id"
        " ORDER BY ticker, channel",
    )
    assert [tuple(row.values()) for row in found] == [
        ("BTCUSD", "live", "cancelled", "not connected"),
        ("BTCUSD", "mail", "pending", None),
        ("ETHUSD", "live", "pending", None),
        ("ETHUSD", "mail", "pending", None),
    ]


def test_the_live_log_is_purged(database: Database) -> None:
    handle(database, changed(change("BTCUSD")))
    execute(database, "UPDATE live_message SET created_at = now() - interval '2 days'")
    worker.purge_live_log(database, timedelta(days=1))
    assert rows(database, "SELECT * FROM live_message") == []
    assert rows(database, "SELECT n, purged_to FROM live_counter") == [{"n": 1, "purged_to": 1}]
