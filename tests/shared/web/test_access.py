"""Every request has an id."""

import logging
import re

import pytest
from flask.testing import FlaskClient

from shared.logs import correlation_id


def test_the_gateways_id_is_kept(client: FlaskClient) -> None:
    answer = client.get("/form", headers={"X-Request-ID": "8f14e45fceea167a5a36dedd4bea2543"})
    assert answer.headers["X-Request-ID"] == "8f14e45fceea167a5a36dedd4bea2543"


@pytest.mark.parametrize(
    "given", [None, "", "short", "x" * 65, "with spaces in", 'quote"quote', "<script>", "a\x1b[31mb12345"]
)
def test_without_a_good_one_a_new_one_is_made(client: FlaskClient, given: str | None) -> None:
    answer = client.get("/form", headers={} if given is None else {"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_events_of_the_request_carry_it(client: FlaskClient) -> None:
    client.application.add_url_rule("/seen", view_func=correlation_id)
    assert client.get("/seen", headers={"X-Request-ID": "request-17"}).text == "request-17"


def test_the_log_names_the_route_and_no_secret_of_the_path(
    client: FlaskClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client.get("/refuse/410?token=hunter2")
    logged = caplog.text + capsys.readouterr().out
    assert "/refuse/<int:status>" in logged
    assert "hunter2" not in logged


def test_what_the_thread_does_after_a_request_is_no_longer_its_cause(client: FlaskClient) -> None:
    answer = client.get("/page")
    assert correlation_id() != answer.headers["X-Request-ID"]
