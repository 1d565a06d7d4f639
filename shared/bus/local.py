"""The bus inside one process: the embedded default."""

from shared.bus.subscription import Broadcast, Subscription
from shared.db.engine import Database
from shared.process import Loop


class LocalBus:
    """One object for the whole process."""

    def __init__(self, *, retry_delays: tuple[float, ...] = (10, 60, 600)) -> None:
        self._retry_delays = retry_delays

    def relay(self, database: Database, *, service: str) -> Loop:
        raise NotImplementedError

    def consumer(self, subscription: Subscription) -> Loop:
        raise NotImplementedError

    def broadcast(self, broadcast: Broadcast) -> Loop:
        raise NotImplementedError
