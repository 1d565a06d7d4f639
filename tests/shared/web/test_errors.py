"""Errors in the form the caller understands, without a word of what is inside."""

import logging

import pytest
from flask.testing import FlaskClient

from tests.shared.web import person
from tests.shared.web.conftest import csrf_of

INSIDES = [
    "Traceback",
    "RuntimeError",
    "hunter2",
    "psycopg",
    "sqlalchemy",
    "127.0.0.1:1",
    "site-packages",
    "Werkzeug",
]


def test_the_api_answers_problem_details(client: FlaskClient) -> None:
    answer = client.get("/api/v1/refuse/409", headers={"X-Request-ID": "request-1"})
    assert answer.status_code == 409
    assert answer.content_type == "application/problem+json"
    assert answer.json == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "code": "no_such_luck",
        "detail": "It is <b>not</b> to be.",
        "request_id": "request-1",
        "errors": [{"field": "ticker", "message": "is unknown"}],
    }


def test_people_get_a_page_in_the_layout(client: FlaskClient) -> None:
    answer = client.get("/refuse/409")
    assert answer.content_type == "text/html; charset=utf-8"
    assert '<header class="site-header">' in answer.text
    assert "It is &lt;b&gt;not&lt;/b&gt; to be." in answer.text
    assert "<strong>ticker</strong>: is unknown" in answer.text


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json", True),
        ("application/problem+json", True),
        ("application/json, text/html;q=0.5", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("*/*", False),
        ("", False),
        ("image/png", False),
    ],
)
def test_what_the_caller_accepts_decides_outside_the_api(
    client: FlaskClient, accept: str, json: bool
) -> None:
    answer = client.get("/nowhere", headers={"Accept": accept})
    assert answer.status_code == 404
    assert (answer.content_type == "application/problem+json") is json


def test_a_refused_form_leads_back_to_where_it_was_filled_in(client: FlaskClient) -> None:
    page = client.post("/form?a=%22%3E1&b=2", data={"csrf_token": "made up"})
    assert page.status_code == 403
    assert '<a class="button" href="/form?a=%22%3E1&amp;b=2">Back to the form</a>' in page.text


@pytest.mark.parametrize(("method", "path"), [("GET", "/refuse/403"), ("POST", "/nowhere")])
def test_what_is_no_form_leads_to_the_start_page(client: FlaskClient, method: str, path: str) -> None:
    page = client.open(path, method=method)
    assert page.status_code >= 400
    assert "Back to the form" not in page.text
    assert "To the start page" in page.text


@pytest.mark.parametrize(
    ("path", "status", "heading"),
    [
        ("/nowhere", 404, "Nothing here"),
        ("/refuse/403", 403, "Not allowed"),
        ("/crash", 500, "Something went wrong"),
    ],
)
def test_each_page_says_what_happened(client: FlaskClient, path: str, status: int, heading: str) -> None:
    answer = client.get(path, headers={"X-Request-ID": "request-2"})
    assert answer.status_code == status
    assert f"<h1>{heading}</h1>" in answer.text
    assert "request-2" in answer.text


@pytest.mark.parametrize(
    "path", ["/crash", "/api/v1/crash", "/api/v1/query", "/readyz", "/refuse/500", "/nowhere"]
)
def test_nothing_of_the_inside_is_told(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    shown = answer.text + str(answer.headers)
    assert [word for word in INSIDES if word in shown] == []


def test_a_crash_is_in_the_log_with_its_cause(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        client.get("/crash")
    assert any(record.exc_info and "secret detail" in str(record.exc_info[1]) for record in caplog.records)


def test_a_database_that_is_away_is_503_and_a_reason_to_come_back(client: FlaskClient) -> None:
    answer = client.get("/api/v1/query")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json is not None
    assert answer.json["code"] == "service_unavailable"


def test_a_method_that_does_not_fit_says_which_do(client: FlaskClient) -> None:
    answer = client.put("/limited", headers={"Origin": "https://boritrader.test"})
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_a_body_against_the_schema_is_400_with_the_fields(client: FlaskClient) -> None:
    token = csrf_of(client)
    answer = client.post(
        "/api/v1/amounts", json={"amount": "x", "role": "admin"}, headers={"X-CSRFToken": token}
    )
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["code"] == "invalid_request"
    assert {fault["field"] for fault in answer.json["errors"]} == {"amount", "role"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"\xff\xfe",
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 1000 + b"]" * 1000,
        b'{"amount": NaN}',
        b'{"amount": 1e999}',
        b"null",
    ],
    ids=["cut", "empty", "no UTF-8", "very deep", "deep", "NaN", "infinite", "null"],
)
def test_a_broken_body_is_400(client: FlaskClient, body: bytes) -> None:
    token = csrf_of(client)
    answer = client.post(
        "/api/v1/amounts", data=body, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert answer.status_code == 400


@pytest.mark.parametrize(("nested", "status"), [(31, 200), (32, 400)])
def test_objects_may_hold_objects_within_reason(client: FlaskClient, nested: int, status: int) -> None:
    token = csrf_of(client)
    body = b'{"a":' * nested + b"[1]" + b"}" * nested
    answer = client.post(
        "/api/v1/things", data=body, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert answer.status_code == status


def test_a_body_too_large_is_413(client: FlaskClient) -> None:
    token = csrf_of(client)
    answer = client.post(
        "/api/v1/things",
        data=b" " * (1024 * 1024 + 1),
        content_type="application/json",
        headers={"X-CSRFToken": token},
    )
    assert answer.status_code == 413


def test_a_form_of_too_many_fields_is_413(client: FlaskClient) -> None:
    answer = client.post("/form", data={f"f{n}": "" for n in range(5000)})
    assert answer.status_code in (403, 413)


@pytest.mark.parametrize(
    "path", ["/%00", "/%ff", "/..%2f..%2fetc/passwd", "/a?b=%00&c=%ff", "/" + "a" * 4000]
)
def test_strange_addresses_are_404(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_signed_in_person_gets_the_way_home(client: FlaskClient) -> None:
    page = client.get("/nowhere", headers=person.headers()).text
    assert 'href="/dashboard">To the dashboard' in page
    assert "Log out Anna" in page


def test_people_who_must_log_in_get_the_way_there(client: FlaskClient) -> None:
    page = client.get("/whoever").text
    assert 'href="/login">Log in</a>' in page
