"""Who wants which events, and the interface that both buses have."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy.orm import Session

from shared.contracts.envelope import Envelope, Event
from shared.db.engine import Database
from shared.process import Loop

Handler = Callable[[Session, Envelope[Any]], None]
"""Work for one message, in the one transaction with its inbox row; ``envelope.data`` is the event.

It raises Retry or Drop; any other exception is a Retry. No network call inside.
"""


@dataclass(frozen=True)
class Queue:
    """A role's durable queue, the events that it wants, and whether one consumer at a time works on it."""

    name: str
    events: tuple[type[Event], ...]
    ordered: bool = False


@dataclass(frozen=True)
class Subscription:
    """A role's durable queue and what the role does with each event.

    ``queue`` is named like ``notify.events.v1`` and is the name in the inbox. ``ordered``: messages
    are handled one at a time in the order of the queue, a failing one is tried again in place and never
    overtaken. ``prefetch`` is how many messages a consumer holds.
    """

    queue: str
    handlers: Mapping[type[Event], Handler]
    database: Database
    ordered: bool = False
    prefetch: int = 20

    @property
    def wants(self) -> Queue:
        """The queue that this subscription needs."""
        return Queue(self.queue, tuple(self.handlers), self.ordered)


@dataclass(frozen=True)
class Broadcast:
    """Events that every process of a role wants, while it lives: no inbox, no database, no retry.

    What is published while a process is not connected is lost to it; it reads up from its own table.
    """

    name: str
    handlers: Mapping[type[Event], Callable[[Envelope[Any]], None]]


class Listening(Loop, Protocol):
    """A broadcast's loop. What is published while ``listening`` is set does not pass by this process."""

    @property
    def listening(self) -> threading.Event:
        """Set while events reach this process."""
        ...


class Bus(Protocol):
    """Carries events from outboxes to handlers: at least once, and by the inbox with one effect."""

    def relay(self, database: Database, *, service: str, queues: Sequence[Queue] = ()) -> Loop:
        """A loop that brings the outbox of ``service`` in ``database`` to the bus.

        ``queues`` are those that must be there before anything is published, besides the roles' own.
        """
        ...

    def consumer(self, subscription: Subscription) -> Loop:
        """A loop that handles the messages of a subscription."""
        ...

    def broadcast(self, broadcast: Broadcast) -> Listening:
        """A loop that hands events to this process; the handlers are called in the loop's thread."""
        ...
