"""The worker of notify: events in, deliveries and live messages made, own events out."""

from datetime import UTC, datetime, timedelta

from services.notify.config import Settings
from services.notify.constants import EVENTS_QUEUE, SERVICE
from services.notify.handlers import HANDLERS
from services.notify.repository import deliveries, live_log
from shared.bus import Bus, Subscription
from shared.db.engine import Database
from shared.process import Loop, Periodic

PURGE_SECONDS = 600
PURGE_BATCH = 1000


def loops(settings: Settings, database: Database, bus: Bus) -> list[Loop]:
    """The loops of the worker process."""
    keep = timedelta(seconds=settings.live_retention)
    return [
        bus.consumer(Subscription(EVENTS_QUEUE, HANDLERS, database)),
        bus.relay(database, service=SERVICE),
        Periodic("notify-purge-live-log", PURGE_SECONDS, lambda: purge_live_log(database, keep)),
    ]


def purge_live_log(database: Database, keep: timedelta) -> None:
    """Forget live messages that are older than ``keep``, and give up telling of them; some at a time."""
    before = datetime.now(UTC) - keep
    for step in (deliveries.end_unseen, live_log.purge):
        done = PURGE_BATCH
        while done == PURGE_BATCH:
            with database.transaction() as session:
                done = step(session, before, PURGE_BATCH)
