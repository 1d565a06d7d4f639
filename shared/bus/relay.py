"""From the outbox to RabbitMQ: claim, publish, mark, in one transaction; never gives up."""

import threading
import time
from collections import Counter
from collections.abc import Sequence

from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from shared import logs, monitoring
from shared.bus.publisher import Outgoing, Publisher, Result
from shared.bus.upkeep import Upkeep, Wakeup
from shared.db import outbox
from shared.db.engine import Database, is_away
from shared.process import Beat

BATCH = 500
CONFIRM_SECONDS = 8.0
"""Shorter than a transaction may be idle, so that the claim is still ours when the answers are in."""
POLL_SECONDS = 1.0
STEADY_SECONDS = 0.02
"""Under steady load the outbox is looked at this often: waking up for each commit would cost more."""

log = logs.logger(__name__)


class Relay:
    """Publishes the outbox of one service; several may run on one database, rows are locked by who has them.

    One relay publishes in the order of ``seq``. What the broker refuses, or returns since no queue wants it,
    stays in the outbox and is tried again after growing pauses, without holding up the others.
    """

    def __init__(self, url: str | SecretStr, database: Database, *, service: str, name: str) -> None:
        self.name = name
        self._url = url
        self._database = database
        self._service = service

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Publish until ``stop`` is set."""
        publisher = Publisher(self._url, service=self._service)
        publisher.start()
        try:
            with Wakeup(self._database) as wakeup:
                self._relay(publisher, wakeup, stop, beat)
        finally:
            publisher.close()

    def _relay(self, publisher: Publisher, wakeup: Wakeup, stop: threading.Event, beat: Beat) -> None:
        upkeep = Upkeep(self._database, self._service)
        while not stop.is_set():
            beat()
            if not publisher.wait_ready(POLL_SECONDS):
                continue
            began = time.monotonic()
            try:
                claimed = self._publish_due(publisher)
                upkeep.turn()
            except SQLAlchemyError as error:
                if not is_away(error):
                    raise
                log.warning("database is away", relay=self.name, reason=type(error).__name__)
                stop.wait(POLL_SECONDS)
                continue
            if claimed == 0:
                wakeup.wait(POLL_SECONDS, stop)
            elif claimed < BATCH:
                stop.wait(max(0.0, began + STEADY_SECONDS - time.monotonic()))

    def _publish_due(self, publisher: Publisher) -> int:
        """Publish one batch; how many rows were due."""
        with self._database.engine.begin() as connection:
            rows = outbox.claim(connection, BATCH)
            if not rows:
                return 0
            results = publisher.publish(
                [Outgoing(str(row.id), row.type, row.body, row.headers, row.correlation_id) for row in rows],
                CONFIRM_SECONDS,
            )
            by_result = {
                result: [row.id for row, got in zip(rows, results, strict=True) if got is result]
                for result in Result
            }
            outbox.mark_published(connection, by_result[Result.CONFIRMED])
            outbox.back_off(connection, by_result[Result.UNROUTABLE] + by_result[Result.REFUSED])
        self._tell(rows, results)
        return len(rows)

    def _tell(self, rows: Sequence[outbox.Row], results: Sequence[Result]) -> None:
        counts = Counter((row.type, result) for row, result in zip(rows, results, strict=True))
        for (event_type, result), number in counts.items():
            if result is Result.CONFIRMED:
                monitoring.EVENTS_PUBLISHED.labels(self._service, event_type).inc(number)
                continue
            reason = result.name.lower()
            monitoring.EVENTS_REFUSED.labels(self._service, event_type, reason).inc(number)
            log.warning("the bus did not take events", event_type=event_type, reason=reason, number=number)
