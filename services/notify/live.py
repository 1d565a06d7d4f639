"""The live channel of notify: numbered messages to every connected browser."""

from services.notify.config import Settings
from shared.bus import Bus
from shared.db.engine import Database
from shared.process import Loop


def loops(settings: Settings, database: Database, bus: Bus) -> list[Loop]:
    """The loops of the live process: the WebSocket server and what wakes it."""
    raise NotImplementedError
