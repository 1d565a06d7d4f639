"""The bus inside one process, for the embedded default: the relay hands outbox rows straight to the handlers.

It promises what RabbitMQ does. A row counts as published when every subscription has done its work or has
kept it as a dead letter; what one subscription still has to do is retried by the row's ``attempts`` and
``next_at`` while the inboxes keep the others from doing theirs twice.
"""

import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from shared import logs, monitoring
from shared.bus.dispatcher import (
    IN_PLACE_DELAYS,
    Message,
    Outcome,
    Verdict,
    hand_over,
    handle_in_place,
)
from shared.bus.subscription import Broadcast, Listening, Queue, Subscription
from shared.bus.upkeep import Upkeep, Wakeup
from shared.contracts.subscribers import BROADCAST_KEYS
from shared.db import inbox, outbox
from shared.db.engine import Database, is_away
from shared.process import Beat, Loop, numbered

RETRY_DELAYS = (10.0, 60.0, 600.0)
UNROUTABLE_SECONDS = 5.0
AWAY_SECONDS = 1.0
WINDOW = 500
_POLL_SECONDS = 0.02
_IDLE_SECONDS = 1.0
_LOOK_SECONDS = 0.2
"""A loop that waits for something else looks this often whether it shall stop."""

_KEEP_DEAD = text(
    "INSERT INTO dead_letter (consumer, message_id, type, payload, reason, attempts)"
    " VALUES (:consumer, :id, :type, CAST(:payload AS jsonb), :reason, :attempts) ON CONFLICT DO NOTHING"
)

log = logs.logger(__name__)


class LocalBus:
    """The one bus object of the process. Make all consumers before the relays run.

    ``retry_delays`` are the seconds before the second, third, … try, the last for all further ones;
    ``in_place_delays`` the same for ordered subscriptions. An event that nobody wants waits in its outbox.
    """

    def __init__(
        self,
        *,
        retry_delays: Sequence[float] = RETRY_DELAYS,
        in_place_delays: Sequence[float] = IN_PLACE_DELAYS,
        unroutable_seconds: float = UNROUTABLE_SECONDS,
    ) -> None:
        self.retry_delays = tuple(retry_delays)
        self.in_place_delays = tuple(in_place_delays)
        self.unroutable_seconds = unroutable_seconds
        self._lock = threading.Lock()
        self._mailboxes: dict[str, _Mailbox] = {}
        self._broadcasts: list[_BroadcastLoop] = []
        self._relaying: dict[str, threading.Lock] = {}
        self._relays: Counter[str] = Counter()

    def relay(self, database: Database, *, service: str, queues: Sequence[Queue] = ()) -> Loop:  # noqa: ARG002
        """A loop that hands the outbox to the consumers; of several for one database one works at a time."""
        with self._lock:
            turn = self._relaying.setdefault(database.name, threading.Lock())
            self._relays[service] += 1
            name = numbered(f"relay-{service}", self._relays[service])
        return _LocalRelay(self, database, service, name, turn)

    def consumer(self, subscription: Subscription) -> Loop:
        """A loop that handles a subscription's events; several of one queue share its events."""
        with self._lock:
            mailbox = self._mailboxes.setdefault(subscription.queue, _Mailbox(subscription))
            mailbox.consumers += 1
            return _LocalConsumer(mailbox, self.in_place_delays, mailbox.consumers)

    def broadcast(self, broadcast: Broadcast) -> Listening:
        """A loop that hands events to a handler, at most once."""
        loop = _BroadcastLoop(broadcast)
        with self._lock:
            self._broadcasts.append(loop)
        return loop

    def post(self, pending: "_Pending") -> None:
        """Give a row to all who want it."""
        with self._lock:
            mailboxes = [box for box in self._mailboxes.values() if pending.row.type in box.routing_keys]
            broadcasts = [loop for loop in self._broadcasts if pending.row.type in loop.routing_keys]
        wanted = bool(mailboxes or broadcasts) or pending.row.type in BROADCAST_KEYS
        pending.expect(len(mailboxes), wanted=wanted)
        for loop in broadcasts:
            loop.queue.put(pending.row)
        for mailbox in mailboxes:
            mailbox.queue.put(pending)


@dataclass
class _Pending:
    """A row on its way, until every subscription has given its verdict."""

    row: outbox.Row
    service: str
    finished: "queue.SimpleQueue[_Pending]"
    verdicts: list[Verdict | None] = field(default_factory=list)
    wanted: bool = True
    _expected: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, verdicts: int, *, wanted: bool) -> None:
        self._expected = verdicts
        self.wanted = wanted
        if verdicts == 0:
            self.finished.put(self)

    def settle(self, verdict: Verdict | None) -> None:
        """Add a verdict; None means that the consumer stopped before it had one."""
        with self._lock:
            self.verdicts.append(verdict)
            complete = len(self.verdicts) == self._expected
        if complete:
            self.finished.put(self)

    def was(self, outcome: Outcome) -> bool:
        return any(verdict is not None and verdict.outcome is outcome for verdict in self.verdicts)


