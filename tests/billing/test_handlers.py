"""What billing does with auth's events, in whatever order they come."""

import json

import pytest

from services.billing.handlers import HANDLERS
from shared.contracts.auth import UserRegisteredV1
from shared.contracts.envelope import Envelope
from shared.contracts.registry import decode
from shared.db.engine import Database
from tests.billing.rows import accounts, delete, events, register


def test_who_registers_is_on_free_and_the_others_are_told_what_it_allows(database: Database) -> None:
    register(database, "ada")
    [account] = accounts(database)
    assert (account["user_id"], account["plan"], account["version"]) == ("ada", "free", 1)
    assert account["closed_at"] is None
    [event] = events(database)
    assert (event["type"], event["aggregate_id"], event["aggregate_version"]) == (
        "billing.entitlement_changed",
        "ada",
        1,
    )
    assert event["data"] == {
        "user_id": "ada",
        "plan": "free",
        "entitlements": {"alerts_max": 3, "channels": ["mail"], "api": "read", "scorecard": False},
    }
    decode("billing.entitlement_changed.v1", json.dumps(event).encode())


def test_a_second_word_of_the_same_registration_changes_nothing(database: Database) -> None:
    register(database, "ada")
    before = accounts(database)
    register(database, "ada")
    assert accounts(database) == before
    assert len(events(database)) == 1


def test_the_account_of_who_leaves_is_closed_and_kept(database: Database) -> None:
    register(database, "ada")
    register(database, "grace")
    delete(database, "ada")
    ada, grace = accounts(database)
    assert (ada["plan"], ada["closed_at"] is None) == ("free", False)
    assert grace["closed_at"] is None


def test_leaving_twice_keeps_the_first_time(database: Database) -> None:
    register(database, "ada")
    delete(database, "ada")
    [before] = accounts(database)
    delete(database, "ada")
    assert accounts(database) == [before]


def test_who_left_before_they_were_announced_never_gets_an_account(database: Database) -> None:
    delete(database, "ada")
    register(database, "ada")
    [account] = accounts(database)
    assert (account["plan"], account["closed_at"] is None) == (None, False)
    assert events(database) == []


class _Crash(Exception):
    """The process ends in the middle of a transaction."""


def test_a_message_that_fails_leaves_neither_account_nor_event(database: Database) -> None:
    event = UserRegisteredV1(user_id="ada", user_name="Ada", email="ada@example.org")
    envelope = Envelope.of(event, aggregate_id="ada", aggregate_version=1)

    def handle() -> None:
        with database.transaction() as session:
            HANDLERS[UserRegisteredV1](session, envelope)
            raise _Crash

    with pytest.raises(_Crash):
        handle()
    assert accounts(database) == events(database) == []
