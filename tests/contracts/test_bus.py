"""What both buses promise: the same tests on the local bus and on RabbitMQ."""

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared import logs
from shared.bus import Broadcast, Drop, Retry, Subscription
from shared.contracts.auth import UserDeletedV1, UserRegisteredV1
from shared.contracts.billing import EntitlementChangedV1, Entitlements
from shared.contracts.envelope import Envelope, Event
from shared.contracts.notify import LiveMessageAddedV1
from shared.db import outbox
from shared.db.engine import Database
from shared.process import Supervisor
from tests.contracts.conftest import Buses, Effects, eventually

Migrated = Callable[[str], Database]


def deleted(user: str) -> UserDeletedV1:
    return UserDeletedV1(user_id=user)


def tell(database: Database, *events: Event) -> list[Envelope[Any]]:
    with database.transaction() as session:
        return [
            outbox.add(session, event, aggregate_id="a", aggregate_version=n)
            for n, event in enumerate(events)
        ]


def published(database: Database) -> int:
    with database.read() as connection:
        return int(
            connection.execute(
                text("SELECT count(*) FROM outbox WHERE published_at IS NOT NULL")
            ).scalar_one()
        )


def test_each_consumer_gets_an_event_once(
    buses: Buses, auth: Database, effects: Effects, other_effects: Effects
) -> None:
    one, two = effects.subscription("billing.events.v1"), other_effects.subscription("notify.events.v1")
    buses.run(buses.bus.consumer(one), buses.bus.consumer(two), buses.relay(auth, one, two))
    tell(auth, *(deleted(f"user-{n}") for n in range(50)))
    expected = sorted(f"user-{n}" for n in range(50))
    eventually(lambda: sorted(effects.notes()) == expected and sorted(other_effects.notes()) == expected)
    eventually(lambda: published(auth) == 50)
    assert effects.dead_letters("billing.events.v1") == []


def test_the_same_message_many_times_has_one_effect(buses: Buses, auth: Database, effects: Effects) -> None:
    subscription = effects.subscription("billing.events.v1")
    buses.run(buses.bus.consumer(subscription), buses.relay(auth, subscription))
    tell(auth, deleted("once"))
    for _ in range(50):
        eventually(lambda: published(auth) == 1)
        with auth.transaction() as session:
            # as if the relay had been killed between the bus's receipt and its own commit
            session.execute(text("UPDATE outbox SET published_at = NULL"))
            session.execute(text("NOTIFY outbox"))
    tell(auth, deleted("last"))
    eventually(lambda: effects.notes()[-1:] == ["last"] and published(auth) == 2)
    assert effects.notes() == ["once", "last"]


def test_failed_work_leaves_nothing_and_a_later_try_succeeds(
    buses: Buses, auth: Database, effects: Effects
) -> None:
    tries: list[str] = []

    def fail_twice(session: Session, envelope: Envelope[UserDeletedV1]) -> None:
        effects.note(session, envelope)
        outbox.add(session, deleted("consequence"), aggregate_id="a", aggregate_version=1)
        tries.append(logs.correlation_id())
        if len(tries) == 1:
            raise Retry("not yet")
        if len(tries) == 2:
            raise ZeroDivisionError

    subscription = effects.subscription("billing.events.v1", {UserDeletedV1: fail_twice})
    buses.run(buses.bus.consumer(subscription), buses.relay(auth, subscription))
    [told] = tell(auth, deleted("u"))
    eventually(lambda: effects.notes() == ["u"])
    assert tries == [told.correlation_id] * 3
    with effects.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM outbox")).scalar_one() == 1
        assert connection.execute(text("SELECT consumer, message_id FROM inbox")).all() == [
            ("billing.events.v1", told.id)
        ]


def test_a_dropped_message_is_a_dead_letter_with_its_reason(
    buses: Buses, auth: Database, effects: Effects
) -> None:
    def refuse(session: Session, envelope: Envelope[UserDeletedV1]) -> None:
        effects.note(session, envelope)
        if envelope.data.user_id == "bad":
            raise Drop("no such account")

    subscription = effects.subscription("billing.events.v1", {UserDeletedV1: refuse})
    buses.run(buses.bus.consumer(subscription), buses.relay(auth, subscription))
    tell(auth, deleted("bad"), deleted("good"))
    eventually(lambda: effects.notes() == ["good"] and published(auth) == 2)
    assert effects.dead_letters("billing.events.v1") == [
        ("auth.user_deleted.v1", "dropped: no such account", 1)
    ]


