"""Databases that tests of one module share."""

from collections.abc import Callable, Iterator

import pytest

from embedded.postgres import PostgresServer
from shared.db.engine import Database
from tests.conftest import _Templates
from tests.signals import site

StandingDatabases = Callable[[str], Database]


@pytest.fixture(scope="module")
def standing_databases(postgres: PostgresServer, _templates: _Templates) -> Iterator[StandingDatabases]:
    """``standing_databases("signals")`` is a fresh database that lives as long as the module's tests.

    For tests that read only: to fill one takes seconds.
    """
    made: list[tuple[str, Database]] = []

    def make(service: str) -> Database:
        name = _templates.copy(service)
        made.append((name, Database(postgres.url(name), application_name=f"test-{service}")))
        return made[-1][1]

    yield make
    for name, database in made:
        database.dispose()
        _templates.drop(name)


@pytest.fixture(scope="session")
def _filled(postgres: PostgresServer, _templates: _Templates) -> str:
    name = _templates.copy("signals")
    database = Database(postgres.url(name), application_name="test")
    site.fill(database)
    database.dispose()
    return name


@pytest.fixture
def filled(postgres: PostgresServer, _templates: _Templates, _filled: str) -> Iterator[Database]:
    """A database of one's own with the market of `site.fill`, which takes seconds once and is copied."""
    name = _templates.copy_of(_filled)
    database = Database(postgres.url(name), application_name="test", pool_size=10)
    yield database
    database.dispose()
    _templates.drop(name)
