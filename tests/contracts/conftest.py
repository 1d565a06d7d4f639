"""Two buses behind one interface, and consumers whose effects can be counted."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPError
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.bus import Bus, Handler, Subscription
from shared.bus.local import LocalBus
from shared.bus.rabbit import RabbitBus
from shared.contracts.auth import UserDeletedV1
from shared.contracts.envelope import Envelope, Event
from shared.db.engine import Database
from shared.process import Loop, Supervisor

RETRY_DELAYS = (0.1, 0.2, 0.3)
IN_PLACE_DELAYS = (0.05, 0.1)
DeadLetter = tuple[str, str, int]


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until the condition holds; fail when it doesn't in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        pause.wait(0.02)


class Buses:
    """The bus under test, and what stops its loops."""

    def __init__(self, url: str | None) -> None:
        self.url = url
        self._supervisors: list[Supervisor] = []
        self.bus = self._make()

    def _make(self) -> Bus:
        if self.url is None:
            return LocalBus(
                retry_delays=RETRY_DELAYS, in_place_delays=IN_PLACE_DELAYS, unroutable_seconds=0.2
            )
        return RabbitBus(self.url, roles={}, retry_delays=RETRY_DELAYS, in_place_delays=IN_PLACE_DELAYS)

    def another(self) -> Bus:
        """The bus as another process sees it; the local one is for one process only."""
        return self.bus if self.url is None else self._make()

    def relay(self, database: Database, *subscriptions: Subscription, service: str = "auth") -> Loop:
        """A relay that makes the queues of these subscriptions first, so that each gets every event."""
        return self.bus.relay(database, service=service, queues=[each.wants for each in subscriptions])

    def run(self, *loops: Loop) -> None:
        """Run loops until the test ends, as one process."""
        supervisor = Supervisor()
        self._supervisors.append(supervisor)
        supervisor.start(loops)

    def stop(self) -> None:
        """Stop all loops; each must stop soon."""
        for supervisor in self._supervisors:
            assert supervisor.stop(20) == []

    def dead(self, database: Database, queue: str, *, take: bool) -> list[DeadLetter]:
        """Event, reason and attempts of a queue's dead letters."""
        if self.url is None:
            with database.read() as connection:
                rows = connection.execute(
                    text("SELECT type, reason, attempts FROM dead_letter WHERE consumer = :queue"),
                    {"queue": queue},
                )
                return [(row.type, row.reason, row.attempts) for row in rows]
        return _dead_on_broker(self.url, f"{queue}.dead", take=take)


def _dead_on_broker(url: str, queue: str, *, take: bool) -> list[DeadLetter]:
    found: list[DeadLetter] = []
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    try:
        while True:
            method, properties, _body = channel.basic_get(queue, auto_ack=take)
            if method is None:
                return found
            headers = properties.headers or {}
            found.append((properties.type, headers["x-reason"], headers["x-attempts"]))
    except AMQPError:
        return found
    finally:
        if connection.is_open:
            connection.close()


class Effects:
    """A consumer's database with a table in which each handled message leaves a note, doubled ones too."""

    def __init__(self, database: Database, buses: Buses) -> None:
        self.database = database
        self._buses = buses
        with database.transaction() as session:
            session.execute(text("CREATE TABLE effect (n bigserial, note text)"))

    def note(self, session: Session, envelope: Envelope[Any]) -> None:
        """A handler that leaves the user's id."""
        session.execute(text("INSERT INTO effect (note) VALUES (:note)"), {"note": envelope.data.user_id})

    def notes(self) -> list[str]:
        """All notes, in the order in which they were made."""
        with self.database.read() as connection:
            return list(connection.execute(text("SELECT note FROM effect ORDER BY n")).scalars())

    def subscription(self, queue: str, handlers: Mapping[type[Event], Handler] | None = None) -> Subscription:
        """A subscription to deleted users, unless told otherwise."""
        return Subscription(queue, handlers or {UserDeletedV1: self.note}, self.database)

    def peek_dead(self, queue: str) -> list[DeadLetter]:
        """The dead letters, which stay."""
        return self._buses.dead(self.database, queue, take=False)

    def dead_letters(self, queue: str) -> list[DeadLetter]:
        """The dead letters, taken from the broker."""
        return self._buses.dead(self.database, queue, take=True)


@pytest.fixture(params=["local", "rabbitmq"])
def buses(
    request: pytest.FixtureRequest,
    migrated: Callable[[str], Database],  # asked for so that databases outlive the loops
) -> Iterator[Buses]:
    """The local bus, then RabbitMQ in a virtual host of the test's own."""
    local = request.param == "local"
    made = Buses(None if local else request.getfixturevalue("rabbitmq").new_vhost())
    yield made
    made.stop()


@pytest.fixture
def auth(migrated: Callable[[str], Database]) -> Database:
    """The publisher's database."""
    return migrated("messaging")


@pytest.fixture
def effects(migrated: Callable[[str], Database], buses: Buses) -> Effects:
    """A consumer's database."""
    return Effects(migrated("messaging"), buses)


@pytest.fixture
def other_effects(migrated: Callable[[str], Database], buses: Buses) -> Effects:
    """Another consumer's database."""
    return Effects(migrated("messaging"), buses)
