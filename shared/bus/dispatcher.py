"""From bytes to one effect: what both buses do with a message, and what has become of it."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared import logs, monitoring
from shared.bus.errors import Drop, Retry
from shared.bus.subscription import Broadcast, Handler, Subscription
from shared.contracts.envelope import Envelope
from shared.contracts.registry import EVENTS, PUBLISHERS, InvalidMessage, decode
from shared.db import inbox
from shared.db.engine import is_away

MAX_ATTEMPTS = 5
IN_PLACE_DELAYS = (0.5, 1.0, 2.0, 5.0, 15.0)
"""Pauses in seconds before an ordered message is tried again, the last for all further ones."""
_REASON_LENGTH = 500

log = logs.logger(__name__)


class Outcome(StrEnum):
    """What has become of a message."""

    DONE = "done"
    SEEN = "seen"
    RETRY = "retry"
    DEAD = "dead"
    AWAY = "away"
    """The consumer's database can't be worked with; this says nothing about the message."""


@dataclass(frozen=True)
class Message:
    """A message as it came: ``attempt`` counts from 1, ``publisher`` is who it says that it is from."""

    routing_key: str
    body: bytes
    publisher: str | None
    attempt: int
    headers: Mapping[str, Any]

    @property
    def event_label(self) -> str:
        """The routing key for metrics; what is in no registry must not make new time series."""
        return self.routing_key if self.routing_key in EVENTS else "unknown"


@dataclass(frozen=True)
class Verdict:
    """An outcome with its reason in one line."""

    outcome: Outcome
    reason: str = ""


def handle(subscription: Subscription, message: Message) -> Verdict:
    """Decode the message and do its work once, with inbox row, in one transaction; never raises an Exception.

    The fifth failed try is DEAD, but for an ordered subscription: what comes after would overtake the
    message, so its queue stands still, loudly, until it can be handled. A DEAD verdict is logged as critical
    and counted here; keeping the letter is the bus's part.
    """
    with (
        monitoring.EVENT_SECONDS.labels(subscription.queue, message.event_label).time(),
        monitoring.continue_trace(message.headers, message.routing_key),
    ):
        verdict = _work(subscription, message)
    if verdict.outcome is Outcome.RETRY and message.attempt >= MAX_ATTEMPTS:
        if subscription.ordered:
            log.critical(
                "an ordered message can't be handled, and its queue stands still",
                queue=subscription.queue,
                event_type=message.routing_key[:100],
                attempt=message.attempt,
                reason=verdict.reason,
            )
        else:
            verdict = Verdict(Outcome.DEAD, f"failed {message.attempt} times: {verdict.reason}")
    monitoring.EVENTS_HANDLED.labels(subscription.queue, message.event_label, verdict.outcome).inc()
    if verdict.outcome is Outcome.DEAD:
        monitoring.DEAD_LETTERS.labels(subscription.queue).inc()
        log.critical(
            "message is a dead letter",
            queue=subscription.queue,
            event_type=message.routing_key[:100],
            attempt=message.attempt,
            reason=verdict.reason,
        )
    return verdict


def handle_in_place(
    subscription: Subscription,
    message: Message,
    stop: threading.Event,
    *,
    delays: Sequence[float] = IN_PLACE_DELAYS,
    beat: Callable[[], None] = lambda: None,
) -> Verdict | None:
    """Handle the message, waiting here while the database is away and, if ordered, between failed tries.

    None when ``stop`` was set before there was a verdict: the message is still to be handled.
    """
    pauses = 0
    attempt = message.attempt
    while True:
        verdict = handle(
            subscription,
            Message(message.routing_key, message.body, message.publisher, attempt, message.headers),
        )
        if verdict.outcome is Outcome.RETRY and subscription.ordered:
            attempt += 1
        elif verdict.outcome is not Outcome.AWAY:
            return verdict
        beat()
        pause = delays[min(pauses, len(delays) - 1)]
        pauses += 1
        if stop.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311 - jitter, no secret
            return None


def hand_over(broadcast: Broadcast, routing_key: str, body: bytes) -> None:
    """Call a broadcast's handler; a message that fails is logged and lost to this process."""
    try:
        envelope = decode(routing_key, body)
        handler = broadcast.handlers.get(type(envelope.data))
        if handler is not None:
            with logs.correlated(envelope.correlation_id):
                handler(envelope)
    except Exception:  # one bad message must not cut the others off
        log.exception("broadcast message failed", broadcast=broadcast.name, event_type=routing_key[:100])


def _work(subscription: Subscription, message: Message) -> Verdict:
    try:
        envelope = decode(message.routing_key, message.body)
    except InvalidMessage as error:
        return Verdict(Outcome.DEAD, f"invalid: {_reason(error)}")
    if message.publisher != PUBLISHERS.get(message.routing_key.partition(".")[0]):
        return Verdict(Outcome.DEAD, f"foreign publisher: {(message.publisher or 'unnamed')[:50]}")
    handler = subscription.handlers.get(type(envelope.data))
    if handler is None:
        # in a rolling update the next try may meet a process that knows the event
        return Verdict(Outcome.RETRY, "this consumer has no handler for the event")
    with logs.correlated(envelope.correlation_id):
        return _work_once(subscription, handler, envelope)


def _work_once(subscription: Subscription, handler: Handler, envelope: Envelope[Any]) -> Verdict:
    try:
        with subscription.database.transaction() as session:
            if not inbox.receive(session, subscription.queue, envelope.id):
                return Verdict(Outcome.SEEN)
            handler(session, envelope)
    except Retry as error:
        log.warning("message is to be retried", queue=subscription.queue, reason=_reason(error))
        return Verdict(Outcome.RETRY, _reason(error))
    except Drop as error:
        return Verdict(Outcome.DEAD, f"dropped: {_reason(error)}")
    except Exception as error:  # an unexpected failure is a Retry, whatever it is
        if is_away(error):
            log.warning("database is away", queue=subscription.queue, reason=type(error).__name__)
            return Verdict(Outcome.AWAY, type(error).__name__)
        log.exception("message failed", queue=subscription.queue, event_type=envelope.routing_key)
        return Verdict(Outcome.RETRY, f"{type(error).__name__}: {_reason(error)}")
    return Verdict(Outcome.DONE)


def _reason(error: Exception) -> str:
    """The first line of an error; PostgreSQL writes the values of rows into the following ones."""
    lines = str(error).splitlines()
    return logs.scrub_text(lines[0])[:_REASON_LENGTH] if lines else type(error).__name__
