"""The bus on RabbitMQ."""

from pydantic import SecretStr

from shared.bus.subscription import Broadcast, Subscription
from shared.db.engine import Database
from shared.process import Loop


class RabbitBus:
    """One object per process."""

    def __init__(
        self, url: str | SecretStr, *, service: str, retry_delays: tuple[float, ...] = (10, 60, 600)
    ) -> None:
        self._url = url

    def relay(self, database: Database, *, service: str) -> Loop:
        raise NotImplementedError

    def consumer(self, subscription: Subscription) -> Loop:
        raise NotImplementedError

    def broadcast(self, broadcast: Broadcast) -> Loop:
        raise NotImplementedError
