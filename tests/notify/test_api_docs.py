"""The document of the API of alerts and inbox."""

from collections.abc import Callable

from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.notify.conftest import Browser


def test_the_document_is_sound_and_lists_what_is_served(browser: Callable[..., Browser]) -> None:
    document = browser().get("/api/docs/notify.json").json
    assert document is not None
    OpenAPIV31SpecValidator(document).validate()
    assert set(document["paths"]) == {"/api/v1/alerts", "/api/v1/alerts/{alert_id}", "/api/v1/inbox"}
    ask = document["paths"]["/api/v1/alerts"]["post"]
    assert {"201", "400", "401", "403", "415"} <= set(ask["responses"])
    assert [each["name"] for each in ask["parameters"] if each["in"] == "header"] == ["X-CSRFToken"]


def test_the_page_shows_how_an_alert_is_asked_for(browser: Callable[..., Browser]) -> None:
    html = browser().get("/api/docs/notify").text
    assert "POST /api/v1/alerts" in html
    assert "DELETE /api/v1/alerts/{alert_id}" in html
    assert "X-CSRFToken" in html
    assert "Example of a body" in html
