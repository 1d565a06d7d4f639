"""The messaging tables, their purge, and the wake-up of the relay."""

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import MetaData, inspect, text

from shared.contracts.auth import UserDeletedV1
from shared.contracts.registry import InvalidMessage
from shared.db import inbox, messaging, outbox
from shared.db.base import NAMING
from shared.db.engine import Database
from shared.logs import correlated

Migrated = Callable[[str], Database]


def test_the_migration_makes_what_the_models_declare(migrated: Migrated) -> None:
    metadata = MetaData(naming_convention=NAMING)
    messaging.declare(metadata)
    with migrated("messaging").engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_dropping_leaves_nothing_and_creating_again_works(migrated: Migrated) -> None:
    with migrated("messaging").engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        messaging.drop_v1(operations)
        assert inspect(connection).get_table_names() == []
        messaging.create_v1(operations)
        assert sorted(inspect(connection).get_table_names()) == ["dead_letter", "inbox", "outbox"]


def test_an_event_is_in_the_outbox_only_after_commit(migrated: Migrated) -> None:
    database = migrated("messaging")
    with database.transaction() as session:
        outbox.add(session, UserDeletedV1(user_id="u"), aggregate_id="u", aggregate_version=1)
        session.rollback()
    with database.transaction() as session, correlated("cause-7"):
        envelope = outbox.add(session, UserDeletedV1(user_id="v"), aggregate_id="v", aggregate_version=3)
    with database.read() as connection:
        rows = connection.execute(
            text("SELECT id, type, aggregate_version, payload, headers FROM outbox")
        ).all()
    assert [(row.id, row.type, row.aggregate_version, row.headers) for row in rows] == [
        (envelope.id, "auth.user_deleted.v1", 3, {})
    ]
    assert rows[0].payload["correlation_id"] == "cause-7"
    assert rows[0].payload["data"] == {"user_id": "v"}


def test_an_event_outside_of_the_registry_is_refused(migrated: Migrated) -> None:
    class UserRenamedV9(UserDeletedV1):
        type = "auth.user_renamed"
        version = 9

    with pytest.raises(InvalidMessage), migrated("messaging").transaction() as session:
        outbox.add(session, UserRenamedV9(user_id="u"), aggregate_id="u", aggregate_version=1)


def test_a_commit_wakes_the_listener(migrated: Migrated) -> None:
    database = migrated("messaging")
    listener, stop = database.listen(outbox.CHANNEL), threading.Event()
    assert not listener.wait(0.05, stop)
    with database.transaction() as session:
        outbox.add(session, UserDeletedV1(user_id="u"), aggregate_id="u", aggregate_version=1)
    assert listener.wait(5, stop)
    listener.close()


def test_who_waits_for_a_commit_stops_when_asked_to(migrated: Migrated) -> None:
    listener, stop = migrated("messaging").listen(outbox.CHANNEL), threading.Event()
    waiting = threading.Thread(target=listener.wait, args=(600, stop))
    waiting.start()
    stop.set()
    waiting.join(10)
    assert not waiting.is_alive()
    listener.close()


def test_the_inbox_lets_a_message_in_once_per_consumer(migrated: Migrated) -> None:
    database, message = migrated("messaging"), uuid4()
    with database.transaction() as session:
        assert inbox.receive(session, "a", message)
        session.rollback()
    with database.transaction() as session:
        assert inbox.receive(session, "a", message)
        assert inbox.receive(session, "b", message)
    with database.transaction() as session:
        assert not inbox.receive(session, "a", message)


def test_purging_takes_old_history_and_never_what_waits(migrated: Migrated) -> None:
    database = migrated("messaging")
    with database.transaction() as session:
        for name in ("old", "new", "waiting"):
            outbox.add(session, UserDeletedV1(user_id=name), aggregate_id=name, aggregate_version=1)
            inbox.receive(session, name, uuid4())
        session.execute(text("UPDATE outbox SET published_at = now() WHERE aggregate_id = 'new'"))
        session.execute(
            text("UPDATE outbox SET published_at = now() - interval '2 days' WHERE aggregate_id = 'old'")
        )
        session.execute(text("UPDATE outbox SET created_at = now() - interval '1 year'"))
        session.execute(
            text("UPDATE inbox SET received_at = now() - interval '61 days' WHERE consumer = 'old'")
        )
    assert messaging.purge(database) == 2
    assert messaging.purge(database) == 0
    with database.read() as connection:
        left = connection.execute(text("SELECT aggregate_id FROM outbox ORDER BY seq")).scalars().all()
        consumers = connection.execute(text("SELECT consumer FROM inbox ORDER BY consumer")).scalars().all()
    assert left == ["new", "waiting"]
    assert consumers == ["new", "waiting"]
    assert messaging.purge(database, keep_published=timedelta(0)) == 1
