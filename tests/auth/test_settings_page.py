"""The page of one's own account, and deleting it."""

import pytest
from apiflask import APIFlask

from shared.db.engine import Database
from tests.auth.browser import PASSWORD, Browser
from tests.auth.rows import events, rows


@pytest.fixture
def ada(app: APIFlask) -> Browser:
    browser = Browser(app)
    browser.register("Ada", "ada@example.org")
    browser.log_in()
    return browser


def test_the_page_is_for_people_who_are_logged_in(browser: Browser) -> None:
    answer = browser.get("/settings")
    assert (answer.status_code, answer.location) == (302, "/login?next=%2Fsettings")


def test_the_page_shows_the_profile(ada: Browser) -> None:
    page = ada.get("/settings").text
    assert "Ada" in page
    assert "ada@example.org" in page


def test_deleting_the_account_removes_it_with_all_sessions_and_announces_it(
    app: APIFlask, ada: Browser, database: Database
) -> None:
    phone = Browser(app)
    phone.log_in()
    [user] = rows(database, "users")
    answer = ada.post("/settings", {"password": PASSWORD})
    assert answer.status_code == 303
    assert "Your account is deleted." in ada.get(answer.location).text
    assert ada.token() is None
    assert phone.identity() is None
    assert rows(database, "users") == rows(database, "sessions") == []
    event = events(database)[-1]
    assert (event["type"], event["data"]) == ("auth.user_deleted", {"user_id": str(user["id"])})
    assert (event["aggregate_id"], event["aggregate_version"]) == (str(user["id"]), 2)


def test_the_name_and_the_address_of_a_deleted_account_are_free(app: APIFlask, ada: Browser) -> None:
    ada.post("/settings", {"password": PASSWORD})
    browser = Browser(app)
    assert browser.register("Ada", "ada@example.org").status_code == 303
    assert browser.log_in().status_code == 303


@pytest.mark.parametrize(
    ("password", "message"), [("not the password", "The password is wrong."), ("", "Please fill this in.")]
)
def test_without_the_password_nothing_is_deleted(
    ada: Browser, database: Database, password: str, message: str
) -> None:
    answer = ada.post("/settings", {"password": password})
    assert answer.status_code == 422
    assert message in answer.text
    assert len(rows(database, "users")) == len(rows(database, "sessions")) == len(events(database)) == 1


def test_a_field_that_the_form_does_not_have_is_refused(ada: Browser, database: Database) -> None:
    assert ada.post("/settings", {"password": PASSWORD, "user_id": "another"}).status_code == 400
    assert len(rows(database, "users")) == 1


def test_nobody_deletes_an_account_without_being_logged_in(browser: Browser) -> None:
    answer = browser.post("/settings", {"password": PASSWORD}, page="/login")
    assert (answer.status_code, answer.location) == (302, "/login")


def test_guesses_of_the_password_count_with_those_at_the_login(ada: Browser) -> None:
    answers = [
        ada.post("/settings", {"password": "not the password"}) for _ in range(5)
    ]  # the login was the first
    assert [answer.status_code for answer in answers] == [422] * 4 + [429]


def test_an_identity_that_outlives_its_account_is_led_to_the_login(app: APIFlask, ada: Browser) -> None:
    identity = ada.identity() or ""
    ada.post("/settings", {"password": PASSWORD})
    answer = app.test_client().get("/settings", headers={"X-Identity": identity})
    assert (answer.status_code, answer.location) == (303, "/login?notice=deleted")
