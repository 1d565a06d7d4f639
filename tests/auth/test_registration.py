"""The page to register."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from apiflask import APIFlask

from shared.db.engine import Database
from tests.auth.browser import PASSWORD, Browser, without_varying
from tests.auth.conftest import CountingHasher
from tests.auth.rows import events, rows

READY = "Your account is ready if the address was new; log in."


def test_registering_opens_an_account_and_announces_it(browser: Browser, database: Database) -> None:
    answer = browser.register()
    assert (answer.status_code, answer.location) == (303, "/login?notice=registered")
    assert READY in browser.get(answer.location).text
    [user] = rows(database, "users")
    assert (user["user_name"], user["email"], user["role"]) == ("Ada", "ada@example.org", "user")
    assert user["password_hash"].startswith("$argon2id$")
    [event] = events(database)
    assert (event["type"], event["version"]) == ("auth.user_registered", 1)
    assert (event["aggregate_id"], event["aggregate_version"]) == (str(user["id"]), 1)
    assert event["data"] == {"user_id": str(user["id"]), "user_name": "Ada", "email": "ada@example.org"}


def test_the_event_belongs_to_the_request_that_caused_it(browser: Browser, database: Database) -> None:
    answer = browser.register()
    assert events(database)[0]["correlation_id"] == answer.headers["X-Request-ID"]


def test_the_address_given_on_the_front_page_stands_in_the_form(browser: Browser) -> None:
    page = browser.get('/register?email=ada%40example.org"><script>').text
    assert 'value="ada@example.org&#34;&gt;&lt;script&gt;"' in page


def test_registering_does_not_log_in(browser: Browser) -> None:
    browser.register()
    assert browser.token() is None


@pytest.mark.parametrize("known", ["ada@example.org", "ADA@EXAMPLE.ORG"])
def test_a_known_address_gets_the_same_answer_for_the_same_work_and_nothing_happens(
    app: APIFlask, database: Database, hasher: CountingHasher, known: str
) -> None:
    Browser(app).register("Ada", "ada@example.org")
    told = {}
    for name, address in (("Grace", "grace@example.org"), ("Mary", known)):
        browser, before = Browser(app), hasher.runs
        answer = browser.register(name, address)
        told[name] = (
            answer.status_code,
            answer.location,
            answer.headers.getlist("Set-Cookie") != [],
            without_varying(answer),
            without_varying(browser.get(answer.location)),
            hasher.runs - before,
        )
    assert told["Grace"] == told["Mary"]
    assert told["Mary"][-1] == 1
    assert {user["user_name"] for user in rows(database, "users")} == {"Ada", "Grace"}
    assert len(events(database)) == 2


def test_a_taken_user_name_is_told_whatever_its_case(app: APIFlask, database: Database) -> None:
    Browser(app).register("Ada", "ada@example.org")
    answer = Browser(app).register("ADA", "grace@example.org")
    assert answer.status_code == 422
    assert "This user name is taken." in answer.text
    assert len(rows(database, "users")) == len(events(database)) == 1


def test_a_taken_name_is_told_alike_for_known_and_unknown_addresses(app: APIFlask) -> None:
    Browser(app).register("Ada", "ada@example.org")
    unknown = Browser(app).register("Ada", "eve@example.org")
    known = Browser(app).register("Ada", "ada@example.org")
    assert without_varying(unknown).replace("eve@", "ada@") == without_varying(known)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"user_name": "a b"}, "This isn&#39;t a user name"),
        ({"user_name": ""}, "Please fill this in."),
        ({"user_name": "<script>alert(1)</script>"}, "This isn&#39;t a user name"),
        ({"email": "nowhere"}, "address that mail can be sent to"),
        ({"email": "a\x00@example.org"}, "address that mail can be sent to"),
        ({"password": "password1"}, "Too easy to guess."),
        ({"password": "x" * 1025}, "At most 1,024 characters."),
    ],
)
def test_what_is_not_acceptable_is_said_beside_the_field_and_changes_nothing(
    browser: Browser, database: Database, fields: dict[str, str], message: str
) -> None:
    answer = browser.register(**fields)
    assert answer.status_code == 422
    assert message in answer.text
    assert "<script>alert" not in answer.text
    assert rows(database, "users") == events(database) == []


def test_all_faults_are_said_at_once(browser: Browser) -> None:
    page = browser.register("a b", "nowhere", "password1").text
    for message in ("This isn&#39;t a user name", "address that mail can be sent to", "Too easy to guess."):
        assert message in page


def test_a_refused_form_keeps_what_was_typed_but_the_password(browser: Browser) -> None:
    answer = browser.register(user_name="a b", email="ada@example.org", password=PASSWORD)
    assert 'value="ada@example.org"' in answer.text
    assert PASSWORD not in answer.text


@pytest.mark.parametrize("field", ["role", "is_admin", "plan", "email_verified"])
def test_a_field_that_the_form_does_not_have_is_refused(
    browser: Browser, database: Database, field: str
) -> None:
    assert browser.register(**{field: "admin"}).status_code == 400
    assert rows(database, "users") == []


def test_a_field_that_comes_twice_is_refused(browser: Browser, database: Database) -> None:
    twice = ["ada@example.org", "eve@example.org"]
    assert (
        browser.post("/register", {"user_name": "Ada", "email": twice, "password": PASSWORD}).status_code
        == 400
    )
    assert rows(database, "users") == []


def test_without_a_csrf_token_nothing_happens(browser: Browser, database: Database) -> None:
    answer = browser.client.post(
        "/register", data={"user_name": "Ada", "email": "ada@example.org", "password": PASSWORD}
    )
    assert answer.status_code == 403
    assert rows(database, "users") == []


def test_of_many_who_want_one_name_at_once_one_gets_it(app: APIFlask, database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: Browser(app).register("Ada", f"ada{n}@example.org"), range(8)))
    assert sorted(answer.status_code for answer in answers) == [303] + [422] * 7
    assert len(rows(database, "users")) == len(events(database)) == 1


def test_an_address_registers_ten_times_an_hour(app: APIFlask) -> None:
    browser = Browser(app)
    answers = [browser.register(f"Ada{n}", f"ada{n}@example.org") for n in range(11)]
    assert [answer.status_code for answer in answers] == [303] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 3000
    assert Browser(app).register().status_code == 303


def test_a_refused_form_is_no_registration_but_sixty_attempts_are_enough(app: APIFlask) -> None:
    browser = Browser(app)
    refused = [browser.register("Ada", "ada@example.org", "too short").status_code for _ in range(49)]
    assert set(refused) == {422}
    accepted = [browser.register(f"Ada{n}", f"ada{n}@example.org").status_code for n in range(11)]
    assert accepted == [303] * 10 + [429]

    patient = Browser(app)
    sent = [patient.register("Bob", "bob@example.org", "too short").status_code for _ in range(61)]
    assert sent == [422] * 60 + [429]


def test_who_was_refused_finds_the_way_back_to_the_form(browser: Browser) -> None:
    answers = [browser.log_in("nobody", "wrong") for _ in range(6)]
    assert answers[-1].status_code == 429
    assert '<a class="button" href="/login">Back to the form' in answers[-1].text
    forged = browser.client.post("/register?next=%2Falerts", data={"csrf_token": "made up"})
    assert forged.status_code == 403
    assert 'href="/register?next=%2Falerts">Back to the form' in forged.text


def test_the_page_leads_on_to_where_somebody_was_going(browser: Browser) -> None:
    page = browser.get("/register?next=/tickers/BTCUSD")
    assert 'value="/tickers/BTCUSD"' in page.text
    answer = browser.register(next="/tickers/BTCUSD")
    assert answer.location == "/login?notice=registered&next=%2Ftickers%2FBTCUSD"


def test_who_is_logged_in_is_led_to_the_dashboard(browser: Browser) -> None:
    browser.register()
    browser.log_in()
    assert browser.get("/register").location == "/dashboard"
