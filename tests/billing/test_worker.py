"""The worker of billing: changed plans are announced, closed accounts are forgotten in time."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import text

from services.billing import worker
from services.billing.config import Settings
from services.billing.constants import ANNOUNCE_BATCH, RETENTION
from services.billing.plans import Plans, current_plans
from shared.bus.local import LocalBus
from shared.db.engine import Database
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


def test_the_worker_relays_consumes_announces_and_forgets(settings: Settings, database: Database) -> None:
    names = [loop.name for loop in worker.loops(settings, database, LocalBus())]
    assert len(names) == len(set(names)) == 4
