"""Use cases of auth where the pages can't show them: one transaction, and races between its parts."""

import pytest
from sqlalchemy import text

from services.auth import service
from services.auth.errors import WrongCredentials, WrongPassword
from services.auth.passwords import Passwords
from services.auth.service import Device
from shared.db.engine import Database
from tests.auth.browser import PASSWORD, Browser
from tests.auth.conftest import CountingHasher
from tests.auth.rows import events, rows


class _Crash(Exception):
    """The process ends in the middle of a transaction."""


@pytest.fixture
def passwords(hasher: CountingHasher) -> Passwords:
    return Passwords(hasher)


def test_a_registration_that_fails_leaves_neither_account_nor_event(
    database: Database, passwords: Passwords
) -> None:
    prepared = service.prepare_registration(passwords, "Ada", "ada@example.org", PASSWORD)

    def register() -> None:
        with database.transaction() as session:
            service.register(session, prepared)
            raise _Crash

    with pytest.raises(_Crash):
        register()
    assert rows(database, "users") == events(database) == []


def test_a_deletion_that_fails_leaves_the_account_and_no_event(
    browser: Browser, database: Database, passwords: Passwords
) -> None:
    browser.register()
    [user] = rows(database, "users")
    with database.read() as connection:
        person = service.own_credentials(connection, str(user["id"]))
    verified = service.verify_again(passwords, person, PASSWORD)

    def close() -> None:
        with database.transaction() as session:
            service.close_account(session, verified)
            raise _Crash

    with pytest.raises(_Crash):
        close()
    assert rows(database, "users") == [user]
    assert len(events(database)) == 1


def test_a_password_changed_while_it_was_verified_opens_nothing(
    browser: Browser, database: Database, passwords: Passwords
) -> None:
    browser.register()
    with database.read() as connection:
        person = service.find_credentials(connection, "Ada")
    verified = service.verify_login(passwords, person, PASSWORD)
    with database.transaction() as session:
        session.execute(text("UPDATE users SET password_hash = 'another'"))
    with pytest.raises(WrongCredentials), database.transaction() as session:
        service.log_in(session, verified, Device("Firefox", "192.0.2.1"), previous=None)
    with pytest.raises(WrongPassword), database.transaction() as session:
        service.close_account(session, verified.credentials)
    assert rows(database, "sessions") == []
    assert len(rows(database, "users")) == 1


def test_an_overlong_user_agent_is_cut(browser: Browser, database: Database) -> None:
    browser.register()
    browser.user_agent = "x" * 5000
    browser.log_in()
    assert rows(database, "sessions")[0]["user_agent"] == "x" * 300


def test_a_known_address_costs_a_write_to_the_disk_as_a_new_one_does(
    browser: Browser, database: Database, passwords: Passwords
) -> None:
    def written_by() -> int:
        with database.read() as connection:
            return int(connection.execute(text("SELECT xmin::text::bigint FROM users")).scalar_one())

    browser.register("Ada", "ada@example.org")
    before, [user] = written_by(), rows(database, "users")
    prepared = service.prepare_registration(passwords, "Eve", "ADA@example.org", PASSWORD)
    with database.transaction() as session:
        service.register(session, prepared)
    assert written_by() > before
    assert rows(database, "users") == [user]
