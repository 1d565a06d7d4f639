"""The one way into a service's PostgreSQL database, with time-outs on everything."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from shared.db.revisions import current_revision, newest_revision

CONNECT_SECONDS = 3
POOL_SECONDS = 3
_LOOK_SECONDS = 0.2
"""Who waits for a notification looks this often whether to stop."""
SESSION_OPTIONS = (
    "-c statement_timeout=5000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=10000"
    " -c timezone=UTC"
)
_CONNECT = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}


_AWAY_CLASSES = ("08", "53")
_AWAY_STATES = frozenset({"57P01", "57P02", "57P03", "25006"})


class NotMigrated(Exception):
    """The database is not at the newest migration of its service."""


def is_away(error: BaseException) -> bool:
    """Whether the error says that the database can't be worked with now, whatever it was asked.

    That is: unreachable, starting or stopping, out of connections or of space, read-only after a failover.
    A statement or lock time-out, a deadlock, a violated constraint belong to the work, not to the database.
    Several errors at once (an exception group) say so when each of them does.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_away, error.exceptions))
    if isinstance(error, PoolTimeout):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.Error):
        return False
    state = cause.sqlstate
    if state is None:  # it came from the driver, not from the server
        return isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError))
    return state.startswith(_AWAY_CLASSES) or state in _AWAY_STATES


class Listener:
    """A connection of its own that waits for NOTIFY on one channel. Not shared between threads."""

    def __init__(self, conninfo: str, channel: str) -> None:
        self._connection = psycopg.connect(conninfo, autocommit=True)
        try:
            self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        except BaseException:
            self._connection.close()
            raise

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Wait for a notification; False when none came in time, or soon after ``stop`` is set.

        Raises psycopg.Error when the connection is gone.
        """
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0 and not stop.is_set():
            if any(True for _ in self._connection.notifies(timeout=min(left, _LOOK_SECONDS), stop_after=1)):
                return True
        return False

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Database:
    """A service's database in this process: one pool, opened by first use and only after the fork.

    ``url`` starts with ``postgresql+psycopg://``. Every session has time-outs: statement 5 s, lock 2 s, idle
    in transaction 10 s, connecting and waiting for the pool 3 s each. Raises sqlalchemy.exc.ArgumentError for
    an address that is none of a PostgreSQL database.
    """

    def __init__(self, url: str | SecretStr, *, application_name: str, pool_size: int = 5) -> None:
        self._url = make_url(url.get_secret_value() if isinstance(url, SecretStr) else url)
        if self._url.get_backend_name() != "postgresql":
            raise ArgumentError(f"it is of {self._url.get_backend_name()}, not of postgresql+psycopg")
        self._application_name = application_name
        self.engine: Engine = create_engine(
            self._url,
            connect_args=_CONNECT | {"application_name": application_name, "options": SESSION_OPTIONS},
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=POOL_SECONDS,
            pool_pre_ping=True,
            pool_recycle=1800,
            hide_parameters=True,  # personal data, which must not get into logs with an error
        )
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        # SQLAlchemy prepares a session class at its first use, which two threads must not do at once
        Session(self.engine).close()

    @property
    def name(self) -> str:
        """Host and database, without credentials: the identity of the database in logs."""
        return f"{self._url.host or ''}:{self._url.port or ''}/{self._url.database or ''}"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction: commits at the end of the block, rolls back when it raises."""
        # no sessionmaker: it would make a session class of its own, to be prepared again
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection in autocommit, for hot reads by Core: no BEGIN and no ROLLBACK around them."""
        with self._autocommit.connect() as connection:
            yield connection

    def listen(self, channel: str) -> Listener:
        """A listener on a NOTIFY channel, on a connection outside the pool."""
        url = self._url.set(drivername="postgresql").update_query_dict(
            {
                **{key: str(value) for key, value in _CONNECT.items()},
                "application_name": f"{self._application_name} listener",
            }
        )
        return Listener(url.render_as_string(hide_password=False), channel)

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()

    def ready(self, service: str) -> None:
        """Return when the database answers and is at the newest migration of ``service``.

        Raises NotMigrated when it is behind, sqlalchemy.exc.SQLAlchemyError when it does not answer.
        """
        with self.read() as connection:
            current = current_revision(connection)
        if current != newest_revision(service):
            raise NotMigrated(f"{service} is at migration {current}, not at {newest_revision(service)}")
