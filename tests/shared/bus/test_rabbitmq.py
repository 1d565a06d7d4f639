"""What only RabbitMQ can do to us: restarts, alarms, silence, deleted queues, crashing consumers."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pika
import pytest
from pika.exceptions import AMQPError
from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.bus import Subscription, policies
from shared.bus.rabbit import RabbitBus
from shared.contracts.auth import UserDeletedV1
from shared.contracts.envelope import Envelope
from shared.db import outbox
from shared.db.engine import Database
from shared.process import Supervisor
from tests.contracts.conftest import eventually
from tests.support.rabbitmq import RabbitServer

QUEUE = "billing.events.v1"


@pytest.fixture(scope="module")
def broker() -> Iterator[RabbitServer]:
    """A node that these tests may maltreat."""
    with RabbitServer() as server:
        yield server


class Flow:
    """auth tells, billing notes: on a virtual host and on databases of its own."""

    def __init__(self, url: str, auth: Database, billing: Database) -> None:
        self.url, self.auth, self.billing = url, auth, billing
        self.handler: Callable[[Session, Envelope[Any]], None] = self.note
        self.supervisor = Supervisor()
        with billing.transaction() as session:
            session.execute(text("CREATE TABLE effect (n bigserial, note text)"))

    def start(self) -> None:
        bus = RabbitBus(self.url, service="test", roles={}, retry_delays=(0.1,))
        subscription = Subscription(QUEUE, {UserDeletedV1: self.handler}, self.billing)
        relay = bus.relay(self.auth, service="auth", queues=[subscription.wants])
        self.supervisor.start([bus.consumer(subscription), relay])

    def note(self, session: Session, envelope: Envelope[Any]) -> None:
        session.execute(text("INSERT INTO effect (note) VALUES (:note)"), {"note": envelope.data.user_id})

    def tell(self, *users: int) -> None:
        with self.auth.transaction() as session:
            for user in users:
                outbox.add(session, UserDeletedV1(user_id=str(user)), aggregate_id="a", aggregate_version=1)

    def notes(self) -> list[str]:
        with self.billing.read() as connection:
            return list(connection.execute(text("SELECT note FROM effect ORDER BY n")).scalars())

    def await_notes(self, number: int) -> None:
        eventually(lambda: len(self.notes()) >= number)

    def waiting(self) -> int:
        with self.auth.read() as connection:
            return outbox.waiting(connection)

    def channel(self) -> pika.adapters.blocking_connection.BlockingChannel:
        return pika.BlockingConnection(pika.URLParameters(self.url)).channel()

    def await_dead(self, number: int) -> list[tuple[pika.BasicProperties, bytes]]:
        """Wait for so many dead letters and take them."""
        found: list[tuple[pika.BasicProperties, bytes]] = []

        def complete() -> bool:
            found.extend(self.dead())
            return len(found) >= number

        eventually(complete)
        return found

    def dead(self) -> list[tuple[pika.BasicProperties, bytes]]:
        """The dead letters, taken."""
        channel = self.channel()
        found = []
        try:
            while (got := channel.basic_get(f"{QUEUE}.dead", auto_ack=True))[0] is not None:
                found.append((got[1], got[2]))
        except AMQPError:
            return []
        finally:
            channel.connection.close()
        return found


@pytest.fixture
def flow(broker: RabbitServer, migrated: Callable[[str], Database]) -> Iterator[Flow]:
    made = Flow(broker.new_vhost(), migrated("messaging"), migrated("messaging"))
    yield made
    assert made.supervisor.stop(25) == []


def test_a_broker_killed_and_restarted_under_load_loses_and_doubles_nothing(
    broker: RabbitServer, flow: Flow
) -> None:
    flow.start()

    def tell_all() -> None:
        for n in range(0, 1000, 4):
            flow.tell(n, n + 1, n + 2, n + 3)

    flow.tell(1000)
    eventually(lambda: flow.notes() == ["1000"])
    # RabbitMQ 3.10 writes the directory of its queues every half second: a younger queue dies with the node,
    # and nothing can be seen of the writing
    threading.Event().wait(1.5)
    teller = threading.Thread(target=tell_all)
    teller.start()
    for mark in (20, 200):
        flow.await_notes(mark)
        broker.kill()
        broker.start()
    teller.join()
    eventually(lambda: flow.waiting() == 0 and len(flow.notes()) >= 1001, seconds=60)
    assert sorted(flow.notes(), key=int) == [str(n) for n in range(1001)]
    assert flow.dead() == []


def test_a_deleted_queue_is_made_anew_and_goes_on(flow: Flow) -> None:
    flow.start()
    flow.tell(1)
    eventually(lambda: flow.notes() == ["1"])
    channel = flow.channel()
    channel.queue_delete(QUEUE)
    channel.connection.close()
    flow.tell(2)
    eventually(lambda: flow.notes() == ["1", "2"])


def test_a_memory_alarm_only_delays(broker: RabbitServer, flow: Flow) -> None:
    flow.start()
    flow.tell(1)
    eventually(lambda: flow.notes() == ["1"])
    broker.control("set_vm_memory_high_watermark", "0.0000001")
    flow.tell(*range(2, 50))
    eventually(lambda: "blocked" in broker.control("list_connections", "state"))
    assert flow.waiting() == 48
    broker.control("set_vm_memory_high_watermark", "0.4")
    eventually(lambda: flow.waiting() == 0 and len(flow.notes()) >= 49, seconds=60)
    assert sorted(flow.notes(), key=int) == [str(n) for n in range(1, 50)]


def test_a_frozen_broker_holds_up_neither_commits_nor_the_stop(broker: RabbitServer, flow: Flow) -> None:
    flow.start()
    flow.tell(1)
    eventually(lambda: flow.notes() == ["1"])
    broker.freeze()
    try:
        flow.tell(2, 3)
        assert flow.supervisor.stop(25) == []
    finally:
        broker.thaw()
    flow.supervisor = Supervisor()
    flow.start()
    eventually(lambda: flow.waiting() == 0 and sorted(flow.notes()) == ["1", "2", "3"], seconds=60)


def test_a_slow_handler_does_not_hold_up_the_connection(flow: Flow) -> None:
    release, entered = threading.Event(), threading.Event()

    def slow(session: Session, envelope: Envelope[Any]) -> None:
        entered.set()
        assert release.wait(30)
        flow.note(session, envelope)

    flow.handler = slow
    stop, beats = threading.Event(), threading.Semaphore(0)
    subscription = Subscription(QUEUE, {UserDeletedV1: slow}, flow.billing)
    consumer = RabbitBus(flow.url, roles={}).consumer(subscription)
    thread = threading.Thread(target=consumer.run, args=(stop, beats.release))
    thread.start()
    relay = Supervisor()
    publishing = RabbitBus(flow.url, roles={}).relay(flow.auth, service="auth", queues=[subscription.wants])
    relay.start([publishing])
    flow.tell(1)
    assert entered.wait(20)
    while beats.acquire(blocking=False):
        pass
    for _ in range(3):
        assert beats.acquire(timeout=5), "the connection's thread stands still"
    release.set()
    eventually(lambda: flow.notes() == ["1"])
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert relay.stop(20) == []


def test_bytes_that_are_no_message_are_dead_letters_with_their_reason(flow: Flow) -> None:
    flow.start()
    flow.tell(1)
    eventually(lambda: flow.notes() == ["1"])
    channel = flow.channel()
    for body, properties in (
        (b"\xff\x00 no json", pika.BasicProperties(app_id="auth")),
        (
            b"{}",
            pika.BasicProperties(app_id="auth", type="auth.user_deleted.v1", headers={"x-attempts": "y"}),
        ),
        (b"[]", None),
    ):
        channel.basic_publish("boritrader", "auth.user_deleted.v1", body, properties)
    flow.tell(2)
    eventually(lambda: flow.notes() == ["1", "2"])
    dead = flow.await_dead(3)
    channel.connection.close()
    assert sorted(body for _, body in dead) == [b"[]", b"{}", b"\xff\x00 no json"]
    for properties, _ in dead:
        assert properties.headers["x-reason"].startswith("invalid: auth.user_deleted.v1: ")
        assert properties.headers["x-queue"] == QUEUE
        assert properties.type == "auth.user_deleted.v1"


def test_the_policies_are_accepted_and_guard_against_a_message_that_kills(
    broker: RabbitServer, flow: Flow
) -> None:
    flow.start()
    flow.tell(1)
    eventually(lambda: flow.notes() == ["1"])
    assert flow.supervisor.stop(25) == []
    vhost = flow.url.rpartition("/")[2]
    for name, policy in policies.POLICIES.items():
        definition = {**policy["definition"]}
        if "delivery-limit" in definition:
            definition["delivery-limit"] = 3
        broker.control(
            "set_policy",
            *("-p", vhost, "--apply-to", "queues", name, policy["pattern"], json.dumps(definition)),
        )
    channel = flow.channel()
    channel.basic_publish("boritrader", "auth.user_deleted.v1", b"deadly")
    channel.connection.close()

    def die_of_it() -> bool:
        dying = flow.channel()
        method, _, _ = dying.basic_get(QUEUE)
        dying.connection.close()
        return method is None

    eventually(die_of_it)
    dead = flow.await_dead(1)
    assert dead[0][1] == b"deadly"
    assert dead[0][0].headers["x-first-death-reason"] == "delivery_limit"
