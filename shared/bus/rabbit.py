"""The bus on RabbitMQ."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import SecretStr

from shared.bus.consumer import BroadcastListener, Consumer
from shared.bus.dispatcher import IN_PLACE_DELAYS
from shared.bus.relay import Relay
from shared.bus.subscription import Broadcast, Queue, Subscription
from shared.contracts.envelope import Event
from shared.contracts.subscribers import SUBSCRIBERS
from shared.db.engine import Database
from shared.process import numbered

RETRY_DELAYS = (10.0, 60.0, 600.0)


class RabbitBus:
    """Makes loops that carry events over RabbitMQ; each has a connection of its own, opened when it runs.

    ``service`` is whose process this is: its connections are listed under that name at the broker.
    ``roles`` are the queues that relays make before they publish.
    ``retry_delays`` are the seconds before the second, third, … try, the last for all further ones; each
    is a queue, so all consumers of a queue need the same. ``in_place_delays`` are for ordered subscriptions.
    """

    def __init__(
        self,
        url: str | SecretStr,
        *,
        service: str = "boritrader",
        roles: Mapping[str, Sequence[type[Event]]] = SUBSCRIBERS,
        retry_delays: Sequence[float] = RETRY_DELAYS,
        in_place_delays: Sequence[float] = IN_PLACE_DELAYS,
    ) -> None:
        self._url = url
        self._service = service
        self._roles = [Queue(name, tuple(events)) for name, events in roles.items()]
        self._retry_delays = tuple(retry_delays)
        self._in_place_delays = tuple(in_place_delays)
        self._lock = threading.Lock()
        self._names: Counter[str] = Counter()

    def relay(self, database: Database, *, service: str, queues: Sequence[Queue] = ()) -> Relay:
        """A loop that publishes the outbox of ``service``, to the roles' queues and these."""
        return Relay(
            self._url,
            database,
            service=service,
            name=self._name(f"relay-{service}"),
            queues=[*self._roles, *queues],
            retry_delays=self._retry_delays,
        )

    def consumer(self, subscription: Subscription) -> Consumer:
        """A loop that handles a subscription's messages; several share the queue."""
        return Consumer(
            self._url,
            subscription,
            service=self._service,
            name=self._name(f"consumer-{subscription.queue}"),
            retry_delays=self._retry_delays,
            in_place_delays=self._in_place_delays,
        )

    def broadcast(self, broadcast: Broadcast) -> BroadcastListener:
        """A loop that hands events to this process."""
        return BroadcastListener(
            self._url, broadcast, service=self._service, name=self._name(f"broadcast-{broadcast.name}")
        )

    def _name(self, name: str) -> str:
        with self._lock:
            self._names[name] += 1
            return numbered(name, self._names[name])
