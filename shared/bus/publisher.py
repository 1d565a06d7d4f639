"""Publishing with many confirms in flight: a SelectConnection on a thread of its own."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import pika
from pika.channel import Channel
from pika.spec import Basic, BasicProperties
from pydantic import SecretStr

from shared import logs
from shared.bus.connection import CLOSE_SECONDS, Backoff, cut, describe, parameters
from shared.bus.topology import EXCHANGE

MAX_BODY = 15 * 1024 * 1024
"""Newer brokers close the channel over anything above 16 MiB, which would take the whole batch with it."""
_STOP_SECONDS = 10.0

log = logs.logger(__name__)


class Result(Enum):
    """What the broker made of a message. UNKNOWN: no answer; it may have arrived, and is published again."""

    UNKNOWN = auto()
    CONFIRMED = auto()
    UNROUTABLE = auto()
    REFUSED = auto()


@dataclass(frozen=True)
class Outgoing:
    """A message to publish; ``id`` is unique in its batch."""

    id: str
    routing_key: str
    body: bytes
    headers: Mapping[str, str]
    correlation_id: str


class Batch:
    """Messages that were handed to the publisher, and what the broker made of each, in their order."""

    def __init__(self, size: int) -> None:
        self.results = [Result.UNKNOWN] * size
        self.submitted_at = time.monotonic()
        self._done = threading.Event()
        self._open = size

    def wait(self, seconds: float) -> bool:
        """Wait until all have an answer, at most ``seconds`` from the submission on; False if some lack."""
        return self._done.wait(max(0.0, self.submitted_at + seconds - time.monotonic()))

    def settle(self, index: int, result: Result) -> None:
        """The broker's answer to one message."""
        self.results[index] = result
        self._open -= 1
        if self._open <= 0:
            self._done.set()

    def abandon(self) -> None:
        """There will be no more answers: what has none stays UNKNOWN."""
        self._done.set()


