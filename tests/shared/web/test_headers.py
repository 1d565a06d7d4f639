"""Every answer carries the security headers."""

import pytest
from flask.testing import FlaskClient

from shared.web.headers import content_security_policy
from shared.web.origin import parse
from tests.shared.web.conftest import MakeApp, browser

PATHS = ["/form", "/nowhere", "/api/v1/private", "/private", "/crash", "/healthz", "/limited"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_them(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_the_policy_allows_nothing_inline_and_nobody_else(client: FlaskClient) -> None:
    policy = client.get("/form").headers["Content-Security-Policy"]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert "unsafe" not in policy
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == "'self'"
    assert directives["connect-src"] == "'self' wss://boritrader.test"
    assert directives["base-uri"] == "'none'"
    assert directives["form-action"] == "'self'"


def test_plain_localhost_has_no_hsts_and_a_plain_socket(make_app: MakeApp) -> None:
    headers = browser(make_app(public_url="http://127.0.0.1:8000")).get("/form").headers
    assert "Strict-Transport-Security" not in headers
    assert "connect-src 'self' ws://127.0.0.1:8000" in headers["Content-Security-Policy"]
    assert "upgrade-insecure-requests" not in headers["Content-Security-Policy"]


def test_a_view_keeps_its_own(client: FlaskClient) -> None:
    headers = client.get("/framed").headers
    assert headers.get_all("Content-Security-Policy") == ["sandbox"]
    assert headers["Cache-Control"] == "private"


def test_a_page_can_widen_a_single_directive() -> None:
    policy = content_security_policy(
        parse("https://boritrader.test"), frame_src="'self'", img_src="'self' cid:"
    )
    assert "frame-src 'self'" in policy
    assert "img-src 'self' cid:" in policy
    assert "script-src 'self'" in policy


@pytest.mark.parametrize(
    ("url", "text", "host", "secure"),
    [
        ("https://boritrader.test/", "https://boritrader.test", "boritrader.test", True),
        ("https://boritrader.test:443", "https://boritrader.test", "boritrader.test", True),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "127.0.0.1:8000", False),
        ("http://[::1]:8000", "http://[::1]:8000", "[::1]:8000", False),
        ("HTTPS://Boritrader.Test", "https://boritrader.test", "boritrader.test", True),
    ],
)
def test_the_origin_is_written_as_browsers_write_it(url: str, text: str, host: str, secure: bool) -> None:
    assert parse(url) == (text, host, secure)


@pytest.mark.parametrize(
    "url", ["ftp://boritrader.test", "boritrader.test", "https://", "javascript:alert(1)"]
)
def test_a_public_url_that_is_none_stops_the_start(make_app: MakeApp, url: str) -> None:
    with pytest.raises(ValueError, match="PUBLIC_URL"):
        make_app(public_url=url)
