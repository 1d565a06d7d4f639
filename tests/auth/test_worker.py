"""The worker of auth."""

from datetime import timedelta

from apiflask import APIFlask
from sqlalchemy import text

from services.auth import worker
from services.auth.config import Settings
from services.auth.constants import PURGE_BATCH, SESSION_IDLE, SESSION_LIFETIME
from shared.bus.local import LocalBus
from shared.db.engine import Database
from tests.auth.browser import Browser
from tests.auth.rows import rows
from tests.auth.test_api import age


def test_expired_sessions_are_removed_and_live_ones_stay(app: APIFlask, database: Database) -> None:
    idle, old, live = Browser(app), Browser(app), Browser(app)
    live.register()
    idle.log_in()
    age(database, seen=SESSION_IDLE)
    old.log_in()
    age(database, created=SESSION_LIFETIME)
    live.log_in()
    worker.purge_sessions(database)
    assert len(rows(database, "sessions")) == 1
    assert live.identity() is not None


def test_more_than_one_batch_of_expired_sessions_is_removed(app: APIFlask, database: Database) -> None:
    Browser(app).register()
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO sessions"
                " (id, token_digest, user_id, user_agent, address, created_at, last_seen_at)"
                " SELECT gen_random_uuid(), int4send(n), users.id, '', '', :long_ago, :long_ago"
                " FROM users, generate_series(1, :many) n"
            ),
            {
                "many": PURGE_BATCH * 2 + 1,
                "long_ago": rows(database, "users")[0]["created_at"] - timedelta(days=31),
            },
        )
    worker.purge_sessions(database)
    assert rows(database, "sessions") == []


def test_the_worker_relays_consumes_and_purges(settings: Settings, database: Database) -> None:
    names = [loop.name for loop in worker.loops(settings, database, LocalBus())]
    assert len(names) == len(set(names)) == 3
