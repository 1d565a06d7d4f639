"""The page of the API's document, for people."""

import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from shared.db.engine import Database
from tests.signals import site


@pytest.fixture
def stranger() -> Iterator[FlaskClient]:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none", application_name="test")
    with site.visitor(database) as client:
        yield client


def test_the_document_is_for_everybody_and_names_where_it_is_served(stranger: FlaskClient) -> None:
    answer = stranger.get("/api/docs/signals.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.json is not None
    assert answer.json["servers"] == [{"url": "http://127.0.0.1:8000"}]
    assert all(path.startswith("/api/v1/") for path in answer.json["paths"])
    again = stranger.get("/api/docs/signals.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_the_page_lists_every_endpoint_with_parameters_answers_and_errors(stranger: FlaskClient) -> None:
    document = stranger.get("/api/docs/signals.json").json
    html = stranger.get("/api/docs").text
    assert document is not None
    for path, item in document["paths"].items():
        operation = item["get"]
        section = re.search(rf'<section [^>]*id="{operation["operationId"]}".*?</section>', html, re.DOTALL)
        assert section is not None
        assert path in section[0]
        assert operation["summary"] in section[0]
        for parameter in operation["parameters"]:
            assert f"<code>{parameter['name']}</code>" in section[0]
        for status in operation["responses"]:
            assert f"<dt>{status}</dt>" in section[0]
    assert "one of BUY, SELL, HOLD" in html
    assert "integer, 1 to 500; 100 unless given" in html
    assert "<code>items[].why[].threshold</code>" in html
    assert 'href="/api/docs/notify"' in html


def test_the_page_holds_no_inline_script_or_style_and_loads_nothing_from_elsewhere(
    stranger: FlaskClient,
) -> None:
    answer = stranger.get("/api/docs")
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", answer.text)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', answer.text)


def test_what_needs_no_login_says_so(stranger: FlaskClient) -> None:
    document = stranger.get("/api/docs/signals.json").json
    assert document is not None
    free = [path for path, item in document["paths"].items() if item["get"].get("security") == []]
    assert free == ["/api/v1/track-record"]
    closed = [path for path, item in document["paths"].items() if "401" in item["get"]["responses"]]
    assert sorted(free + closed) == sorted(document["paths"])


def test_the_footer_of_every_page_leads_there(stranger: FlaskClient) -> None:
    assert '<a href="/api/docs">API</a>' in stranger.get("/api/docs").text
