"""Migrations of every service: up, down, up, and no drift from the models."""

from collections.abc import Callable

import pytest
from alembic.util.exc import CommandError
from sqlalchemy import create_engine, inspect, text

from shared.db import migrate
from shared.db.engine import Database, NotMigrated
from shared.db.revisions import newest_revision

SERVICES = ("auth", "billing", "notify", "signals")
DatabaseUrl = Callable[..., str]


def _leftovers(url: str) -> set[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
        functions = connection.execute(
            text("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        )
        types = connection.execute(
            text("SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'")
        )
        found = tables | set(functions.scalars()) | set(types.scalars())
    engine.dispose()
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_up_down_up_leaves_nothing_between_and_no_drift_after(
    database_url: DatabaseUrl, service: str
) -> None:
    url = database_url()
    migrate.upgrade(service, url)
    migrate.downgrade(service, url)
    assert _leftovers(url) == set()
    migrate.upgrade(service, url)
    migrate.check(service, url)


def test_drift_from_the_models_is_told(database_url: DatabaseUrl) -> None:
    url = database_url("auth")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE outbox ADD COLUMN stray integer"))
    engine.dispose()
    with pytest.raises(CommandError, match="stray"):
        migrate.check("auth", url)


def test_a_database_is_ready_when_migrated(database_url: DatabaseUrl) -> None:
    database = Database(database_url(), application_name="test")
    with pytest.raises(NotMigrated, match="auth is at migration None"):
        database.ready("auth")
    database.dispose()
    migrated = Database(database_url("auth"), application_name="test")
    migrated.ready("auth")
    migrated.dispose()


def test_the_command_says_where_the_database_is(
    database_url: DatabaseUrl, capsys: pytest.CaptureFixture[str]
) -> None:
    url = database_url()
    assert migrate.main(["auth", "current", "--database-url", url]) == 0
    assert "auth: empty" in capsys.readouterr().out
    assert migrate.main(["auth", "--database-url", url]) == 0
    newest = newest_revision("auth")
    assert newest is not None
    assert f"auth: {newest}" in capsys.readouterr().out


def test_an_absent_server_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate.main(["auth", "--database-url", "postgresql+psycopg://u:secret@127.0.0.1:1/none"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("boritrader: auth: the database refuses:")
    assert "secret" not in message