def test_the_fifth_failed_try_is_the_last(buses: Buses, auth: Database, effects: Effects) -> None:
    tries: list[str] = []

    def fail(_session: Session, envelope: Envelope[UserDeletedV1]) -> None:
        tries.append(envelope.data.user_id)
        raise Retry("still not")

    subscription = effects.subscription("billing.events.v1", {UserDeletedV1: fail})
    buses.run(buses.bus.consumer(subscription), buses.relay(auth, subscription))
    tell(auth, deleted("u"))
    eventually(lambda: len(effects.peek_dead("billing.events.v1")) == 1)
    assert tries == ["u"] * 5
    assert effects.dead_letters("billing.events.v1") == [
        ("auth.user_deleted.v1", "failed 5 times: still not", 5)
    ]


def test_an_invalid_message_is_a_dead_letter_and_others_pass(
    buses: Buses, auth: Database, effects: Effects
) -> None:
    subscription = effects.subscription("billing.events.v1")
    buses.run(buses.bus.consumer(subscription), buses.relay(auth, subscription))
    with auth.transaction() as session:
        session.execute(
            text(
                "INSERT INTO outbox (id, type, aggregate_id, aggregate_version, payload)"
                " VALUES (:id, 'auth.user_deleted.v1', 'a', 1, '{\"correlation_id\": \"c\", \"data\": 7}')"
            ),
            {"id": uuid4()},
        )
    tell(auth, deleted("good"))
    eventually(lambda: effects.notes() == ["good"] and published(auth) == 2)
    [(event, reason, _)] = effects.dead_letters("billing.events.v1")
    assert event == "auth.user_deleted.v1"
    assert reason.startswith("invalid: auth.user_deleted.v1: ")


def test_an_event_of_a_foreign_publisher_is_a_dead_letter(
    buses: Buses, auth: Database, effects: Effects
) -> None:
    subscription = effects.subscription("billing.events.v1")
    buses.run(buses.bus.consumer(subscription), buses.relay(auth, subscription, service="notify"))
    tell(auth, deleted("forged"))
    eventually(lambda: len(effects.peek_dead("billing.events.v1")) == 1)
    assert effects.dead_letters("billing.events.v1") == [
        ("auth.user_deleted.v1", "foreign publisher: notify", 1)
    ]
    assert effects.notes() == []


def test_an_event_that_nobody_consumes_waits_and_blocks_no_other(
    buses: Buses, auth: Database, effects: Effects, other_effects: Effects
) -> None:
    subscription = effects.subscription("billing.events.v1")
    buses.run(buses.bus.consumer(subscription), buses.relay(auth, subscription))
    early = UserRegisteredV1(user_id="early", user_name="Early", email="e@example.org")
    tell(auth, early, *(deleted(f"{n}") for n in range(5)))
    eventually(lambda: published(auth) == 5)
    with auth.read() as connection:
        waiting = connection.execute(
            text("SELECT type, next_at > created_at FROM outbox WHERE published_at IS NULL")
        ).all()
    assert waiting == [("auth.user_registered.v1", True)]
    late = other_effects.subscription("notify.events.v1", {UserRegisteredV1: other_effects.note})
    buses.run(buses.another().consumer(late))
    eventually(lambda: other_effects.notes() == ["early"] and published(auth) == 6)


def test_an_ordered_consumer_never_lets_a_message_be_overtaken(
    buses: Buses, auth: Database, effects: Effects
) -> None:
    failed: set[str] = set()

    def stumble(session: Session, envelope: Envelope[UserDeletedV1]) -> None:
        user = envelope.data.user_id
        if user == "30":
            raise Drop("never")
        if user in ("10", "20") and user not in failed:
            failed.add(user)
            raise Retry("stumbled")
        effects.note(session, envelope)

    subscription = Subscription(
        "signals-runner-0.events.v1", {UserDeletedV1: stumble}, effects.database, ordered=True
    )
    buses.run(buses.another().consumer(subscription))
    buses.run(buses.bus.consumer(subscription), buses.relay(auth, subscription))
    tell(auth, *(deleted(str(n)) for n in range(60)))
    eventually(lambda: len(effects.notes()) == 59)
    assert effects.notes() == [str(n) for n in range(60) if n != 30]
    assert failed == {"10", "20"}
    assert effects.dead_letters("signals-runner-0.events.v1") == [
        ("auth.user_deleted.v1", "dropped: never", 1)
    ]


