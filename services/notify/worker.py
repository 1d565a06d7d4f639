"""The worker of notify: events in, deliveries and live messages made, the outbox relayed."""

from services.notify.config import Settings
from shared.bus import Bus
from shared.db.engine import Database
from shared.process import Loop


def loops(settings: Settings, database: Database, bus: Bus) -> list[Loop]:
    """The loops of the worker process: consumer, outbox relay, purge of the live log."""
    raise NotImplementedError
