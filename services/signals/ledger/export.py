"""The daily head of the ledger goes out of the house: into a folder, or into a bucket of S3.

Once it lies where nobody who may write to the database can write, the past can't be rewritten unseen. What
was written once is never written over.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from prometheus_client import Gauge

from services.signals.errors import ExportError
from services.signals.ledger.heads import SUFFIX, Ends
from services.signals.ledger.records import PARTITIONS
from services.signals.repository import heads, history
from shared import logs
from shared.db.engine import Database

log = logs.logger(__name__)
WAITING = Gauge(
    "signals_ledger_heads_waiting", "Daily heads of the ledger that could not be written out yet."
)


class Destination(Protocol):
    """Where heads are written to, and read again to be compared. `name` says where that is."""

    name: str

    def write(self, ends: Ends) -> None:
        """Write a head unless it is there already. Raises ExportError, also where another one is there."""
        ...

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of every head that is there. Raises ExportError."""
        ...


class Folder:
    """A directory: one file for each day, whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self.name = f"file:{directory}"
        self._directory = directory

    def write(self, ends: Ends) -> None:
        """Write a head unless it is there already."""
        target = self._directory / ends.file_name
        draft = self._directory / f".{ends.file_name}.{os.getpid()}.part"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            if target.exists():
                ends.require_same(target.read_bytes(), self.name)
                return
            draft.write_bytes(ends.file)
            draft.replace(target)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise ExportError(f"{self.name}: {error.strerror}") from error

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of every head that is there; none while there is no directory."""
        try:
            for path in sorted(self._directory.glob(f"*{SUFFIX}")):
                yield path.name, path.read_bytes()
        except OSError as error:
            raise ExportError(f"{self.name}: {error.strerror}") from error


def destination_of(url: str) -> Destination:
    """The destination that LEDGER_EXPORT names: `file:DIR`, or DIR alone, or `s3://bucket/prefix`."""
    if url.startswith("s3://"):
        from services.signals.ledger.bucket import Bucket  # noqa: PLC0415 - loads the AWS SDK

        parts = urlsplit(url)
        return Bucket(parts.netloc, parts.path.strip("/"))
    return Folder(Path(url.removeprefix("file:")))


def head_job(database: Database, place: str) -> Callable[[], None]:
    """What the worker does now and then: keep the head of the day, and write out those that wait.

    `place` is what LEDGER_EXPORT says; empty means that heads stay in the database.
    """
    destination: Destination | None = None

    def turn() -> None:
        nonlocal destination
        keep_head(database, datetime.now(UTC))
        if place:
            destination = destination or destination_of(place)
            write_out(database, destination)

    return turn


def keep_head(database: Database, now: datetime) -> Ends | None:
    """Store the ends of all chains for the UTC day of a moment; None where that is done, or nothing is there.

    An earlier day that was missed stays out: nobody could tell any more where the chains stood.
    """
    today = now.astimezone(UTC).date()
    with database.transaction() as session:
        connection = session.connection()
        newest = heads.newest_head(connection)
        if newest is not None and newest.day >= today:
            return None
        heads.lock(session)
        newest = heads.newest_head(connection)
        if newest is not None and newest.day >= today:
            return None
        chains = history.heads(connection, range(PARTITIONS)).values()
        ends = Ends.of(today, chains, None if newest is None else newest.hash)
        if ends.is_empty:
            return None
        heads.add(session, ends)
    return ends


def write_out(database: Database, destination: Destination) -> int:
    """Write out every stored head that the destination does not have yet, oldest first; how many were.

    One that can't be written is logged and counted, and tried again the next time; those behind it wait.
    """
    with database.read() as connection:
        waiting = heads.not_exported_to(connection, destination.name)
    WAITING.set(len(waiting))
    for written, ends in enumerate(waiting):
        try:
            destination.write(ends)
        except ExportError as error:
            log.warning("ledger head not exported", day=ends.day.isoformat(), reason=str(error))
            return written
        with database.transaction() as session:
            heads.note_exported(session, ends.day, destination.name)
        WAITING.set(len(waiting) - written - 1)
        log.info("ledger head exported", day=ends.day.isoformat(), to=destination.name, hash=ends.hash)
    return len(waiting)
