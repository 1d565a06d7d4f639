"""The web application of signals over a database, and the market that its tests look at."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import text

from services.signals.app import create_app
from services.signals.repository import feeds
from shared.db.engine import Database
from tests.shared.web.person import PUBLIC_KEYS, headers
from tests.signals import closing, market
from tests.signals.local_market import settings

SOURCE = "Recorded for <tests>."


def fill(database: Database, tickers: int = 5, steps: int = 170) -> None:
    """A market of some tickers after some hours, under all algorithms, fed by a replay."""
    closes = np.round(market.random_walk(steps, tickers, seed=21), 2)
    volumes = np.random.default_rng(22).uniform(1, 100, closes.shape)
    closing.close_all(database, market.batches(closes, volumes=volumes))
    with database.transaction() as session:
        feeds.open_feed(session, "test", "replay", SOURCE)


def fill_with_silence(database: Database) -> None:
    """The same market, of which T1 has fallen silent, and whose newest changes were decided late."""
    fill(database)
    with database.transaction() as session:
        session.execute(text("UPDATE ticker SET stale_since = '2020-01-08 06:00Z' WHERE ticker = 'T1'"))
        session.execute(text("UPDATE view_change SET late = true WHERE close_time > '2020-01-07Z'"))


def app(database: Database, **chosen: object) -> APIFlask:
    """The application."""
    return create_app(
        settings("postgresql+psycopg://nowhere/x", identity_public_keys=PUBLIC_KEYS, **chosen), database
    )


@contextmanager
def visitor(database: Database, **chosen: object) -> Iterator[FlaskClient]:
    """Somebody without a session."""
    with app(database, **chosen).test_client() as client:
        yield client


@contextmanager
def person(database: Database, **chosen: object) -> Iterator[FlaskClient]:
    """Somebody who is logged in."""
    with visitor(database, **chosen) as client:
        for name, value in headers().items():
            client.environ_base[f"HTTP_{name.upper().replace('-', '_')}"] = value
        yield client
