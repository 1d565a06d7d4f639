"""All queries of auth."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, cast, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session as DbSession

from services.auth.constants import DEFAULT_PLAN, SEEN_EVERY, SESSION_IDLE, SESSION_LIFETIME
from services.auth.models import Plan, Session, User
from services.auth.tokens import Holder


@dataclass(frozen=True)
class Credentials:
    """What a login is checked against."""

    user_id: uuid.UUID
    password_hash: str


@dataclass(frozen=True)
class Profile:
    """What a person sees of their own account."""

    user_name: str
    email: str
    created_at: datetime


@dataclass(frozen=True)
class EndedSession:
    """A session that has just ended, and whose it was."""

    id: uuid.UUID
    user_id: uuid.UUID


@dataclass(frozen=True)
class LiveSession:
    """A session that is good now, who holds it, and when it was last seen."""

    id: uuid.UUID
    holder: Holder
    last_seen_at: datetime


def add_user(session: DbSession, user: User) -> bool:
    """Insert the user; False, and nothing done, when the name or the address is somebody's already."""
    row = {column.name: getattr(user, column.name) for column in User.__table__.columns}
    statement = insert(User).values(row).on_conflict_do_nothing().returning(User.id)
    return session.execute(statement).first() is not None


def rewrite_user(session: DbSession, email_key: str) -> None:
    """Write the row of the person with the address as it is."""
    session.execute(update(User).where(User.email_key == email_key).values(email_key=User.email_key))


def name_is_taken(session: DbSession, user_name_key: str) -> bool:
    """Whether somebody has the user name."""
    return bool(session.scalar(select(exists().where(User.user_name_key == user_name_key))))


def credentials_by_email(connection: Connection, email_key: str) -> Credentials | None:
    """The credentials of the person with the address."""
    return _credentials(connection, User.email_key == email_key)


def credentials_by_name(connection: Connection, user_name_key: str) -> Credentials | None:
    """The credentials of the person with the user name."""
    return _credentials(connection, User.user_name_key == user_name_key)


def credentials_by_id(connection: Connection, user_id: uuid.UUID) -> Credentials | None:
    """The credentials of the person with the id."""
    return _credentials(connection, User.id == user_id)


def profile(connection: Connection, user_id: uuid.UUID) -> Profile | None:
    """What a person sees of their own account, or None when it is gone."""
    row = connection.execute(
        select(User.user_name, User.email, User.created_at).where(User.id == user_id)
    ).first()
    return None if row is None else Profile(row.user_name, row.email, row.created_at)


def lock_user(session: DbSession, user_id: uuid.UUID, password_hash: str) -> bool:
    """Hold the user's row until the transaction ends; False when it is gone or its password has changed."""
    statement = (
        select(User.id).where(User.id == user_id, User.password_hash == password_hash).with_for_update()
    )
    return session.execute(statement).first() is not None


def set_password_hash(session: DbSession, user_id: uuid.UUID, password_hash: str) -> None:
    """Store a new hash of the person's password."""
    session.execute(update(User).where(User.id == user_id).values(password_hash=password_hash))


def delete_user(session: DbSession, user_id: uuid.UUID) -> int:
    """Remove the user, who must be there, with the plan; the version it had."""
    return session.execute(delete(User).where(User.id == user_id).returning(User.version)).scalar_one()


def add_session(session: DbSession, row: Session) -> None:
    """Store a new login."""
    session.add(row)


def delete_session(session: DbSession, token_digest: bytes) -> EndedSession | None:
    """End the session with the token; None when there is none."""
    statement = delete(Session).where(Session.token_digest == token_digest)
    row = session.execute(statement.returning(Session.id, Session.user_id)).first()
    return None if row is None else EndedSession(row.id, row.user_id)


def delete_sessions(session: DbSession, user_id: uuid.UUID) -> list[uuid.UUID]:
    """End all sessions of a person; which these were."""
    statement = delete(Session).where(Session.user_id == user_id).returning(Session.id)
    return list(session.scalars(statement))


def live_session(connection: Connection, token_digest: bytes, now: datetime) -> LiveSession | None:
    """The session with the token if it is good at ``now``. The hottest query of the product."""
    statement = (
        select(
            Session.id,
            Session.last_seen_at,
            User.id.label("user_id"),
            User.user_name,
            User.role,
            func.coalesce(Plan.plan, DEFAULT_PLAN).label("plan"),
        )
        .join(User, User.id == Session.user_id)
        .outerjoin(Plan, Plan.user_id == User.id)
        .where(
            Session.token_digest == token_digest,
            Session.last_seen_at > now - SESSION_IDLE,
            Session.created_at > now - SESSION_LIFETIME,
        )
    )
    row = connection.execute(statement).first()
    if row is None:
        return None
    holder = Holder(str(row.user_id), str(row.id), row.user_name, row.role, row.plan)
    return LiveSession(row.id, holder, row.last_seen_at)


def touch_session(connection: Connection, session_id: uuid.UUID, now: datetime) -> None:
    """Write down that the session was seen, unless that was done within the last minute."""
    connection.execute(
        update(Session)
        .where(Session.id == session_id, Session.last_seen_at <= now - SEEN_EVERY)
        .values(last_seen_at=now)
    )


def purge_sessions(session: DbSession, now: datetime, limit: int) -> int:
    """Remove at most ``limit`` expired sessions; how many there were."""
    expired = (
        select(Session.id)
        .where((Session.last_seen_at <= now - SESSION_IDLE) | (Session.created_at <= now - SESSION_LIFETIME))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    removed = session.execute(delete(Session).where(Session.id.in_(expired)).returning(Session.id))
    return len(removed.all())


def set_plan(session: DbSession, user_id: uuid.UUID, plan: str, version: int) -> None:
    """Project the plan, unless the row knows a newer version or the person is gone."""
    person = select(User.id, cast(plan, Plan.plan.type), cast(version, Plan.version.type)).where(
        User.id == user_id
    )
    statement = insert(Plan).from_select(["user_id", "plan", "version"], person)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Plan.user_id],
            set_={"plan": statement.excluded.plan, "version": statement.excluded.version},
            where=Plan.version < statement.excluded.version,
        )
    )


def _credentials(connection: Connection, condition: ColumnElement[bool]) -> Credentials | None:
    row = connection.execute(select(User.id, User.password_hash).where(condition)).first()
    return None if row is None else Credentials(row.id, row.password_hash)
