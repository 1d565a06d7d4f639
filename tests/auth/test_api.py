"""The gateway's question who somebody is."""

import json
from datetime import timedelta

import pytest
from apiflask import APIFlask
from sqlalchemy import text

from services.auth.constants import SESSION_IDLE, SESSION_LIFETIME
from shared.db.engine import Database
from shared.web.identity import Verifier
from tests.auth.browser import Browser
from tests.auth.rows import rows


@pytest.fixture
def ada(app: APIFlask) -> Browser:
    browser = Browser(app)
    browser.register("Ada", "ada@example.org")
    browser.log_in()
    return browser


def age(database: Database, *, created: timedelta = timedelta(0), seen: timedelta = timedelta(0)) -> None:
    """Make all sessions older."""
    with database.transaction() as session:
        session.execute(
            text(
                "UPDATE sessions SET created_at = created_at - make_interval(secs => :created),"
                " last_seen_at = last_seen_at - make_interval(secs => :seen)"
            ),
            {"created": created.total_seconds(), "seen": seen.total_seconds()},
        )


def test_a_good_session_is_answered_with_a_signed_identity(
    ada: Browser, database: Database, identity_key: tuple[str, str]
) -> None:
    identity = Verifier(identity_key[1]).verify(ada.identity() or "")
    assert identity.user_id == str(rows(database, "users")[0]["id"])
    assert identity.session_id == str(rows(database, "sessions")[0]["id"])
    assert (identity.user_name, identity.role, identity.plan) == ("Ada", "user", "free")


@pytest.mark.parametrize("token", [None, "", "unknown", "\x00", "é", "x" * 8000])
def test_without_a_good_session_the_answer_is_200_without_identity(
    browser: Browser, token: str | None
) -> None:
    headers = {} if token is None else {"Cookie": f"session={token}"}
    answer = browser.app.test_client(use_cookies=False).get("/internal/identity", headers=headers)
    assert answer.status_code == 200
    assert "X-Identity" not in answer.headers
    assert answer.data == b""


def test_the_plan_is_what_billing_last_said(
    ada: Browser, database: Database, identity_key: tuple[str, str]
) -> None:
    with database.transaction() as session:
        session.execute(text("INSERT INTO plans (user_id, plan, version) SELECT id, 'pro', 2 FROM users"))
    assert Verifier(identity_key[1]).verify(ada.identity() or "").plan == "pro"


def test_a_session_ends_after_thirty_days_without_use(ada: Browser, database: Database) -> None:
    age(database, seen=SESSION_IDLE - timedelta(minutes=1))
    assert ada.identity() is not None
    age(database, seen=SESSION_IDLE)
    assert ada.identity() is None


def test_a_session_ends_after_ninety_days_however_much_it_is_used(ada: Browser, database: Database) -> None:
    age(database, created=SESSION_LIFETIME - timedelta(minutes=1))
    assert ada.identity() is not None
    age(database, created=timedelta(minutes=1))
    assert ada.identity() is None


def test_the_last_use_is_written_down_at_most_once_a_minute(ada: Browser, database: Database) -> None:
    age(database, seen=timedelta(seconds=50))
    [before] = rows(database, "sessions")
    ada.identity()
    assert rows(database, "sessions") == [before]
    age(database, seen=timedelta(seconds=10))
    ada.identity()
    [after] = rows(database, "sessions")
    assert after["last_seen_at"] - before["last_seen_at"] > timedelta(seconds=45)


def test_the_public_keys_are_those_that_verify(ada: Browser) -> None:
    keys = ada.client.get("/internal/jwks.json").get_json()
    assert all("d" not in key for key in keys["keys"])
    Verifier(json.dumps(keys)).verify(ada.identity() or "")
