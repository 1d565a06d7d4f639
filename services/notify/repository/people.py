"""The queries of notify on people: how to reach them, and what they may do."""

from datetime import datetime

from sqlalchemy import func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from services.notify.models import Contact, Entitlement
from shared.contracts.billing import EntitlementChangedV1

_LOCK_PERSON = text("SELECT pg_advisory_xact_lock(hashtextextended('notify person ' || :user_id, 0))")


def lock_person(session: Session, user_id: str) -> None:
    """Let one transaction at a time change what this service knows of a person."""
    session.execute(_LOCK_PERSON, {"user_id": user_id})


def contact(session: Session, user_id: str) -> Contact | None:
    """The person's contact, or the tombstone that it left."""
    return session.get(Contact, user_id)


def add_contact(session: Session, user_id: str, user_name: str, email: str) -> bool:
    """Keep how to reach a person; False when we knew already, or the account is deleted."""
    made = insert(Contact).values(user_id=user_id, user_name=user_name, email=email).on_conflict_do_nothing()
    return session.execute(made.returning(Contact.user_id)).first() is not None


def bury_contact(session: Session, user_id: str, deleted_at: datetime) -> None:
    """Leave nothing of a contact but the fact that it is gone."""
    gone = {"user_name": None, "email": None, "deleted_at": deleted_at, "mail_stopped_at": None}
    statement = insert(Contact).values(user_id=user_id, **gone)
    session.execute(statement.on_conflict_do_update(index_elements=[Contact.user_id], set_=gone))


def stop_mail(session: Session, user_id: str, *, stopped: bool) -> None:
    """Take no wish for alert mails from the person, or take them again; nothing when they are gone."""
    moment = func.now() if stopped else None
    session.execute(
        update(Contact)
        .where(Contact.user_id == user_id, Contact.deleted_at.is_(None))
        .values(mail_stopped_at=moment)
    )


def put_entitlement(session: Session, event: EntitlementChangedV1, version: int) -> None:
    """Keep what a person may do, unless a newer version is known."""
    new = {
        "version": version,
        "alerts_max": event.entitlements.alerts_max,
        "channels": list(event.entitlements.channels),
    }
    statement = insert(Entitlement).values(user_id=event.user_id, **new)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Entitlement.user_id], set_=new, where=Entitlement.version < version
        )
    )


def entitlement(session: Session, user_id: str) -> Entitlement | None:
    """What a person may do; None while billing has not told."""
    return session.get(Entitlement, user_id)


def forget_entitlement(session: Session, user_id: str) -> None:
    """Delete what a person may do."""
    session.execute(text("DELETE FROM entitlement WHERE user_id = :user_id"), {"user_id": user_id})
