"""Who receives which events: one list for all services.

Publishers make these queues before they publish, so that an event that comes before its consumer's first
start waits for it. Each service's HANDLERS must be what stands here, which a test holds them to. The queues
of the runner's shards are not here, since a deployment says how many there are.
"""

from shared.contracts import auth, billing, notify, signals
from shared.contracts.envelope import Event

SUBSCRIBERS: dict[str, tuple[type[Event], ...]] = {
    "auth.events.v1": (billing.EntitlementChangedV1,),
    "billing.events.v1": (auth.UserRegisteredV1, auth.UserDeletedV1),
    "notify.events.v1": (
        auth.UserRegisteredV1,
        auth.UserDeletedV1,
        billing.EntitlementChangedV1,
        signals.TickersListedV1,
        signals.AlgorithmsListedV1,
        signals.ViewsChangedV1,
        signals.TickerStaleV1,
        signals.TickerRecoveredV1,
    ),
}
"""Queue of a role -> the events that it handles."""

BROADCAST: tuple[type[Event], ...] = (notify.LiveMessageAddedV1, auth.SessionEndedV1)
"""Events for whoever is connected just now: none are kept, and it is no fault when nobody is."""

BROADCAST_KEYS = frozenset(event.routing_key() for event in BROADCAST)