class _Mailbox:
    """The rows that wait for one queue's consumers."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.routing_keys = frozenset(event.routing_key() for event in subscription.handlers)
        self.queue: queue.SimpleQueue[_Pending] = queue.SimpleQueue()
        self.consumers = 0
        self.turn = threading.Lock()


class _LocalConsumer:
    def __init__(self, mailbox: _Mailbox, in_place_delays: Sequence[float], number: int) -> None:
        self.name = numbered(f"consumer-{mailbox.subscription.queue}", number)
        self._mailbox = mailbox
        self._delays = in_place_delays

    def run(self, stop: threading.Event, beat: Beat) -> None:
        while not stop.is_set():
            beat()
            if not self._mailbox.subscription.ordered:
                self._take_one(stop, beat)
            elif self._mailbox.turn.acquire(timeout=_LOOK_SECONDS):
                # with several consumers too, only one of them may have a message
                try:
                    self._take_one(stop, beat)
                finally:
                    self._mailbox.turn.release()

    def _take_one(self, stop: threading.Event, beat: Beat) -> None:
        try:
            pending = self._mailbox.queue.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return
        verdict: Verdict | None = None
        try:
            verdict = self._handle(pending, stop, beat)
        except SQLAlchemyError:
            log.exception("a dead letter can't be kept", queue=self._mailbox.subscription.queue)
            verdict = Verdict(Outcome.AWAY)
        finally:
            pending.settle(verdict)

    def _handle(self, pending: _Pending, stop: threading.Event, beat: Beat) -> Verdict | None:
        subscription, row = self._mailbox.subscription, pending.row
        message = Message(row.type, row.body, pending.service, row.attempts + 1, row.headers)
        verdict = handle_in_place(subscription, message, stop, delays=self._delays, beat=beat)
        if verdict is not None and verdict.outcome is Outcome.DEAD:
            with subscription.database.transaction() as session:
                # once dead, it has been received: the row may come again for the sake of other consumers
                inbox.receive(session, subscription.queue, row.id)
                letter = {
                    "consumer": subscription.queue,
                    "id": row.id,
                    "type": row.type,
                    "payload": row.body.decode(),
                    "reason": verdict.reason,
                    "attempts": row.attempts + 1,
                }
                session.execute(_KEEP_DEAD, letter)
        return verdict


class _BroadcastLoop:
    def __init__(self, broadcast: Broadcast) -> None:
        self.name = f"broadcast-{broadcast.name}"
        self.routing_keys = frozenset(event.routing_key() for event in broadcast.handlers)
        self.queue: queue.SimpleQueue[outbox.Row] = queue.SimpleQueue()
        self.listening = threading.Event()
        self.listening.set()  # it is posted to from its making on
        self._broadcast = broadcast

    def run(self, stop: threading.Event, beat: Beat) -> None:
        while not stop.is_set():
            beat()
            try:
                row = self.queue.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            hand_over(self._broadcast, row.type, row.body)


class _LocalRelay:
    def __init__(
        self, bus: LocalBus, database: Database, service: str, name: str, turn: threading.Lock
    ) -> None:
        self.name = name
        self._bus = bus
        self._database = database
        self._service = service
        self._turn = turn
        self._upkeep = Upkeep(database, service)
        self._told: set[str] = set()

    def run(self, stop: threading.Event, beat: Beat) -> None:
        while not stop.is_set():
            beat()
            if self._turn.acquire(timeout=_LOOK_SECONDS):
                try:
                    self._relay(stop, beat)
                finally:
                    self._turn.release()

    def _relay(self, stop: threading.Event, beat: Beat) -> None:
        finished: queue.SimpleQueue[_Pending] = queue.SimpleQueue()
        held: dict[UUID, _Pending] = {}
        settled: list[_Pending] = []
        with Wakeup(self._database) as wakeup:
            while not stop.is_set():
                beat()
                _drain(finished, settled, expected=len(held))
                try:
                    rows = self._turn_over(held, settled)
                    self._upkeep.turn()
                except SQLAlchemyError as error:
                    if not is_away(error):
                        raise
                    log.warning("database is away", relay=self._service, reason=type(error).__name__)
                    stop.wait(_IDLE_SECONDS)
                    continue
                for row in rows:
                    held[row.id] = _Pending(row, self._service, finished)
                    self._bus.post(held[row.id])
                if not held:
                    wakeup.wait(_IDLE_SECONDS, stop)

    def _turn_over(self, held: dict[UUID, _Pending], settled: list[_Pending]) -> list[outbox.Row]:
        """Record what has been settled and claim what is new, in one transaction."""
        with self._database.engine.begin() as connection:
            self._record(connection, settled)
            rows = outbox.claim(connection, WINDOW - len(held) + len(settled), held.keys())
        for pending in settled:
            del held[pending.row.id]
        settled.clear()
        return rows

    def _record(self, connection: Connection, settled: Sequence[_Pending]) -> None:
        published, away, unwanted = [], [], []
        for pending in settled:
            row = pending.row
            if not pending.wanted:
                unwanted.append(row.id)
                if row.type not in self._told:
                    self._told.add(row.type)
                    log.warning("nobody consumes an event, it waits", event_type=row.type)
            elif pending.was(Outcome.RETRY):
                delay = self._bus.retry_delays[min(row.attempts, len(self._bus.retry_delays) - 1)]
                outbox.postpone(connection, [row.id], seconds=delay, tries=1)
            elif None in pending.verdicts or pending.was(Outcome.AWAY):
                away.append(row.id)
            else:
                published.append(row.id)
                monitoring.EVENTS_PUBLISHED.labels(self._service, row.type).inc()
        outbox.mark_published(connection, published)
        outbox.postpone(connection, away, seconds=AWAY_SECONDS)
        outbox.postpone(connection, unwanted, seconds=self._bus.unroutable_seconds)


def _drain(finished: "queue.SimpleQueue[_Pending]", into: list[_Pending], expected: int) -> None:
    """Move what is finished: all that is expected, or what there is after a moment; one commit for it."""
    deadline = time.monotonic() + _POLL_SECONDS
    while len(into) < expected:
        try:
            into.append(finished.get(timeout=max(0.0, deadline - time.monotonic())))
        except queue.Empty:
            return
