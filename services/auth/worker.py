"""The worker of auth: hears of plans, sends its events, and clears what has expired."""

from services.auth import service
from services.auth.constants import PURGE_BATCH, PURGE_EVERY_SECONDS
from services.auth.handlers import HANDLERS
from shared.bus import Bus, Subscription
from shared.db.engine import Database
from shared.process import Loop, Periodic
from shared.settings import ServiceSettings

QUEUE = "auth.events.v1"


def loops(settings: ServiceSettings, database: Database, bus: Bus) -> list[Loop]:  # noqa: ARG001 - all services' workers look alike
    """What the worker process is made of."""
    return [
        bus.relay(database, service="auth"),
        bus.consumer(Subscription(queue=QUEUE, handlers=HANDLERS, database=database)),
        Periodic("auth-purge-sessions", PURGE_EVERY_SECONDS, lambda: purge_sessions(database)),
    ]


def purge_sessions(database: Database) -> None:
    """Remove all expired sessions, some in each transaction."""
    removed = PURGE_BATCH
    while removed == PURGE_BATCH:
        with database.transaction() as session:
            removed = service.purge_sessions(session)
