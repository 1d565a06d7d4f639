"""Databases that tests of one module share."""

from collections.abc import Callable, Iterator

import pytest

from embedded.postgres import PostgresServer
from shared.db.engine import Database

StandingDatabases = Callable[[str], Database]


@pytest.fixture(scope="module")
def standing_databases(postgres: PostgresServer, _templates: object) -> Iterator[StandingDatabases]:
    """``standing_databases("signals")`` is a fresh database that lives as long as the module's tests.

    For tests that read only: to fill one takes seconds.
    """
    made: list[tuple[str, Database]] = []

    def make(service: str) -> Database:
        name = _templates.copy(service)  # type: ignore[attr-defined]
        made.append((name, Database(postgres.url(name), application_name=f"test-{service}")))
        return made[-1][1]

    yield make
    for name, database in made:
        database.dispose()
        _templates.drop(name)  # type: ignore[attr-defined]
