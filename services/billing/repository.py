"""All queries of billing."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from services.billing.models import Account


def open_account(
    session: Session, user_id: str, *, plan: str, announced: dict[str, Any], version: int, now: datetime
) -> bool:
    """Insert the person's account; False, and nothing done, when there is one already, even closed."""
    statement = (
        insert(Account)
        .values(user_id=user_id, plan=plan, announced=announced, version=version, opened_at=now)
        .on_conflict_do_nothing()
        .returning(Account.user_id)
    )
    return session.execute(statement).first() is not None


def close_account(session: Session, user_id: str, now: datetime) -> None:
    """Close the person's account, once; without one leave the mark that it never opens."""
    statement = insert(Account).values(user_id=user_id, version=0, closed_at=now)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Account.user_id],
            set_={"closed_at": now},
            where=Account.closed_at.is_(None),
        )
    )


def plan_of(connection: Connection, user_id: str) -> str | None:
    """The plan of the person's open account."""
    return connection.scalar(
        select(Account.plan).where(Account.user_id == user_id, Account.closed_at.is_(None))
    )


def raise_versions(
    session: Session, plan: str, announced: dict[str, Any], limit: int
) -> Sequence[tuple[str, int]]:
    """Note new entitlements on at most ``limit`` open accounts of the plan that were told others.

    Returns (user id, new version) of each; another worker's are skipped.
    """
    stale = (
        select(Account.user_id)
        .where(Account.plan == plan, Account.closed_at.is_(None), Account.announced != announced)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(
        update(Account)
        .where(Account.user_id.in_(stale))
        .values(announced=announced, version=Account.version + 1)
        .returning(Account.user_id, Account.version)
        .execution_options(synchronize_session=False)
    )
    return [(row.user_id, row.version) for row in rows]


def purge_closed(session: Session, closed_before: datetime, limit: int) -> int:
    """Remove at most ``limit`` accounts closed before the moment; how many there were."""
    due = (
        select(Account.user_id)
        .where(Account.closed_at <= closed_before)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    removed = session.execute(
        delete(Account)
        .where(Account.user_id.in_(due))
        .returning(Account.user_id)
        .execution_options(synchronize_session=False)
    )
    return len(removed.all())
