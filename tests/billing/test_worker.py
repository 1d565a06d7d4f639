"""The worker of billing: changed plans are announced, closed accounts are forgotten in time."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.billing import worker
from services.billing.config import Settings
from services.billing.constants import ANNOUNCE_BATCH, RETENTION
from services.billing.plans import Plans, current_plans
from shared.bus import Subscription
from shared.bus.local import LocalBus
from shared.contracts.auth import UserRegisteredV1
from shared.contracts.billing import EntitlementChangedV1
from shared.contracts.envelope import Envelope
from shared.db import outbox
from shared.db.engine import Database
from shared.process import Supervisor
from tests.billing.rows import accounts, delete, events, register


def with_five_alerts(plans: Plans) -> Plans:
    """The plans with a more generous free one."""
    free = plans["free"]
    generous = replace(free, entitlements=free.entitlements.model_copy(update={"alerts_max": 5}))
    return Plans({**plans.by_key, "free": generous}, generous)


def test_a_changed_plan_is_announced_once_to_all_who_are_on_it(database: Database) -> None:
    for user_id in ("ada", "grace", "left"):
        register(database, user_id)
    delete(database, "left")
    plans = with_five_alerts(current_plans())
    worker.announce_changes(database, plans)
    worker.announce_changes(database, plans)
    told = events(database)[3:]
    assert sorted(event["aggregate_id"] for event in told) == ["ada", "grace"]
    assert {event["aggregate_version"] for event in told} == {2}
    assert {event["data"]["entitlements"]["alerts_max"] for event in told} == {5}
    assert [account["version"] for account in accounts(database)] == [2, 2, 1]


def test_unchanged_plans_are_not_announced(database: Database) -> None:
    register(database, "ada")
    worker.announce_changes(database, current_plans())
    assert len(events(database)) == 1


def test_more_than_one_batch_is_told(database: Database) -> None:
    for number in range(ANNOUNCE_BATCH + 1):
        register(database, f"user{number}")
    worker.announce_changes(database, with_five_alerts(current_plans()))
    assert len(events(database)) == 2 * (ANNOUNCE_BATCH + 1)


def age(database: Database, user_id: str, days: timedelta) -> None:
    """Make the closing of an account longer ago."""
    with database.transaction() as session:
        session.execute(
            text(
                "UPDATE accounts SET closed_at = closed_at - make_interval(secs => :seconds)"
                " WHERE user_id = :user_id"
            ),
            {"seconds": days.total_seconds(), "user_id": user_id},
        )


def test_a_closed_account_is_kept_for_thirty_days_and_then_removed(database: Database) -> None:
    for user_id in ("due", "kept", "open"):
        register(database, user_id)
    for user_id, days in (("due", RETENTION), ("kept", RETENTION - timedelta(minutes=1))):
        delete(database, user_id)
        age(database, user_id, days)
    worker.forget_closed(database)
    assert [account["user_id"] for account in accounts(database)] == ["kept", "open"]


def test_the_worker_consumes_relays_announces_and_forgets(
    settings: Settings, database: Database, migrated: Callable[[str], Database]
) -> None:
    for user_id in ("left", "grace"):
        register(database, user_id)
    delete(database, "left")
    age(database, "left", RETENTION)
    with database.transaction() as session:  # what grace was told was another plan's
        session.execute(text("UPDATE accounts SET announced = announced || '{\"alerts_max\": 1}'"))
    auth, bus = migrated("messaging"), LocalBus()
    told: queue.Queue[tuple[str, int]] = queue.Queue()

    def note(_session: Session, envelope: Envelope[Any]) -> None:
        told.put((envelope.data.user_id, envelope.aggregate_version))

    listening = Subscription("listener.events.v1", {EntitlementChangedV1: note}, migrated("messaging"))
    supervisor = Supervisor()
    supervisor.start(
        [
            *worker.loops(settings, database, bus),
            bus.relay(auth, service="auth"),
            bus.consumer(listening),
        ]
    )
    try:
        with auth.transaction() as session:
            ada = UserRegisteredV1(user_id="ada", user_name="Ada", email="ada@example.org")
            outbox.add(session, ada, aggregate_id="ada", aggregate_version=1)
        waited_for = {("ada", 1), ("grace", 2)}
        while waited_for:
            waited_for.discard(told.get(timeout=20))
        deadline, pause = time.monotonic() + 20, threading.Event()
        while [account["user_id"] for account in accounts(database)] != ["ada", "grace"]:
            assert time.monotonic() < deadline
            pause.wait(0.02)
    finally:
        assert supervisor.stop(15) == []
