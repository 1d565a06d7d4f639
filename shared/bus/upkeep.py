"""What the relays of both buses do beside carrying events: waking up, and keeping the tables small."""

import threading
import time
from types import TracebackType
from typing import Self

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from shared import logs, monitoring
from shared.db import messaging, outbox
from shared.db.engine import Database, Listener

COUNT_SECONDS = 15.0
PURGE_SECONDS = 3600.0
_PURGE_ROWS = 5000

log = logs.logger(__name__)


class Wakeup:
    """Waits for a commit that put events into the outbox; without a listener it is a plain wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listener: Listener | None = None
        self._listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._forget()

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return when woken, or after ``seconds`` at the latest."""
        if self._listener is None:
            stop.wait(seconds)
            self._listen()
            return
        try:
            self._listener.wait(seconds, stop)
        except psycopg.Error:
            self._forget()

    def _listen(self) -> None:
        try:
            self._listener = self._database.listen(outbox.CHANNEL)
        except psycopg.Error as error:
            log.warning("no wake-up from the database, polling", reason=type(error).__name__)

    def _forget(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None


class Upkeep:
    """Counts what waits in the outbox, and purges what is history, each in its rhythm."""

    def __init__(self, database: Database, service: str) -> None:
        self._database = database
        self._service = service
        self._count_at = 0.0
        self._purge_at = 0.0

    def turn(self) -> None:
        """Do what is due now; cheap when nothing is."""
        now = time.monotonic()
        if now >= self._count_at:
            self._count_at = now + COUNT_SECONDS
            with self._database.read() as connection:
                monitoring.OUTBOX_WAITING.labels(self._service).set(outbox.waiting(connection))
        if now >= self._purge_at:
            self._purge_at = now + PURGE_SECONDS
            try:
                if messaging.purge(self._database, limit=_PURGE_ROWS) >= _PURGE_ROWS:
                    self._purge_at = now  # there is more: go on with the next turn
            except SQLAlchemyError as error:
                # events come first: a purge that times out is tried again in an hour
                log.warning("purge failed", service=self._service, reason=type(error).__name__)
