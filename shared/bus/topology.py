"""Exchanges, queues and bindings on RabbitMQ, and the policies that hold their limits.

Everything an event may pass is a quorum queue with at-least-once dead-lettering. Arguments of a queue say
what it is for and never change; what may change, its limits, is in policies, since a queue that is declared
with other arguments than it has is refused (406). See shared.bus.policies for bringing them to the broker.
"""

from collections.abc import Sequence
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel

from shared.bus.subscription import Broadcast, Queue

EXCHANGE = "boritrader"
DEAD_EXCHANGE = "boritrader.dead"
DEAD_SUFFIX = ".dead"

_QUORUM: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def dead_queue(queue: str) -> str:
    """Where the messages go that a queue's consumers can't digest."""
    return queue + DEAD_SUFFIX


def retry_queue(queue: str, delay: float) -> str:
    """Where a message waits ``delay`` seconds before it comes back to the queue."""
    return f"{queue}.retry.{delay:g}s"


def declare_exchanges(channel: BlockingChannel) -> None:
    """Make the exchange of all events, and that of the dead letters."""
    channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
    channel.exchange_declare(DEAD_EXCHANGE, exchange_type="direct", durable=True)


def declare(channel: BlockingChannel, wanted: Queue, retry_delays: Sequence[float]) -> None:
    """Make a queue with its retry queues and dead-letter queue, and bind it to its events."""
    queue = wanted.name
    declare_exchanges(channel)
    channel.queue_declare(dead_queue(queue), durable=True, arguments=_QUORUM)
    channel.queue_bind(dead_queue(queue), DEAD_EXCHANGE, routing_key=queue)
    for delay in retry_delays:
        channel.queue_declare(
            retry_queue(queue, delay),
            durable=True,
            arguments=_QUORUM
            | {
                "x-message-ttl": round(delay * 1000),
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": queue,
            },
        )
    arguments = _QUORUM | {"x-dead-letter-exchange": DEAD_EXCHANGE, "x-dead-letter-routing-key": queue}
    if wanted.ordered:
        # two processes of one shard, as in a rolling update: the second one waits
        arguments["x-single-active-consumer"] = True
    channel.queue_declare(queue, durable=True, arguments=arguments)
    for event in wanted.events:
        channel.queue_bind(queue, EXCHANGE, routing_key=event.routing_key())


def declare_broadcast(channel: BlockingChannel, broadcast: Broadcast) -> str:
    """Make and bind a queue that lives with this connection; its name."""
    declare_exchanges(channel)
    made = channel.queue_declare("", exclusive=True, auto_delete=True)
    name = str(made.method.queue)
    for event in broadcast.handlers:
        channel.queue_bind(name, EXCHANGE, routing_key=event.routing_key())
    return name
