"""Connections to RabbitMQ: with time-outs on everything, and made anew for ever."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pika
from pika.exceptions import AMQPError, ConnectionWrongStateError
from pydantic import SecretStr

from shared import logs
from shared.process import Beat

HEARTBEAT_SECONDS = 30
BLOCKED_SECONDS = 10
SOCKET_SECONDS = 5
ANSWER_SECONDS = 8.0
"""A broker that answers a call later than this is taken for dead. pika itself would wait for ever."""
CLOSE_SECONDS = 2.0
STACK_SECONDS = 8
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 15.0
_CALM_SECONDS = 30.0

log = logs.logger(__name__)


class ConnectionLostError(Exception):
    """The connection, its channel or its queue is gone; what was in flight may or may not have arrived."""


BROKER_FAILURES = (AMQPError, ConnectionWrongStateError, ConnectionLostError, OSError)
"""What a broker that is away, full or restarting makes of our calls."""


def parameters(url: str | SecretStr, name: str) -> pika.URLParameters:
    """The broker's address with our time-outs; ``name`` is what the broker's operators see."""
    made = pika.URLParameters(url.get_secret_value() if isinstance(url, SecretStr) else url)
    made.heartbeat = HEARTBEAT_SECONDS
    made.blocked_connection_timeout = BLOCKED_SECONDS
    made.socket_timeout = SOCKET_SECONDS
    made.stack_timeout = STACK_SECONDS
    made.connection_attempts = 1
    made.client_properties = {"connection_name": name}
    return made


class Backoff:
    """Growing, jittered pauses between attempts; short again after a time that went well."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE
        self._began = time.monotonic()

    def begin(self) -> None:
        """An attempt begins."""
        self._began = time.monotonic()

    def pause(self) -> float:
        """Seconds to wait before the next attempt."""
        if time.monotonic() - self._began > _CALM_SECONDS:
            self._pause = FIRST_PAUSE
        seconds = self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return seconds


def keep_connected(
    name: str,
    url: str | SecretStr,
    stop: threading.Event,
    beat: Beat,
    session: Callable[[pika.BlockingConnection], None],
) -> None:
    """Run ``session`` on a connection of its own, and again on the next one whenever it fails, until stopped.

    A session that returns before ``stop`` is set has failed too: that is how pika tells of a deleted queue.
    """
    backoff = Backoff()
    while not stop.is_set():
        beat()
        backoff.begin()
        connection: pika.BlockingConnection | None = None
        reason = "it ended by itself"
        try:
            connection = pika.BlockingConnection(parameters(url, name))
            session(connection)
        except BROKER_FAILURES as error:
            reason = describe(error)
        finally:
            close(connection)
        if stop.is_set():
            return
        pause = backoff.pause()
        log.warning("connection to the broker lost", connection=name, reason=reason, again_in=round(pause, 1))
        stop.wait(pause)


@contextmanager
def answered_within(connection: pika.BlockingConnection, seconds: float) -> Iterator[None]:
    """Cut the connection when the block takes longer; the call that waits in it then raises."""
    # BlockingConnection's own call_later comes only after the call that it should cut off
    implementation = connection._impl  # noqa: SLF001
    timer = implementation.ioloop.call_later(seconds, lambda: cut(implementation, seconds))
    try:
        yield
    finally:
        implementation.ioloop.remove_timeout(timer)


def cut(implementation: Any, seconds: float) -> None:
    """End a connection without asking the broker, as pika's heartbeat does; its callbacks get the reason."""
    if not implementation.is_closed:
        implementation._terminate_stream(  # noqa: SLF001 - pika has no public way to give a connection up
            ConnectionLostError(f"the broker did not answer within {seconds:g} s")
        )


def close(connection: pika.BlockingConnection | None) -> None:
    """Close a connection, whatever state it is in."""
    if connection is None or not connection.is_open:
        return
    try:
        with answered_within(connection, CLOSE_SECONDS):
            connection.close()
    except BROKER_FAILURES as error:
        log.info("connection did not close in order", reason=describe(error))


def describe(error: BaseException) -> str:
    """The kind of a failure and what the broker said of it, without credentials."""
    return logs.scrub_text(f"{type(error).__name__}: {error}"[:300])
