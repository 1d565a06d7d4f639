"""Servers that tests share, and fresh databases made from migrated templates."""

import itertools
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from psycopg import sql
from sqlalchemy import create_engine

from embedded.postgres import PostgresServer
from embedded.valkey import ValkeyServer
from shared import logs
from shared.db import messaging, migrate
from shared.db.engine import Database
from tests.support.mailbox import Mailbox
from tests.support.rabbitmq import RabbitServer
from tests.support.stack import Stack

logs.use_standard_logging()

DROP_TRIES = 10
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--full-size``: the reliability tests at the size of their promises (``make chaos``)."""
    parser.addoption("--full-size", action="store_true", help="run the tests of reliability at full size")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the whole product come last, one after the other: the recording that it replays ends."""
    items.sort(key=lambda item: "stack" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def full_size(request: pytest.FixtureRequest) -> bool:
    """Whether the reliability tests run at the size of their promises."""
    return bool(request.config.getoption("--full-size"))


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """A folder for servers' files, gone after the session."""
    folder = Path(tempfile.mkdtemp(prefix="boritrader-test-"))
    folder.chmod(0o711)  # servers may run as another user
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(server_dir: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL server of the session's own."""
    server = PostgresServer.start(server_dir / "postgres", durable=False)
    yield server
    server.stop(immediate=True)


@pytest.fixture(scope="session")
def valkey(server_dir: Path) -> Iterator[ValkeyServer]:
    """A Valkey server of the session's own; keys of other tests may be in it."""
    server = ValkeyServer.start(server_dir / "valkey")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer]:
    """A RabbitMQ node of the session's own; use queue names of your own, or a virtual host of `new_vhost`."""
    with RabbitServer() as server:
        yield server


class _Templates:
    """Migrated databases to copy from, one for each service that a test asks for."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._made: set[str] = set()

    def copy(self, service: str | None) -> str:
        """The name of a fresh database: a service's, ``messaging`` with its tables alone, or an empty one."""
        if service is not None and service not in self._made:
            self._server.create_database(f"template_{service}")
            self._migrate(service, self._server.url(f"template_{service}"))
            self._made.add(service)
        return self.copy_of(f"template_{service}" if service else "template1")

    def copy_of(self, database: str) -> str:
        """The name of a fresh copy of a database that nobody is connected to."""
        name = f"test_{database.removeprefix('template_')}_{next(_numbers)}"
        self._administer("CREATE DATABASE {} TEMPLATE {}", name, database)
        return name

    def drop(self, name: str) -> None:
        """Drop a copy, whoever is still connected; an autovacuum worker that is at it ends soon by itself."""
        for _ in range(DROP_TRIES):
            try:
                self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
            except psycopg.errors.InsufficientPrivilege:
                threading.Event().wait(0.5)
            else:
                return
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _migrate(self, service: str, url: str) -> None:
        if service != "messaging":
            migrate.upgrade(service, url)
            return
        engine = create_engine(url)
        with engine.begin() as connection:
            messaging.create_v1(Operations(MigrationContext.configure(connection)))
        engine.dispose()

    def _administer(self, statement: str, *names: str) -> None:
        with psycopg.connect(
            self._server.url("postgres").replace("+psycopg", ""), autocommit=True
        ) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture(scope="session")
def _templates(postgres: PostgresServer) -> _Templates:
    return _Templates(postgres)


def _database_urls(server: PostgresServer, templates: _Templates) -> Iterator[Callable[[str | None], str]]:
    made: list[str] = []

    def make(service: str | None = None) -> str:
        made.append(templates.copy(service))
        return server.url(made[-1])

    yield make
    for name in made:
        templates.drop(name)


@pytest.fixture
def database_url(postgres: PostgresServer, _templates: _Templates) -> Iterator[Callable[[str | None], str]]:
    """``database_url("auth")`` makes a fresh migrated database, ``database_url()`` an empty one."""
    yield from _database_urls(postgres, _templates)


@pytest.fixture(scope="module")
def kept_database_url(
    postgres: PostgresServer, _templates: _Templates
) -> Iterator[Callable[[str | None], str]]:
    """The same for what the tests of a module read together."""
    yield from _database_urls(postgres, _templates)


@pytest.fixture
def migrated(database_url: Callable[[str | None], str]) -> Iterator[Callable[[str], Database]]:
    """``migrated("auth")`` is a fresh database of auth, ``migrated("messaging")`` has messaging alone."""
    made: list[Database] = []

    def make(service: str) -> Database:
        made.append(Database(database_url(service), application_name=f"test-{service}"))
        return made[-1]

    yield make
    for database in made:
        database.dispose()


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    """The mail server that the stack sends to."""
    with Mailbox() as mailbox:
        yield mailbox


@pytest.fixture(scope="session")
def stack(
    server_dir: Path, postgres: PostgresServer, rabbitmq: RabbitServer, valkey: ValkeyServer, mailbox: Mailbox
) -> Iterator[Stack]:
    """The whole product, every process on its own, on a replay of the demo data; started once."""
    folder = server_dir / "stack"
    folder.mkdir(mode=0o711)
    settings = {"MAIL_URL": mailbox.url, "REPLAY_SPEED": "3", "REPLAY_WARMUP": "150"}
    with Stack(folder, postgres, rabbitmq.new_vhost(), valkey.url, settings) as stack:
        yield stack
