"""What auth does: register, log in, log out, say who somebody is, close an account.

Hashing takes long and waits for a turn, so it happens between transactions, never inside one; the
transaction after it checks that what was hashed against still stands.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection
from sqlalchemy.orm import Session as DbSession

from services.auth import identifiers, repository
from services.auth.constants import (
    DEFAULT_ROLE,
    PASSWORD_LONG,
    PASSWORD_MAX,
    PURGE_BATCH,
    SEEN_EVERY,
    SESSIONS_TOLD,
    USER_AGENT_MAX,
    USER_NAME_MAX,
    USER_NAME_MIN,
)
from services.auth.errors import FieldsRefused, NameTaken, WrongCredentials, WrongPassword
from services.auth.identifiers import Identifier
from services.auth.models import Session, User
from services.auth.passwords import Passwords, is_good_enough
from services.auth.repository import Credentials, Profile
from services.auth.tokens import Holder, digest, new_token
from shared.contracts.auth import SessionEndedV1, UserDeletedV1, UserRegisteredV1
from shared.db import outbox

Clock = Callable[[], datetime]

_NO_USER_NAME = (
    f"This isn't a user name: take {USER_NAME_MIN} to {USER_NAME_MAX} letters and digits,"
    " and only dots, underscores and hyphens between them."
)
_WEAK_PASSWORD = f"Too easy to guess. Take {PASSWORD_LONG} characters or more."


def utc_now() -> datetime:
    """The moment, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Registration:
    """A registration that is in order, its password hashed already."""

    user_name: Identifier
    email: Identifier
    password_hash: str


@dataclass(frozen=True)
class Device:
    """Where a login comes from: the browser's name for itself, and the client's address."""

    user_agent: str
    address: str


@dataclass(frozen=True)
class Verified:
    """A person whose password was right, and the new hash to store when the old one is outdated."""

    credentials: Credentials
    rehashed: str | None


def prepare_registration(passwords: Passwords, user_name: str, email: str, password: str) -> Registration:
    """Check and hash what somebody wants to register with; touches no database.

    Raises FieldsRefused naming each field that isn't acceptable, Busy when the hasher is.
    """
    name, address = identifiers.user_name(user_name), identifiers.email(email)
    faults = {}
    if name is None:
        faults["user_name"] = _NO_USER_NAME
    if address is None:
        faults["email"] = "This isn't an address that mail can be sent to."
    if len(password) > PASSWORD_MAX:
        faults["password"] = f"At most {PASSWORD_MAX:,} characters."
    elif not is_good_enough(password, [user_name, email]):
        faults["password"] = _WEAK_PASSWORD
    if name is None or address is None or faults:
        raise FieldsRefused("registration_refused", faults)
    return Registration(name, address, passwords.hash(password))


def register(session: DbSession, registration: Registration, *, clock: Clock = utc_now) -> None:
    """Open the account and announce it, in one transaction.

    When the address is known nothing changes and nothing is told. Raises NameTaken.
    """
    user = User(
        id=uuid.uuid4(),
        user_name=registration.user_name.text,
        user_name_key=registration.user_name.key,
        email=registration.email.text,
        email_key=registration.email.key,
        password_hash=registration.password_hash,
        role=DEFAULT_ROLE,
        version=1,
        created_at=clock(),
    )
    if repository.add_user(session, user):
        event = UserRegisteredV1(user_id=str(user.id), user_name=user.user_name, email=user.email)
        outbox.add(session, event, aggregate_id=event.user_id, aggregate_version=user.version)
    elif repository.name_is_taken(session, user.user_name_key):
        raise NameTaken
    else:
        # A commit that wrote nothing needn't wait for the disk, and would be told from the other by its time.
        repository.rewrite_user(session, user.email_key)


def find_credentials(connection: Connection, login: str) -> Credentials | None:
    """What a login as ``login``, a user name or a mail address, is checked against."""
    if "@" in login:
        address = identifiers.email(login)
        return repository.credentials_by_email(connection, address.key) if address else None
    name = identifiers.user_name(login)
    return repository.credentials_by_name(connection, name.key) if name else None


