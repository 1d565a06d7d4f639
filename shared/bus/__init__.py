"""The bus: events from the outbox of one service to the handlers of others."""

from shared.bus.errors import Drop, Retry
from shared.bus.subscription import Broadcast, Bus, Handler, Queue, Subscription

__all__ = ["Broadcast", "Bus", "Drop", "Handler", "Queue", "Retry", "Subscription"]
