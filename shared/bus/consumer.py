"""From a queue of RabbitMQ to the handlers: the connection in one thread, the work in another."""

import queue
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ConnectionWrongStateError
from pika.spec import Basic, BasicProperties
from pydantic import SecretStr

from shared import logs
from shared.bus import topology
from shared.bus.connection import (
    ANSWER_SECONDS,
    CLOSE_SECONDS,
    ConnectionLostError,
    answered_within,
    keep_connected,
)
from shared.bus.dispatcher import Message, Outcome, Verdict, hand_over, handle_in_place
from shared.bus.subscription import Broadcast, Subscription
from shared.process import Beat

ATTEMPTS_HEADER = "x-attempts"
REASON_HEADER = "x-reason"
QUEUE_HEADER = "x-queue"
_LOOP_SECONDS = 0.2

log = logs.logger(__name__)


@dataclass(frozen=True)
class _Delivery:
    tag: int
    properties: BasicProperties
    message: Message


class _Worker:
    """Handles deliveries one after the other in a thread, so that the connection's heartbeats go on."""

    def __init__(
        self, subscription: Subscription, delays: Sequence[float], connection: pika.BlockingConnection
    ) -> None:
        self._subscription = subscription
        self._delays = delays
        self._connection = connection
        self._todo: queue.SimpleQueue[_Delivery | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{subscription.queue} worker", daemon=True)
        self.settled: deque[tuple[_Delivery, Verdict]] = deque()
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def add(self, delivery: _Delivery) -> None:
        self._todo.put(delivery)

    def close(self) -> None:
        """Begin no further message; the one at hand is finished unless it waits for its next try."""
        self._closing.set()
        self._todo.put(None)

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        while (delivery := self._todo.get()) is not None and not self._closing.is_set():
            verdict = handle_in_place(
                self._subscription, delivery.message, self._closing, delays=self._delays
            )
            if verdict is None:
                return
            self.settled.append((delivery, verdict))
            try:
                self._connection.add_callback_threadsafe(_nothing)  # wakes the connection's thread
            except ConnectionWrongStateError:
                return  # the message comes again, and the inbox knows it


class Consumer:
    """Handles the messages of a subscription's queue on a connection of its own."""

    def __init__(
        self,
        url: str | SecretStr,
        subscription: Subscription,
        *,
        service: str,
        name: str,
        retry_delays: Sequence[float],
        in_place_delays: Sequence[float],
    ) -> None:
        self.name = name
        self._url = url
        self._connection_name = f"{service} {name}"
        self._subscription = subscription
        self._retry_delays = tuple(retry_delays)
        self._in_place_delays = tuple(in_place_delays)

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Consume until ``stop`` is set; reconnects for ever."""
        keep_connected(
            self._connection_name,
            self._url,
            stop,
            beat,
            lambda connection: self._consume(connection, stop, beat),
        )

    def _consume(self, connection: pika.BlockingConnection, stop: threading.Event, beat: Beat) -> None:
        with answered_within(connection, ANSWER_SECONDS):
            channel = connection.channel()
            topology.declare(channel, self._subscription.wants, self._retry_delays)
            channel.confirm_delivery()
            channel.basic_qos(prefetch_count=1 if self._subscription.ordered else self._subscription.prefetch)
        worker = _Worker(self._subscription, self._in_place_delays, connection)

        def take(
            _channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes
        ) -> None:
            worker.add(_Delivery(method.delivery_tag, properties, _message(method, properties, body)))

        try:
            with answered_within(connection, ANSWER_SECONDS):
                consumer_tag = channel.basic_consume(self._subscription.queue, take)
            while not stop.is_set():
                beat()
                connection.process_data_events(time_limit=_LOOP_SECONDS)
                self._settle(channel, worker)
                if not channel.consumer_tags:
                    raise ConnectionLostError(f"the queue {self._subscription.queue} is gone")
                if not worker.is_alive:
                    raise ConnectionLostError("the worker ended")
            worker.close()
            with answered_within(connection, CLOSE_SECONDS):
                channel.basic_cancel(consumer_tag)
            while worker.is_alive:
                beat()
                connection.process_data_events(time_limit=_LOOP_SECONDS / 2)
            self._settle(channel, worker)
            # what was not begun goes back with the closing of the channel, at its place in the queue
        finally:
            worker.close()
            while worker.is_alive:
                beat()
                worker.join(_LOOP_SECONDS)

    def _settle(self, channel: BlockingChannel, worker: _Worker) -> None:
        while worker.settled:
            delivery, verdict = worker.settled.popleft()
            if verdict.outcome is Outcome.RETRY:
                attempt = delivery.message.attempt
                delay = self._retry_delays[min(attempt, len(self._retry_delays)) - 1]
                self._forward(channel, "", topology.retry_queue(self._subscription.queue, delay), delivery)
            elif verdict.outcome is Outcome.DEAD:
                self._forward(
                    channel, topology.DEAD_EXCHANGE, self._subscription.queue, delivery, verdict.reason
                )
            channel.basic_ack(delivery.tag)

    def _forward(
        self, channel: BlockingChannel, exchange: str, routing_key: str, delivery: _Delivery, reason: str = ""
    ) -> None:
        """Publish a copy with confirm; without it the session ends, and the message comes again."""
        message = delivery.message
        headers = {**message.headers, ATTEMPTS_HEADER: message.attempt}
        if reason:
            headers |= {REASON_HEADER: reason, QUEUE_HEADER: self._subscription.queue}
        properties = BasicProperties(
            delivery_mode=pika.DeliveryMode.Persistent,
            content_type=delivery.properties.content_type,
            type=message.routing_key[:255],
            message_id=delivery.properties.message_id,
            correlation_id=delivery.properties.correlation_id,
            app_id=message.publisher,
            headers=headers,
        )
        with answered_within(channel.connection, ANSWER_SECONDS):
            channel.basic_publish(exchange, routing_key, message.body, properties, mandatory=True)


class BroadcastListener:
    """Hands events to this process by a queue that lives with its connection."""

    def __init__(self, url: str | SecretStr, broadcast: Broadcast, *, service: str, name: str) -> None:
        self.name = name
        self.listening = threading.Event()
        """Set while the queue is bound: from here on nothing passes by."""
        self._url = url
        self._connection_name = f"{service} {name}"
        self._broadcast = broadcast

    def run(self, stop: threading.Event, beat: Beat) -> None:
        """Listen until ``stop`` is set; reconnects for ever."""
        keep_connected(
            self._connection_name,
            self._url,
            stop,
            beat,
            lambda connection: self._listen(connection, stop, beat),
        )

    def _listen(self, connection: pika.BlockingConnection, stop: threading.Event, beat: Beat) -> None:
        def take(
            _channel: BlockingChannel, method: Basic.Deliver, properties: BasicProperties, body: bytes
        ) -> None:
            message = _message(method, properties, body)
            hand_over(self._broadcast, message.routing_key, body)

        with answered_within(connection, ANSWER_SECONDS):
            channel = connection.channel()
            name = topology.declare_broadcast(channel, self._broadcast)
            channel.basic_consume(name, take, auto_ack=True, exclusive=True)
        self.listening.set()
        try:
            while not stop.is_set():
                beat()
                connection.process_data_events(time_limit=_LOOP_SECONDS)
                if not channel.consumer_tags:
                    raise ConnectionLostError("the broadcast queue is gone")
        finally:
            self.listening.clear()


def _message(method: Basic.Deliver, properties: BasicProperties, body: bytes) -> Message:
    """A delivery as the dispatcher knows it; nothing that a stranger may send is trusted to be there."""
    headers: dict[str, Any] = dict(properties.headers or {})
    attempts = headers.get(ATTEMPTS_HEADER, 0)
    return Message(
        # behind a retry queue the delivery's key is the queue's name, so the type counts there
        routing_key=(properties.type or method.routing_key)
        if method.exchange != topology.EXCHANGE
        else method.routing_key,
        body=body,
        publisher=properties.app_id,
        attempt=(attempts if isinstance(attempts, int) and attempts > 0 else 0) + 1,
        headers=headers,
    )


def _nothing() -> None:
    """Its arrival is its purpose."""
