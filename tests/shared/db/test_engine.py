"""What counts as a database that is away, and what as work that failed."""

from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.db.engine import Database, is_away

Migrated = Callable[[str], Database]


def _failure(database: Database, *statements: str) -> DBAPIError:
    try:
        with database.transaction() as session:
            for statement in statements:
                session.execute(text(statement))
    except DBAPIError as error:
        return error
    raise AssertionError("nothing failed")


def test_a_read_only_database_is_away(migrated: Migrated) -> None:
    assert is_away(_failure(migrated("messaging"), "SET TRANSACTION READ ONLY", "DELETE FROM inbox"))


def test_a_cut_connection_is_away(migrated: Migrated) -> None:
    assert is_away(_failure(migrated("messaging"), "SELECT pg_terminate_backend(pg_backend_pid())"))


def test_a_server_that_is_not_there_is_away() -> None:
    nowhere = Database("postgresql+psycopg://nobody@127.0.0.1:1/none", application_name="test")
    assert is_away(_failure(nowhere, "SELECT 1"))


@pytest.mark.parametrize("statement", ["SELECT 1 / 0", "SELECT nothing", "INSERT INTO inbox DEFAULT VALUES"])
def test_work_that_fails_says_nothing_about_the_database(migrated: Migrated, statement: str) -> None:
    assert not is_away(_failure(migrated("messaging"), statement))


def test_a_statement_that_takes_too_long_says_nothing_about_the_database(migrated: Migrated) -> None:
    assert not is_away(
        _failure(migrated("messaging"), "SET LOCAL statement_timeout = '10ms'", "SELECT pg_sleep(5)")
    )