class Publisher:
    """A thread that holds a connection to the exchange, reconnecting for ever.

    Messages are persistent, mandatory and confirmed. All methods are for one caller's thread.
    """

    def __init__(self, url: str | SecretStr, *, service: str) -> None:
        self._parameters = parameters(url, f"{service} publisher")
        self._service = service
        self._user = self._parameters.credentials.username
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._batches: set[Batch] = set()
        self._connection: pika.SelectConnection | None = None
        self._channel: Channel | None = None
        self._tag = 0
        self._in_flight: OrderedDict[int, tuple[Batch, int, str]] = OrderedDict()
        self._returned: set[str] = set()
        self.connections = 0
        """How often there was a new connection; queues may have to be made anew with each."""
        self._backoff = Backoff()
        self._thread = threading.Thread(target=self._run, name=f"{service} publisher", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def close(self) -> None:
        """Close the connection and end the thread."""
        self._closing.set()
        self.reset()
        self._thread.join(_STOP_SECONDS)

    def wait_ready(self, seconds: float) -> bool:
        """Wait until messages can be published; False when they can't after ``seconds``."""
        return self._ready.wait(seconds)

    def submit(self, messages: Sequence[Outgoing]) -> Batch:
        """Publish the messages in order, after those submitted before; returns at once."""
        batch = Batch(len(messages))
        with self._lock:
            connection = self._connection
            if connection is None or not self._ready.is_set():
                batch.abandon()
                return batch
            self._batches.add(batch)
            connection.ioloop.add_callback_threadsafe(lambda: self._send(batch, messages))
        return batch

    def answers(self, batch: Batch, seconds: float) -> list[Result]:
        """Wait for the broker's answers, at most ``seconds`` from the submission on.

        A broker that does not answer in time is taken for dead: the connection is dropped and made anew.
        """
        answered = batch.wait(seconds)
        with self._lock:
            self._batches.discard(batch)
        if not answered:
            log.warning("the broker does not confirm", service=self._service, seconds=seconds)
            self.reset()
        return list(batch.results)

    def reset(self) -> None:
        """Drop the connection; the thread makes a new one unless the publisher is closing."""
        with self._lock:
            connection = self._connection
            if connection is not None:
                self._ready.clear()
                connection.ioloop.add_callback_threadsafe(lambda: _drop(connection))

    def _run(self) -> None:
        while not self._closing.is_set():
            self._backoff.begin()
            connection = pika.SelectConnection(
                self._parameters,
                on_open_callback=self._on_open,
                on_open_error_callback=self._on_lost,
                on_close_callback=self._on_lost,
            )
            with self._lock:
                self._connection = connection
            try:
                connection.ioloop.start()
            except Exception as error:  # whatever it is, the next connection may work
                log.exception("publisher failed", service=self._service)
                self._on_lost(connection, error)
            finally:
                with self._lock:
                    self._connection = None
                connection.ioloop.close()
            if not self._closing.is_set():
                self._closing.wait(self._backoff.pause())

    def _on_open(self, connection: pika.SelectConnection) -> None:
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        self._tag = 0
        self._in_flight.clear()
        self._returned.clear()
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.exchange_declare(
            EXCHANGE,
            exchange_type="topic",
            durable=True,
            callback=lambda _frame: channel.confirm_delivery(self._on_answer, callback=self._on_confirming),
        )

    def _on_confirming(self, _frame: Any) -> None:
        if not self._closing.is_set():
            self.connections += 1
            self._ready.set()

    def _on_blocked(self, *_arguments: Any) -> None:
        log.warning("the broker is short of memory or disk and takes no messages", service=self._service)
        self._ready.clear()

    def _on_unblocked(self, *_arguments: Any) -> None:
        self._ready.set()

    def _on_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if channel.connection.is_open:
            log.warning("the broker closed the channel", service=self._service, reason=describe(reason))
            channel.connection.close()

    def _on_lost(self, connection: pika.SelectConnection, reason: BaseException | str) -> None:
        with self._lock:
            self._ready.clear()
            for batch in self._batches:
                batch.abandon()
        if not self._closing.is_set():
            log.warning("publisher has no connection", service=self._service, reason=describe_any(reason))
        connection.ioloop.stop()

    def _send(self, batch: Batch, messages: Sequence[Outgoing]) -> None:
        channel = self._channel
        if channel is None or not channel.is_open:
            batch.abandon()
            return
        for index, message in enumerate(messages):
            if len(message.body) > MAX_BODY:
                log.critical("event is too large for the bus", event_type=message.routing_key, id=message.id)
                batch.settle(index, Result.REFUSED)
                continue
            self._tag += 1
            self._in_flight[self._tag] = (batch, index, message.id)
            channel.basic_publish(
                EXCHANGE, message.routing_key, message.body, self._properties(message), mandatory=True
            )

    def _properties(self, message: Outgoing) -> BasicProperties:
        return BasicProperties(
            delivery_mode=pika.DeliveryMode.Persistent,
            content_type="application/json",
            type=message.routing_key,
            message_id=message.id,
            correlation_id=message.correlation_id[:255],
            app_id=self._service,
            user_id=self._user,
            headers=dict(message.headers),
        )

    def _on_return(self, _channel: Channel, _method: Any, properties: BasicProperties, _body: bytes) -> None:
        # the broker sends the return before the confirm of the same message
        self._returned.add(str(properties.message_id))

    def _on_answer(self, frame: Any) -> None:
        method = frame.method
        accepted = isinstance(method, Basic.Ack)
        if method.multiple:
            tags = [tag for tag in self._in_flight if tag <= method.delivery_tag]
        else:
            tags = [method.delivery_tag]
        for tag in tags:
            batch, index, message_id = self._in_flight.pop(tag)
            if message_id in self._returned:
                self._returned.discard(message_id)
                batch.settle(index, Result.UNROUTABLE)
            else:
                batch.settle(index, Result.CONFIRMED if accepted else Result.REFUSED)


def describe_any(reason: BaseException | str) -> str:
    """The reason of a lost connection in a line."""
    return describe(reason) if isinstance(reason, BaseException) else reason


def _drop(connection: pika.SelectConnection) -> None:
    """End the connection: in order if the broker answers, else without it."""
    if connection.is_open:
        connection.close()
    connection.ioloop.call_later(CLOSE_SECONDS, lambda: cut(connection, CLOSE_SECONDS))
