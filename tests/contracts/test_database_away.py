"""The database goes away under load: on both buses nothing is lost and nothing done twice."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from embedded.postgres import PostgresServer
from shared.contracts.auth import UserDeletedV1
from shared.contracts.envelope import Envelope
from shared.db import messaging, outbox
from shared.db.engine import Database
from tests.contracts.conftest import Buses, Effects, eventually


class FragileServer:
    """A PostgreSQL server that keeps its address over immediate stops."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = PostgresServer.start(folder)
        self.made: list[Database] = []

    def database(self, name: str) -> Database:
        self._server.create_database(name)
        database = Database(self._server.url(name), application_name=f"test-{name}")
        with database.engine.begin() as connection:
            messaging.create_v1(Operations(MigrationContext.configure(connection)))
        self.made.append(database)
        return database

    def crash(self) -> None:
        self._server.stop(immediate=True)

    def restart(self) -> None:
        self._server = PostgresServer.start(self._folder, port=self._server.port)


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[FragileServer]:
    server = FragileServer(tmp_path)
    yield server
    for database in server.made:
        database.dispose()
    server.crash()


def test_immediate_stops_of_the_database_lose_and_double_nothing(
    buses: Buses, fragile: FragileServer
) -> None:
    auth = fragile.database("auth")
    effects = Effects(fragile.database("billing"), buses)
    reached = {at: threading.Event() for at in ("60", "140")}

    def work(session: Session, envelope: Envelope[UserDeletedV1]) -> None:
        effects.note(session, envelope)
        if envelope.data.user_id in reached:
            reached[envelope.data.user_id].set()

    subscription = effects.subscription("billing.events.v1", {UserDeletedV1: work})
    with auth.transaction() as session:
        for n in range(200):
            outbox.add(session, UserDeletedV1(user_id=str(n)), aggregate_id="a", aggregate_version=n)
    buses.run(buses.bus.consumer(subscription), buses.relay(auth, subscription))
    for event in reached.values():
        assert event.wait(30)
        fragile.crash()
        fragile.restart()

    def all_noted() -> bool:
        try:
            return len(effects.notes()) >= 200
        except DBAPIError:
            return False

    eventually(all_noted)
    assert sorted(effects.notes(), key=int) == [str(n) for n in range(200)]
    assert effects.dead_letters("billing.events.v1") == []
