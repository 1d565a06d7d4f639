"""What auth keeps of billing's events."""

import uuid

import pytest
from sqlalchemy import text

from services.auth.handlers import HANDLERS
from shared.bus import Drop
from shared.contracts.billing import EntitlementChangedV1, Entitlements
from shared.contracts.envelope import Envelope
from shared.db.engine import Database
from tests.auth.browser import Browser
from tests.auth.rows import rows

ALL = Entitlements(alerts_max=None, channels=("mail",), api="write", scorecard=True)


def tell(database: Database, user_id: str, plan: str, version: int) -> None:
    """Handle the event as a consumer does."""
    event = EntitlementChangedV1(user_id=user_id, plan=plan, entitlements=ALL)
    envelope = Envelope.of(event, aggregate_id=user_id, aggregate_version=version)
    with database.transaction() as session:
        HANDLERS[EntitlementChangedV1](session, envelope)


def plans(database: Database) -> list[tuple[str, int]]:
    return [(row["plan"], row["version"]) for row in rows(database, "plans")]


@pytest.fixture
def user_id(browser: Browser, database: Database) -> str:
    browser.register()
    return str(rows(database, "users")[0]["id"])


def test_the_plan_follows_billing(database: Database, user_id: str) -> None:
    tell(database, user_id, "free", 1)
    tell(database, user_id, "pro", 2)
    assert plans(database) == [("pro", 2)]


def test_an_older_version_changes_nothing(database: Database, user_id: str) -> None:
    tell(database, user_id, "pro", 2)
    tell(database, user_id, "free", 1)
    assert plans(database) == [("pro", 2)]


def test_the_same_version_again_changes_nothing(database: Database, user_id: str) -> None:
    tell(database, user_id, "pro", 2)
    tell(database, user_id, "pro", 2)
    assert plans(database) == [("pro", 2)]


def test_the_plan_of_somebody_who_left_is_not_kept(database: Database, user_id: str) -> None:
    with database.transaction() as session:
        session.execute(text("DELETE FROM users"))
    tell(database, user_id, "pro", 2)
    tell(database, str(uuid.uuid4()), "pro", 1)
    assert plans(database) == []


def test_a_user_id_that_is_none_is_dropped(database: Database) -> None:
    with pytest.raises(Drop):
        tell(database, "ada", "pro", 1)