def test_an_ordered_message_is_never_given_up(buses: Buses, auth: Database, effects: Effects) -> None:
    tries = 0

    def stumble(session: Session, envelope: Envelope[UserDeletedV1]) -> None:
        nonlocal tries
        if envelope.data.user_id == "1" and (tries := tries + 1) <= 7:
            raise RuntimeError("not yet")
        effects.note(session, envelope)

    subscription = Subscription(
        "signals-runner-0.events.v1", {UserDeletedV1: stumble}, effects.database, ordered=True
    )
    buses.run(buses.bus.consumer(subscription), buses.relay(auth, subscription))
    tell(auth, *(deleted(str(n)) for n in range(4)))
    eventually(lambda: len(effects.notes()) == 4)
    assert effects.notes() == ["0", "1", "2", "3"]
    assert effects.dead_letters("signals-runner-0.events.v1") == []


def test_an_event_for_the_connected_waits_for_nobody(buses: Buses, auth: Database) -> None:
    buses.run(buses.relay(auth, service="notify"))
    tell(auth, LiveMessageAddedV1(n=1))
    eventually(lambda: published(auth) == 1)


def test_a_broadcast_reaches_every_process(buses: Buses, auth: Database) -> None:
    heard: dict[str, list[str]] = {"one": [], "two": []}

    def listen(name: str) -> Callable[[Envelope[UserDeletedV1]], None]:
        def hear(envelope: Envelope[UserDeletedV1]) -> None:
            if envelope.data.user_id == "7":
                raise ZeroDivisionError
            heard[name].append(envelope.data.user_id)

        return hear

    one = buses.bus.broadcast(Broadcast("live-one", {UserDeletedV1: listen("one")}))
    two = buses.another().broadcast(Broadcast("live-two", {UserDeletedV1: listen("two")}))
    buses.run(one, two)
    assert one.listening.wait(10)
    assert two.listening.wait(10)
    buses.run(buses.relay(auth))
    tell(auth, *(deleted(str(n)) for n in range(20)))
    expected = [str(n) for n in range(20) if n != 7]
    eventually(lambda: heard == {"one": expected, "two": expected})


def test_one_cause_keeps_its_id_through_all_services(
    buses: Buses, auth: Database, effects: Effects, other_effects: Effects
) -> None:
    causes: list[str] = []

    def entitle(session: Session, envelope: Envelope[UserDeletedV1]) -> None:
        entitlements = Entitlements(alerts_max=1, channels=("mail",), api="read", scorecard=False)
        outbox.add(
            session,
            EntitlementChangedV1(user_id=envelope.data.user_id, plan="free", entitlements=entitlements),
            aggregate_id=envelope.data.user_id,
            aggregate_version=1,
        )

    def hear(session: Session, envelope: Envelope[EntitlementChangedV1]) -> None:
        causes.extend((envelope.correlation_id, logs.correlation_id()))
        other_effects.note(session, envelope)

    billing = effects.subscription("billing.events.v1", {UserDeletedV1: entitle})
    notify = other_effects.subscription("notify.events.v1", {EntitlementChangedV1: hear})
    buses.run(
        buses.bus.consumer(billing),
        buses.bus.consumer(notify),
        buses.relay(auth, billing),
        buses.relay(effects.database, notify, service="billing"),
    )
    with auth.transaction() as session, logs.correlated("request-4711"):
        outbox.add(session, deleted("u"), aggregate_id="u", aggregate_version=1)
    eventually(lambda: other_effects.notes() == ["u"])
    assert causes == ["request-4711", "request-4711"]


def test_stopping_in_the_middle_loses_nothing_and_doubles_nothing(
    buses: Buses, auth: Database, effects: Effects
) -> None:
    middle, first = threading.Event(), Supervisor()

    def work(session: Session, envelope: Envelope[UserDeletedV1]) -> None:
        effects.note(session, envelope)
        if envelope.data.user_id == "25" and not middle.is_set():
            middle.set()
            assert first._stop.wait(20)  # the work is not over before it shall stop

    subscription = effects.subscription("billing.events.v1", {UserDeletedV1: work})
    first.start([buses.bus.consumer(subscription), buses.relay(auth, subscription)])
    tell(auth, *(deleted(str(n)) for n in range(100)))
    assert middle.wait(20)
    assert first.stop(20) == []
    assert len(effects.notes()) < 100
    buses.run(buses.bus.consumer(subscription), buses.relay(auth, subscription))
    eventually(lambda: published(auth) == 100 and len(effects.notes()) == 100)
    assert sorted(effects.notes(), key=int) == [str(n) for n in range(100)]