def verify_login(passwords: Passwords, person: Credentials | None, password: str) -> Verified:
    """The person, when the password is right; touches no database.

    The hasher runs once whether or not there is such a person. Raises WrongCredentials, Busy.
    """
    if not passwords.verify(person.password_hash if person else None, password) or person is None:
        raise WrongCredentials
    outdated = passwords.is_outdated(person.password_hash)
    return Verified(person, passwords.hash(password) if outdated else None)


def log_in(
    session: DbSession, verified: Verified, device: Device, *, previous: str | None, clock: Clock = utc_now
) -> str:
    """Begin a session, end the one that the browser came with, and return the new token.

    Raises WrongCredentials when the account has gone or changed its password since it was verified.
    """
    person = verified.credentials
    if not repository.lock_user(session, person.user_id, person.password_hash):
        raise WrongCredentials
    if verified.rehashed:
        repository.set_password_hash(session, person.user_id, verified.rehashed)
    if previous:
        _end_session(session, previous)
    token, now = new_token(), clock()
    repository.add_session(
        session,
        Session(
            id=uuid.uuid4(),
            token_digest=digest(token),
            user_id=person.user_id,
            user_agent=device.user_agent[:USER_AGENT_MAX],
            address=device.address,
            created_at=now,
            last_seen_at=now,
        ),
    )
    return token


def log_out(session: DbSession, token: str) -> None:
    """End the session with the token and announce it, if there is one."""
    _end_session(session, token)


def identify(connection: Connection, token: str, *, clock: Clock = utc_now) -> Holder | None:
    """Who holds the session with the token, or None when it isn't good. Notes that it was seen."""
    now = clock()
    live = repository.live_session(connection, digest(token), now)
    if live is None:
        return None
    if live.last_seen_at <= now - SEEN_EVERY:
        repository.touch_session(connection, live.id, now)
    return live.holder


def own_profile(connection: Connection, user_id: str) -> Profile | None:
    """What a person sees of their own account, or None when it is gone."""
    return repository.profile(connection, uuid.UUID(user_id))


def own_credentials(connection: Connection, user_id: str) -> Credentials | None:
    """What the password of somebody logged in is checked against, or None when the account is gone."""
    return repository.credentials_by_id(connection, uuid.UUID(user_id))


def verify_again(passwords: Passwords, person: Credentials | None, password: str) -> Credentials:
    """The credentials of somebody logged in who gave their password again. Raises WrongPassword, Busy."""
    if not passwords.verify(person.password_hash if person else None, password) or person is None:
        raise WrongPassword
    return person


def close_account(session: DbSession, person: Credentials) -> None:
    """Remove the account with all its sessions and announce it, in one transaction.

    Raises WrongPassword when the account has gone or changed its password since it was verified.
    """
    if not repository.lock_user(session, person.user_id, person.password_hash):
        raise WrongPassword
    _announce_end(session, person.user_id, repository.delete_sessions(session, person.user_id))
    version = repository.delete_user(session, person.user_id)
    event = UserDeletedV1(user_id=str(person.user_id))
    outbox.add(session, event, aggregate_id=event.user_id, aggregate_version=version + 1)


def purge_sessions(session: DbSession, *, clock: Clock = utc_now) -> int:
    """Remove some expired sessions; how many, fewer than PURGE_BATCH when none is left."""
    return repository.purge_sessions(session, clock(), PURGE_BATCH)


def _end_session(session: DbSession, token: str) -> None:
    ended = repository.delete_session(session, digest(token))
    if ended is not None:
        _announce_end(session, ended.user_id, [ended.id])


def _announce_end(session: DbSession, user_id: uuid.UUID, session_ids: Sequence[uuid.UUID]) -> None:
    for first in range(0, len(session_ids), SESSIONS_TOLD):
        told = tuple(str(id_) for id_ in session_ids[first : first + SESSIONS_TOLD])
        event = SessionEndedV1(user_id=str(user_id), session_ids=told)
        # Which login it was that ended needs no order among a person's states: the version is any.
        outbox.add(session, event, aggregate_id=event.user_id, aggregate_version=1)
