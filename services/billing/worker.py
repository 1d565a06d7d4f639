"""The worker of billing: opens and closes accounts, tells of them, clears what was kept long enough."""

from services.billing import service
from services.billing.constants import (
    ANNOUNCE_EVERY_SECONDS,
    PURGE_BATCH,
    PURGE_EVERY_SECONDS,
)
from services.billing.handlers import HANDLERS
from services.billing.plans import Plans, current_plans
from shared.bus import Bus, Subscription
from shared.db.engine import Database
from shared.process import Loop, Periodic
from shared.settings import ServiceSettings

QUEUE = "billing.events.v1"


def loops(settings: ServiceSettings, database: Database, bus: Bus) -> list[Loop]:  # noqa: ARG001 - all services' workers look alike
    """What the worker process is made of. Raises InvalidPlans."""
    plans = current_plans()
    return [
        bus.relay(database, service="billing"),
        bus.consumer(Subscription(queue=QUEUE, handlers=HANDLERS, database=database)),
        Periodic("billing-announce-plans", ANNOUNCE_EVERY_SECONDS, lambda: announce_changes(database, plans)),
        Periodic("billing-purge-closed", PURGE_EVERY_SECONDS, lambda: forget_closed(database)),
    ]


def announce_changes(database: Database, plans: Plans) -> None:
    """Tell of all accounts whose plan allows something else than was told, some in each transaction."""
    told = 1
    while told:
        with database.transaction() as session:
            told = service.announce_changes(session, plans)


def forget_closed(database: Database) -> None:
    """Remove all accounts that were closed for long enough, some in each transaction."""
    removed = PURGE_BATCH
    while removed == PURGE_BATCH:
        with database.transaction() as session:
            removed = service.forget_closed(session)
