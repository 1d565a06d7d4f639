"""Databases that tests share, or copy."""

from collections.abc import Callable, Iterator

import pytest

from embedded.postgres import PostgresServer
from shared.db.engine import Database
from tests.conftest import _Templates
from tests.signals import site

Fill = Callable[[Database], object]
Copied = Callable[[Fill], Database]


class _Originals:
    """Databases of signals as functions have filled them, each made once and then copied."""

    def __init__(self, server: PostgresServer, templates: _Templates) -> None:
        self._server = server
        self._templates = templates
        self._names: dict[Fill, str] = {}

    def copies(self) -> Iterator[Copied]:
        """What makes copies, which live until it is asked to go on."""
        made: list[tuple[str, Database]] = []

        def make(fill: Fill) -> Database:
            name = self._templates.copy_of(self._name(fill))
            made.append((name, self._open(name)))
            return made[-1][1]

        yield make
        for name, database in made:
            database.dispose()
            self._templates.drop(name)

    def _name(self, fill: Fill) -> str:
        if fill not in self._names:
            name = self._templates.copy("signals")
            database = self._open(name)
            fill(database)
            database.dispose()
            self._names[fill] = name
        return self._names[fill]

    def _open(self, name: str) -> Database:
        return Database(self._server.url(name), application_name="test", pool_size=10)


@pytest.fixture(scope="session")
def _originals(postgres: PostgresServer, _templates: _Templates) -> _Originals:
    return _Originals(postgres, _templates)


@pytest.fixture
def copied(_originals: _Originals) -> Iterator[Copied]:
    """``copied(fill)`` is a database of one's own as a function leaves it, which does so once a session."""
    yield from _originals.copies()


@pytest.fixture(scope="module")
def kept_copied(_originals: _Originals) -> Iterator[Copied]:
    """The same for what the tests of a module read together."""
    yield from _originals.copies()


@pytest.fixture
def filled(copied: Copied) -> Database:
    """A database of one's own with the market of `site.fill`."""
    return copied(site.fill)
