"""Use cases of auth where the pages can't show them: one transaction, and races between its parts."""

import pytest
from apiflask import APIFlask
from sqlalchemy import text

from services.auth import service
from services.auth.constants import SESSIONS_TOLD
from services.auth.errors import WrongCredentials, WrongPassword
from services.auth.passwords import Passwords
from services.auth.service import Device
from services.auth.tokens import digest
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


def ended(database: Database) -> list[tuple[str, list[str]]]:
    """(user id, session ids) of each announcement that sessions ended."""
    told = [event["data"] for event in events(database) if event["type"] == "auth.session_ended"]
    return [(event["user_id"], event["session_ids"]) for event in told]


def session_id(database: Database, browser: Browser) -> str:
    token = browser.token()
    assert token is not None
    return next(str(row["id"]) for row in rows(database, "sessions") if row["token_digest"] == digest(token))


def test_a_logout_announces_the_end_of_its_session_alone(app: APIFlask, database: Database) -> None:
    here, there = Browser(app), Browser(app)
    here.register()
    for browser in (here, there):
        browser.log_in()
    [user] = rows(database, "users")
    gone = session_id(database, here)
    here.post("/logout", {}, page="/settings")
    assert ended(database) == [(str(user["id"]), [gone])]
    here.post("/logout", {}, page="/login")  # nothing is left to end
    assert len(ended(database)) == 1


def test_a_login_announces_the_end_of_the_session_in_whose_place_it_begins(
    browser: Browser, database: Database
) -> None:
    browser.register()
    token = browser.csrf_token("/login")  # the form in another tab, from before
    browser.log_in()
    gone = session_id(database, browser)
    browser.client.post(
        "/login",
        data={"csrf_token": token, "login": "ada@example.org", "password": PASSWORD},
        headers={"X-Real-IP": browser.address},
    )
    assert [ids for _, ids in ended(database)] == [[gone]]
    assert session_id(database, browser) != gone


def test_a_deleted_account_announces_the_end_of_all_its_sessions(
    browser: Browser, database: Database
) -> None:
    browser.register()
    browser.log_in()
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO sessions"
                " (id, token_digest, user_id, user_agent, address, created_at, last_seen_at)"
                " SELECT gen_random_uuid(), int4send(n), users.id, '', '', now(), now()"
                " FROM users, generate_series(1, :many) n"
            ),
            {"many": SESSIONS_TOLD},
        )
    own = sorted(str(row["id"]) for row in rows(database, "sessions"))
    browser.post("/settings", {"password": PASSWORD})
    told = [ids for _, ids in ended(database)]
    assert [len(ids) for ids in told] == [SESSIONS_TOLD, 1]
    assert sorted(id_ for ids in told for id_ in ids) == own
    assert rows(database, "users") == rows(database, "sessions") == []


def test_an_end_that_is_not_committed_is_not_announced(browser: Browser, database: Database) -> None:
    browser.register()
    browser.log_in()
    token = browser.token()
    assert token is not None

    def log_out() -> None:
        with database.transaction() as session:
            service.log_out(session, token)
            raise _Crash

    with pytest.raises(_Crash):
        log_out()
    assert ended(database) == []
    assert browser.identity() is not None


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
