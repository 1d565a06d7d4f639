"""From the outbox to RabbitMQ: claim, publish, mark, in one transaction; never gives up."""

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import pika
from pydantic import SecretStr
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from shared import logs, monitoring
from shared.bus import topology
from shared.bus.connection import BROKER_FAILURES, answered_within, close, describe, parameters
from shared.bus.publisher import Batch, Outgoing, Publisher, Result
from shared.bus.subscription import Queue
from shared.bus.upkeep import Upkeep, Wakeup
from shared.contracts.subscribers import BROADCAST_KEYS
from shared.db import outbox
from shared.db.engine import Database, is_away
from shared.process import Beat

BATCH = 500
DEPTH = 2
ROUND = 100 * BATCH
"""Rows after which other duties have their turn, however many are still due."""
CONFIRM_SECONDS = 8.0
"""Shorter than a transaction may be idle, so that the claim is still ours when the answers are in."""
DECLARE_SECONDS = 30.0
POLL_SECONDS = 1.0
STEADY_SECONDS = 0.02
"""Under steady load the outbox is looked at this often: waking up for each commit would cost more."""

log = logs.logger(__name__)


@dataclass(frozen=True)
class _Claim:
    """Rows locked by the transaction of a connection, and the batch in which they are published."""

    connection: Connection
    rows: list[outbox.Row]
    batch: Batch


class Relay:
    """Publishes the outbox of one service; several may run on one database, rows are locked by who has them.

    Before it publishes it makes ``queues``, so that an event waits for a consumer that has never run yet.
    One relay publishes in the order of ``seq``. What the broker refuses, or returns since no queue wants it,
    stays in the outbox and is tried again after growing pauses, without holding up the others.
    """

    def __init__(
        self,
        url: str | SecretStr,
        database: Database,
        *,
        service: str,
        name: str,
        queues: Sequence[Queue],
        retry_delays: Sequence[float],
    ) -> None:
        self.name = name
        self._url = url
        self._database = database
        self._service = service
        self._queues = tuple(queues)
        self._retry_delays = tuple(retry_delays)

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
        declared = 0
        while not stop.is_set():
            beat()
            connected = publisher.wait_ready(POLL_SECONDS)
            began = time.monotonic()
            if connected and declared != (connections := publisher.connections):
                connected = self._declare(stop)
                declared = connections if connected else declared
            try:
                # also without a broker: what waits is counted, above all then
                upkeep.turn()
                if not connected:
                    continue
                claimed = self._publish_due(publisher, stop, beat)
            except SQLAlchemyError as error:
                if not is_away(error):
                    raise
                log.warning("database is away", relay=self.name, reason=type(error).__name__)
                stop.wait(POLL_SECONDS)
                continue
            if claimed:
                stop.wait(max(0.0, began + STEADY_SECONDS - time.monotonic()))
            else:
                wakeup.wait(POLL_SECONDS, stop)

    def _declare(self, stop: threading.Event) -> bool:
        """Make the queues; False, after a pause, when the broker would not have it."""
        connection: pika.BlockingConnection | None = None
        try:
            connection = pika.BlockingConnection(parameters(self._url, f"{self._service} relay"))
            with answered_within(connection, DECLARE_SECONDS):
                channel = connection.channel()
                topology.declare_exchanges(channel)
                for queue in self._queues:
                    topology.declare(channel, queue, self._retry_delays)
        except BROKER_FAILURES as error:
            log.warning("queues can't be made", relay=self.name, reason=describe(error))
            stop.wait(POLL_SECONDS)
            return False
        finally:
            close(connection)
        return True

    def _publish_due(self, publisher: Publisher, stop: threading.Event, beat: Beat) -> int:
        """Publish what is due; how many rows that were.

        While the broker confirms one batch, the next one is claimed and under way.
        """
        claimed = 0
        under_way: deque[_Claim] = deque()
        try:
            while True:
                beat()
                claim = None if stop.is_set() else self._claim(publisher)
                if claim is not None:
                    under_way.append(claim)
                    claimed += len(claim.rows)
                full = claim is not None and len(claim.rows) == BATCH and claimed < ROUND
                while under_way and (not full or len(under_way) == DEPTH):
                    self._finish(publisher, under_way[0])
                    under_way.popleft().connection.close()
                if not full:
                    return claimed
        finally:
            for claim in under_way:
                claim.connection.close()  # which rolls back: the rows are free for the next claim

    def _claim(self, publisher: Publisher) -> _Claim | None:
        connection = self._database.engine.connect()
        try:
            rows = outbox.claim(connection, BATCH)
            if rows:
                messages = [Outgoing(str(r.id), r.type, r.body, r.headers, r.correlation_id) for r in rows]
                return _Claim(connection, rows, publisher.submit(messages))
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None

    def _finish(self, publisher: Publisher, claim: _Claim) -> None:
        """Wait for the broker's answers to a claim and commit what has become of its rows."""
        answers = publisher.answers(claim.batch, CONFIRM_SECONDS)
        results = [_settled(row, answer) for row, answer in zip(claim.rows, answers, strict=True)]
        ids: dict[Result, list[UUID]] = {result: [] for result in Result}
        for row, result in zip(claim.rows, results, strict=True):
            ids[result].append(row.id)
        outbox.mark_published(claim.connection, ids[Result.CONFIRMED])
        outbox.back_off(claim.connection, ids[Result.UNROUTABLE] + ids[Result.REFUSED])
        claim.connection.commit()
        self._tell(claim.rows, results)

    def _tell(self, rows: Sequence[outbox.Row], results: Sequence[Result]) -> None:
        counts = Counter((row.type, result) for row, result in zip(rows, results, strict=True))
        for (event_type, result), number in counts.items():
            if result is Result.CONFIRMED:
                monitoring.EVENTS_PUBLISHED.labels(self._service, event_type).inc(number)
                continue
            reason = result.name.lower()
            monitoring.EVENTS_REFUSED.labels(self._service, event_type, reason).inc(number)
            log.warning("the bus did not take events", event_type=event_type, reason=reason, number=number)


def _settled(row: outbox.Row, answer: Result) -> Result:
    """What the broker's answer means for a row: an event for whoever is connected needs nobody to be."""
    unwanted = answer is Result.UNROUTABLE and row.type in BROADCAST_KEYS
    return Result.CONFIRMED if unwanted else answer
