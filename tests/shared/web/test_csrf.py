"""A write is taken from our own pages, and from nowhere else."""

import pytest
from flask.testing import FlaskClient

from tests.shared.web import person
from tests.shared.web.conftest import MakeApp, browser, csrf_of

OURS = "https://boritrader.test"
UNSAFE = ["POST", "PUT", "PATCH", "DELETE"]


def test_a_form_of_our_page_is_taken(client: FlaskClient) -> None:
    token = csrf_of(client)
    assert client.post("/form", data={"csrf_token": token}, headers={"Origin": OURS}).status_code == 200


@pytest.mark.parametrize("method", UNSAFE)
def test_a_script_of_our_page_is_taken(client: FlaskClient, method: str) -> None:
    token = csrf_of(client)
    answer = client.open(
        "/api/v1/things", method=method, json={"a": 1}, headers={"Origin": OURS, "X-CSRFToken": token}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("method", UNSAFE)
def test_no_token_is_403(client: FlaskClient, method: str) -> None:
    csrf_of(client)
    answer = client.open("/api/v1/things", method=method, json={}, headers={"Origin": OURS})
    assert answer.status_code == 403
    assert answer.json is not None
    assert answer.json["code"] == "csrf_failed"


def test_the_token_of_another_browser_is_403(make_app: MakeApp) -> None:
    app = make_app()
    theirs = csrf_of(browser(app))
    mine = browser(app)
    csrf_of(mine)
    assert mine.post("/form", data={"csrf_token": theirs}, headers={"Origin": OURS}).status_code == 403


def test_a_token_without_its_cookie_is_403(client: FlaskClient) -> None:
    token = csrf_of(client)
    client.delete_cookie("__Host-csrf", domain="boritrader.test")
    assert client.post("/form", data={"csrf_token": token}).status_code == 403


def test_the_token_of_one_service_is_good_at_another(make_app: MakeApp) -> None:
    one, other = browser(make_app()), browser(make_app())
    token = csrf_of(one)
    cookie = one.get_cookie("__Host-csrf", domain="boritrader.test")
    assert cookie is not None
    other.set_cookie("__Host-csrf", cookie.value, domain="boritrader.test")
    answer = other.post("/form", data={"csrf_token": token}, headers={"Origin": OURS})
    assert answer.status_code == 200


def test_a_cookie_signed_with_another_secret_is_403(make_app: MakeApp) -> None:
    forged = browser(make_app(secret_key="another-secret-of-thirty-two-chars"))
    token = csrf_of(forged)
    cookie = forged.get_cookie("__Host-csrf", domain="boritrader.test")
    assert cookie is not None
    victim = browser(make_app())
    victim.set_cookie("__Host-csrf", cookie.value, domain="boritrader.test")
    answer = victim.post("/form", data={"csrf_token": token}, headers={"Origin": OURS})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://boritrader.test"},
        {"Origin": "https://boritrader.test:8443"},
        {"Origin": "https://boritrader.test.evil.example"},
        {"Origin": "https://evil.boritrader.test"},
        {"Origin": "https://boritrader.test/"},
        {"Origin": f"{OURS}, https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Referer": "https://evil.example/https://boritrader.test/"},
        {"Referer": "https://boritrader.test@evil.example/"},
        {"Referer": "data:text/html,x"},
        {"Referer": "https://[broken"},
        {"Origin": "https://evil.example", "Host": "evil.example"},
    ],
)
def test_another_site_is_403_whatever_token_it_has(client: FlaskClient, headers: dict[str, str]) -> None:
    token = csrf_of(client)
    answer = client.post("/form", data={"csrf_token": token}, headers=headers)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Referer": "https://boritrader.test/login?x=1"},
        {"Referer": "https://boritrader.test:443/login"},
        {},
    ],
)
def test_our_own_site_is_known_by_what_the_browser_sends(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    token = csrf_of(client)
    assert client.post("/form", data={"csrf_token": token}, headers=headers).status_code == 200


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", ""],
)
def test_the_api_takes_json_only(client: FlaskClient, method: str, content_type: str) -> None:
    token = csrf_of(client)
    answer = client.open(
        "/api/v1/things",
        method=method,
        data=b'{"a": 1}',
        content_type=content_type,
        headers={"Origin": OURS, "X-CSRFToken": token},
    )
    assert answer.status_code == 415
    assert answer.content_type == "application/problem+json"


def test_the_api_takes_a_write_without_a_body(client: FlaskClient) -> None:
    token = csrf_of(client)
    answer = client.delete("/api/v1/things", headers={"Origin": OURS, "X-CSRFToken": token})
    assert answer.status_code == 200


def test_a_text_that_hides_json_from_another_site_is_refused(client: FlaskClient) -> None:
    answer = client.post(
        "/api/v1/things",
        data='{"a": "="}',
        content_type="text/plain",
        headers={"Origin": "https://evil.example", **person.headers()},
    )
    assert answer.status_code == 403


def test_a_bearer_token_needs_no_csrf_token(client: FlaskClient) -> None:
    answer = client.post(
        "/api/v1/things", json={}, headers={"Authorization": "Bearer abc", **person.headers()}
    )
    assert answer.status_code == 200


def test_a_bearer_token_beside_a_session_cookie_does(client: FlaskClient) -> None:
    client.set_cookie("__Host-session", "abc", domain="boritrader.test")
    answer = client.post("/api/v1/things", json={}, headers={"Authorization": "Bearer abc"})
    assert answer.status_code == 403


def test_basic_authentication_does_too(client: FlaskClient) -> None:
    answer = client.post("/api/v1/things", json={}, headers={"Authorization": "Basic YTpi"})
    assert answer.status_code == 403


def test_a_webhook_that_proves_itself_otherwise_is_let_through(client: FlaskClient) -> None:
    assert client.post("/webhook", data="x", headers={"Origin": "https://evil.example"}).status_code == 200


def test_reading_needs_nothing(client: FlaskClient) -> None:
    assert client.get("/form", headers={"Origin": "https://evil.example"}).status_code == 200


def test_a_page_tells_people_what_to_do(client: FlaskClient) -> None:
    answer = client.post("/form", data={}, headers={"Origin": OURS})
    assert answer.status_code == 403
    assert "This form has expired" in answer.text


@pytest.mark.parametrize(
    ("public_url", "name", "secure"),
    [("https://boritrader.test", "__Host-csrf", True), ("http://127.0.0.1:8000", "csrf", False)],
)
def test_the_cookie_is_as_safe_as_the_site(
    make_app: MakeApp, public_url: str, name: str, secure: bool
) -> None:
    cookie = browser(make_app(public_url=public_url)).get("/form").headers["Set-Cookie"]
    assert cookie.startswith(f"{name}=")
    parts = {part.strip() for part in cookie.split(";")}
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= parts
    assert ("Secure" in parts) is secure
    assert not any(part.startswith("Domain") for part in parts)
