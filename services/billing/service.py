"""What billing does: keep an account per person, and tell what it allows."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from services.billing import repository
from services.billing.constants import ANNOUNCE_BATCH, PURGE_BATCH, RETENTION
from services.billing.plans import Plan, Plans
from shared.contracts.billing import EntitlementChangedV1
from shared.db import outbox

Clock = Callable[[], datetime]
_FIRST_VERSION = 1


def utc_now() -> datetime:
    """The moment, aware, in UTC."""
    return datetime.now(UTC)


def open_account(session: Session, plans: Plans, user_id: str, *, clock: Clock = utc_now) -> None:
    """Put a new person on the default plan and announce it.

    A person who is known already, even as one who left, stays as they are.
    """
    plan = plans.default
    announced = plan.entitlements.model_dump(mode="json")
    if repository.open_account(
        session, user_id, plan=plan.key, announced=announced, version=_FIRST_VERSION, now=clock()
    ):
        _announce(session, user_id, plan, _FIRST_VERSION)


def close_account(session: Session, user_id: str, *, clock: Clock = utc_now) -> None:
    """Mark the account closed. A person who left before they were announced never gets one."""
    repository.close_account(session, user_id, clock())


def current_plan(connection: Connection, plans: Plans, user_id: str) -> Plan | None:
    """The plan a person is on, or None while their account isn't open yet."""
    key = repository.plan_of(connection, user_id)
    return None if key is None else plans[key]


def announce_changes(session: Session, plans: Plans) -> int:
    """Tell the others about some accounts whose plan allows something else than they were told.

    Returns how many; 0 when all have been told.
    """
    told = 0
    for plan in plans:
        announced = plan.entitlements.model_dump(mode="json")
        for user_id, version in repository.raise_versions(session, plan.key, announced, ANNOUNCE_BATCH):
            _announce(session, user_id, plan, version)
            told += 1
    return told


def forget_closed(session: Session, *, clock: Clock = utc_now) -> int:
    """Remove some accounts that were closed for the time of retention; how many, 0 when none is left."""
    return repository.purge_closed(session, clock() - RETENTION, PURGE_BATCH)


def _announce(session: Session, user_id: str, plan: Plan, version: int) -> None:
    event = EntitlementChangedV1(user_id=user_id, plan=plan.key, entitlements=plan.entitlements)
    outbox.add(session, event, aggregate_id=user_id, aggregate_version=version)
