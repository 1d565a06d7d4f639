"""Alive, ready, measured."""

from collections.abc import Callable

from flask.testing import FlaskClient

from shared.db.engine import Database
from tests.shared.web.conftest import MakeApp, browser


def test_alive_needs_no_database(client: FlaskClient) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "service": "demo"})


def test_not_ready_without_a_database(client: FlaskClient) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"status": "not ready", "service": "demo"})


def test_not_ready_before_the_migrations(make_app: MakeApp, database_url: Callable[..., str]) -> None:
    database = Database(database_url(), application_name="test-web")
    assert browser(make_app(service="auth", database=database)).get("/readyz").status_code == 503
    database.dispose()


def test_ready_on_a_migrated_database(make_app: MakeApp, migrated: Callable[[str], Database]) -> None:
    answer = browser(make_app(service="auth", database=migrated("auth"))).get("/readyz")
    assert answer.json == {"status": "ready", "service": "auth"}


def test_a_transaction_is_kept_or_undone_as_a_whole(
    make_app: MakeApp, migrated: Callable[[str], Database]
) -> None:
    client = browser(make_app(database=migrated("auth")))
    assert client.get("/api/v1/query").text == "1"
    assert client.get("/api/v1/store?v=x").json == {"value": "x"}


def test_a_value_that_the_database_cannot_hold_is_400(
    make_app: MakeApp, migrated: Callable[[str], Database]
) -> None:
    client = browser(make_app(database=migrated("auth")))
    assert client.get("/api/v1/store?v=a%00b").status_code == 400
    assert client.get("/api/v1/query?sql=SELECT%20999999999999::int").status_code == 400


def test_metrics_count_by_rule_and_never_by_what_callers_invent(client: FlaskClient) -> None:
    for path in ("/refuse/410", "/refuse/411", "/invented-1", "/invented-2"):
        client.get(path)
    client.open("/form", method="INVENTED")
    text = client.get("/metrics").text
    assert (
        'http_requests_total{method="GET",route="/refuse/<int:status>",service="demo",status="410"}' in text
    )
    assert 'route="unmatched"' in text
    assert "invented" not in text.lower()
    assert "http_request_seconds_bucket" in text
