"""The page to log in, and logging out."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from apiflask import APIFlask

from services.auth.app import create_app
from services.auth.config import Settings
from services.auth.passwords import Passwords, argon2id
from services.auth.tokens import digest
from shared.db.engine import Database
from tests.auth.browser import PASSWORD, Browser, without_varying
from tests.auth.conftest import CountingHasher
from tests.auth.rows import rows


@pytest.fixture(autouse=True)
def _ada(app: APIFlask) -> None:
    Browser(app).register("Ada", "ada@example.org")


@pytest.mark.parametrize("login", ["ada@example.org", "ADA@Example.org", "Ada", "aDA", " Ada "])
def test_a_person_logs_in_by_address_or_name_in_any_case(
    browser: Browser, database: Database, login: str
) -> None:
    answer = browser.log_in(login)
    assert (answer.status_code, answer.location) == (303, "/dashboard")
    [session] = rows(database, "sessions")
    assert session["token_digest"] == digest(browser.token() or "")
    assert (session["user_agent"], session["address"]) == ("Firefox", browser.address)


def test_the_cookie_is_kept_from_scripts_and_other_sites(browser: Browser) -> None:
    [cookie] = [c for c in browser.log_in().headers.getlist("Set-Cookie") if c.startswith("session=")]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Path=/" in cookie


def test_with_tls_the_cookie_is_secure_and_bound_to_the_host(
    settings: Settings, database: Database, hasher: CountingHasher
) -> None:
    secure = settings.model_copy(update={"public_url": "https://boritrader.example"})
    browser = Browser(create_app(secure, database, passwords=Passwords(hasher)))
    token = browser.csrf_token("/login")
    csrf = browser.client.get_cookie("__Host-csrf")
    assert csrf is not None
    assert csrf.secure
    answer = browser.client.post(
        "/login",
        data={"csrf_token": token, "login": "Ada", "password": PASSWORD},
    )
    [cookie] = [c for c in answer.headers.getlist("Set-Cookie") if c.startswith("__Host-session=")]
    assert "Secure" in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize("login", ["ada@example.org", "Ada"])
def test_a_wrong_password_and_an_unknown_person_get_the_same_answer_for_the_same_work(
    app: APIFlask, hasher: CountingHasher, login: str
) -> None:
    told = []
    for name in (login, login.replace("a@", "x@").replace("Ada", "Adx"), "\x00" * len(login)):
        before = hasher.runs
        answer = Browser(app).log_in(name, "not the password")
        page = without_varying(answer).replace(f'value="{name}"', "")
        told.append((answer.status_code, page, hasher.runs - before))
    assert told[0] == told[1] == told[2]
    assert told[0][0] == 422
    assert "The name or the password is wrong." in told[0][1]
    assert told[0][2] == 1


def test_a_refused_login_leaves_no_session(browser: Browser, database: Database) -> None:
    browser.log_in(password="not the password")
    assert browser.token() is None
    assert rows(database, "sessions") == []


def test_a_session_id_set_before_the_login_is_worth_nothing_after_it(
    browser: Browser, database: Database
) -> None:
    browser.client.set_cookie("session", "chosen-by-an-attacker")
    browser.log_in()
    assert browser.token() != "chosen-by-an-attacker"
    assert [row["token_digest"] for row in rows(database, "sessions")] == [digest(browser.token() or "")]


def test_logging_in_again_ends_the_session_that_the_browser_came_with(app: APIFlask) -> None:
    browser, thief = Browser(app), Browser(app)
    browser.log_in()
    thief.client.set_cookie("session", browser.token() or "")
    assert thief.identity() is not None
    browser.post("/login", {"login": "Ada", "password": PASSWORD}, page="/settings")
    assert browser.identity() is not None
    assert thief.identity() is None


def test_the_sessions_of_other_devices_stay(app: APIFlask) -> None:
    phone, desktop = Browser(app), Browser(app)
    phone.log_in()
    desktop.log_in()
    assert phone.identity() is not None


def test_five_logins_a_minute_and_then_the_page_says_when_to_come_back(app: APIFlask) -> None:
    browser = Browser(app)
    answers = [browser.log_in(password="not the password") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [422] * 5 + [429]
    assert 50 <= int(answers[-1].headers["Retry-After"]) <= 61  # moving window, rounded up
    assert browser.log_in().status_code == 429
    assert Browser(app).log_in().status_code == 303


def test_of_fifty_logins_at_once_at_most_five_are_looked_at(app: APIFlask, hasher: CountingHasher) -> None:
    browser = Browser(app)
    token, cookie = browser.csrf_token("/login"), browser.client.get_cookie("csrf")
    assert cookie is not None
    before = hasher.runs

    def attempt(n: int) -> int:
        return (
            app.test_client(use_cookies=False)
            .post(
                "/login",
                data={"csrf_token": token, "login": "Ada", "password": f"guess number {n}"},
                headers={
                    "Cookie": f"csrf={cookie.value}",
                    "X-Real-IP": browser.address,
                    "X-Forwarded-For": f"192.0.2.{n}",
                    "Forwarded": f"for=192.0.2.{n}",
                },
            )
            .status_code
        )

    with ThreadPoolExecutor(50) as pool:
        statuses = sorted(pool.map(attempt, range(50)))
    assert statuses == [422] * 5 + [429] * 45
    assert hasher.runs - before == 5


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "/%09/evil.example",
        "javascript:alert(1)",
        "https://evil.example/",
        "\\\\evil",
    ],
)
def test_after_the_login_nobody_is_led_elsewhere(browser: Browser, target: str) -> None:
    assert target not in browser.get(f"/login?next={target}").text
    assert browser.log_in(next=target).location == "/dashboard"


def test_after_the_login_people_come_to_where_they_were_going(browser: Browser) -> None:
    assert 'value="/alerts?ticker=BTCUSD"' in browser.get("/login?next=/alerts%3Fticker%3DBTCUSD").text
    assert browser.log_in(next="/alerts?ticker=BTCUSD").location == "/alerts?ticker=BTCUSD"


def test_a_field_that_the_form_does_not_have_is_refused(browser: Browser) -> None:
    assert browser.log_in(role="admin").status_code == 400


def test_an_outdated_hash_is_renewed_at_the_next_login(
    settings: Settings, database: Database, browser: Browser
) -> None:
    stronger = create_app(settings, database, passwords=Passwords(argon2id(memory_kib=128, passes=1)))
    assert Browser(stronger).log_in().status_code == 303
    [user] = rows(database, "users")
    assert "m=128,t=1,p=1" in user["password_hash"]
    assert Browser(stronger).log_in().status_code == 303


def test_logging_out_ends_the_session_and_says_so(browser: Browser, database: Database) -> None:
    browser.log_in()
    token = browser.token() or ""
    answer = browser.post("/logout", {}, page="/settings")
    assert answer.status_code == 303
    assert "You are logged out." in browser.get(answer.location).text
    assert browser.token() is None
    assert rows(database, "sessions") == []
    browser.client.set_cookie("session", token)
    assert browser.identity() is None


def test_logging_out_takes_a_post_with_a_token(browser: Browser) -> None:
    browser.log_in()
    assert browser.get("/logout").status_code == 405
    assert browser.client.post("/logout").status_code == 403
    assert browser.identity() is not None


def test_logging_out_without_a_session_is_no_error(browser: Browser) -> None:
    assert browser.post("/logout", {}, page="/login").status_code == 303


def test_who_is_logged_in_is_led_on(browser: Browser) -> None:
    browser.log_in()
    assert browser.get("/login?next=/alerts").location == "/alerts"
    assert browser.get("/login?next=//evil.example").location == "/dashboard"
