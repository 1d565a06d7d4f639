"""A market that was evaluated once, and copies of it to tamper with."""

from collections.abc import Iterator

import pytest

from services.signals.ledger.export import Folder, keep_head, write_out
from services.signals.runner import Runner
from shared.db.engine import Database
from tests.conftest import _Templates
from tests.signals import audited
from tests.signals.closing import ALL
from tests.signals.ledger.tampering import FIRST_DAY, Market

EARLY = 40
"""How many batches had been released on the day of the first exported head."""


@pytest.fixture(scope="module")
def market(_templates: _Templates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    name = _templates.copy("signals")
    database = Database(_templates._server.url(name), application_name="test")
    folder = tmp_path_factory.mktemp("heads")
    whole = audited.whole_market()
    runner = Runner(0, 1, ALL)
    audited.run(database, whole[:EARLY], [runner])
    keep_head(database, FIRST_DAY)
    audited.run(database, whole[EARLY:], [runner])
    keep_head(database, FIRST_DAY.replace(day=28))
    assert write_out(database, Folder(folder)) == 2
    database.dispose()
    yield Market(name, folder)
    _templates.drop(name)


@pytest.fixture
def database(market: Market, _templates: _Templates) -> Iterator[Database]:
    """A copy that may be tampered with."""
    name = _templates.copy_of(market.name)
    database = Database(_templates._server.url(name), application_name="test")
    yield database
    database.dispose()
    _templates.drop(name)
