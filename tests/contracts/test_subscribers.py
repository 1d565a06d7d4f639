"""The one list of who receives what, and what it is for."""

from collections.abc import Callable

import pytest

import services.auth.handlers
import services.auth.worker
import services.billing.handlers
import services.billing.worker
import services.notify.constants
import services.notify.handlers
from shared.bus import Handler, Subscription
from shared.bus.rabbit import RabbitBus
from shared.contracts.auth import UserRegisteredV1
from shared.contracts.envelope import Envelope, Event
from shared.contracts.registry import EVENTS
from shared.contracts.subscribers import BROADCAST, SUBSCRIBERS
from shared.db import outbox
from shared.db.engine import Database
from shared.process import Supervisor
from tests.contracts.conftest import eventually
from tests.support.rabbitmq import RabbitServer

Handlers = dict[type[Event], Handler]
Migrated = Callable[[str], Database]


@pytest.mark.parametrize(
    ("queue", "handlers"),
    [
        (services.auth.worker.QUEUE, services.auth.handlers.HANDLERS),
        (services.billing.worker.QUEUE, services.billing.handlers.HANDLERS),
        (services.notify.constants.EVENTS_QUEUE, services.notify.handlers.HANDLERS),
    ],
)
def test_each_role_handles_what_the_list_says(queue: str, handlers: Handlers) -> None:
    assert set(SUBSCRIBERS[queue]) == set(handlers)


def test_every_event_has_somebody_who_wants_it() -> None:
    runner = "market.candles_closed.v1"
    wanted = {event.routing_key() for events in [*SUBSCRIBERS.values(), BROADCAST] for event in events}
    assert wanted | {runner} == set(EVENTS)


def test_an_event_waits_for_roles_that_have_never_run(rabbitmq: RabbitServer, migrated: Migrated) -> None:
    url, auth = rabbitmq.new_vhost(), migrated("messaging")
    event = UserRegisteredV1(user_id="1", user_name="Ada", email="ada@example.org")
    _publish(url, auth, event)

    received: list[str] = []
    roles = ("billing.events.v1", "notify.events.v1")
    supervisor = Supervisor()
    for role in roles:

        def note(_session: object, envelope: Envelope[Event], role: str = role) -> None:
            received.append(role)

        subscription = Subscription(role, {UserRegisteredV1: note}, migrated("messaging"))
        supervisor.start([RabbitBus(url).consumer(subscription)])
    eventually(lambda: sorted(received) == sorted(roles))
    assert supervisor.stop(20) == []


def _publish(url: str, database: Database, event: Event) -> None:
    """Bring one event to the bus, with no consumer anywhere."""
    with database.transaction() as session:
        outbox.add(session, event, aggregate_id="1", aggregate_version=1)
    relay = Supervisor()
    relay.start([RabbitBus(url).relay(database, service=event.type.split(".")[0])])

    def published() -> bool:
        with database.read() as connection:
            return outbox.waiting(connection) == 0

    eventually(published)
    assert relay.stop(20) == []
