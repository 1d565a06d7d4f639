"""What the gateway itself answers: the site, static files, error pages, headers, and the log of it."""

import gzip
import json
import re
import socket
import threading
import time
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from embedded.nginx import NginxServer
from embedded.processes import free_port
from gateway.build_site import ERRORS
from tests.gateway.conftest import Gateway, settings
from tests.support import wire
from tests.support.upstreams import Seen, Upstream, answer

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.mark.parametrize(
    "target", ["/", "/static/shared/app-ABCDEF12.css", "/none", "/%2e", "/api/none", "/robots.txt"]
)
def test_security_headers_are_on_every_answer(gateway: Gateway, target: str) -> None:
    reply = gateway.request(target)
    assert {name: reply.header(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    policy = reply.header("Content-Security-Policy")
    assert policy is not None
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert reply.header("Server") == "nginx"


def test_headers_of_a_service_win_and_never_come_twice(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def respond(handler: BaseHTTPRequestHandler, _seen: Seen) -> None:
        answer(
            handler,
            200,
            {},
            {"Content-Security-Policy": "own", "X-Frame-Options": "SAMEORIGIN", "X-Identity": "leak"},
        )

    monkeypatch.setattr(gateway.services["signals"], "respond", respond)
    reply = gateway.request("/dashboard")
    assert (reply.header("Content-Security-Policy"), reply.header("X-Frame-Options")) == ("own", "SAMEORIGIN")
    assert reply.header("X-Identity") is None


def test_each_request_gets_an_id_of_our_own(gateway: Gateway) -> None:
    reply = gateway.request("/dashboard", ("X-Request-ID", "mine"))
    (seen,) = gateway.services["signals"].seen
    assert seen.values("X-Request-ID") == [reply.header("X-Request-ID")]
    assert re.fullmatch("[0-9a-f]{32}", reply.header("X-Request-ID") or "")


def test_hashed_files_are_kept_for_good_and_others_are_asked_for_again(gateway: Gateway) -> None:
    hashed = gateway.request("/static/shared/app-ABCDEF12.css")
    assert (hashed.status, hashed.header("Content-Type")) == (200, "text/css; charset=utf-8")
    assert hashed.header("Cache-Control") == "public, max-age=31536000, immutable"
    assert gateway.request("/static/licenses.txt").header("Cache-Control") == "no-cache"
    assert gateway.request("/static/manifest.json").header("Cache-Control") == "no-cache"
    assert gateway.request("/static/shared/app-ABCDEF13.css").header("Cache-Control") == "no-store"


def test_files_are_not_asked_for_with_an_identity(gateway: Gateway) -> None:
    gateway.request("/static/shared/app-ABCDEF12.css", ("Cookie", "session=x"))
    gateway.request("/", ("Cookie", "session=x"))
    assert gateway.auth.asked.total() == 0


def test_text_is_packed_for_who_can_read_it(gateway: Gateway) -> None:
    reply = gateway.request("/static/shared/app-ABCDEF12.css", ("Accept-Encoding", "gzip"))
    assert reply.header("Content-Encoding") == "gzip"
    assert reply.header("Vary") == "Accept-Encoding"
    assert gateway.request("/static/shared/app-ABCDEF12.css").header("Content-Encoding") is None


def test_an_unchanged_file_is_not_sent_again(gateway: Gateway) -> None:
    tag = gateway.request("/static/shared/app-ABCDEF12.css").header("ETag")
    assert tag
    assert gateway.request("/static/shared/app-ABCDEF12.css", ("If-None-Match", tag)).status == 304


@pytest.mark.parametrize("path", ["/static/", "/static/shared/"])
def test_a_folder_among_the_files_looks_like_any_page_that_is_not_there(gateway: Gateway, path: str) -> None:
    assert gateway.request(path).body == gateway.request("/none").body


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_files_only_take_get(gateway: Gateway, method: str) -> None:
    assert gateway.request("/robots.txt", method=method).status == 405


def test_robots_are_kept_off_accounts_and_the_api(gateway: Gateway) -> None:
    reply = gateway.request("/robots.txt")
    assert (reply.status, reply.header("Content-Type")) == (200, "text/plain; charset=utf-8")
    lines = reply.body.decode().splitlines()
    assert lines[0] == "User-agent: *"
    for path in ("/login", "/register", "/settings", "/sys-admin", "/api/"):
        assert f"Disallow: {path}" in lines


def test_errors_are_a_page_for_people_and_problem_json_for_scripts(gateway: Gateway) -> None:
    page = gateway.request("/none")
    assert (page.status, page.header("Content-Type")) == (404, "text/html; charset=utf-8")
    assert b"There is no such page" in page.body
    problem = gateway.request("/api/v1/none")
    assert (problem.status, problem.header("Content-Type")) == (404, "application/problem+json")
    assert json.loads(problem.body)["status"] == 404


def test_every_error_has_both_of_its_files(site: Path) -> None:
    for status in ERRORS:
        assert (site / "site" / "_error" / f"{status}.html").is_file()
        assert json.loads((site / "site" / "_error" / f"{status}.json").read_text())["status"] == status


def test_an_error_of_a_service_is_its_own_to_explain(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        gateway.services["signals"], "respond", lambda handler, _: answer(handler, 404, {"own": True})
    )
    reply = gateway.request("/dashboard")
    assert (reply.status, json.loads(reply.body)) == (404, {"own": True})


def test_the_site_loads_nothing_from_elsewhere_and_nothing_inline(gateway: Gateway) -> None:
    class Page(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.links: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            given = dict(attrs)
            assert tag != "style"
            assert "style" not in given
            assert not [name for name in given if name.startswith("on")]
            assert tag != "script" or given.get("src")
            self.links += [value for name in ("src", "href", "action") if (value := given.get(name))]

    page = Page()
    page.feed(gateway.request("/").body.decode())
    assert [link for link in page.links if not link.startswith(("/", "#")) or link.startswith("//")] == []
    for link in page.links:
        if link.startswith("/static/"):
            assert gateway.request(link).status == 200, link


def test_a_websocket_passes(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(
            b"GET /ws/notifications?since=3 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: WebSocket\r\n"
            b"Connection: keep-alive, Upgrade\r\nOrigin: http://127.0.0.1\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        connection.sendall(b"through the tunnel\r\n")
        received = b""
        while b"tunnel\r\n" not in received:
            chunk = connection.recv(4096)
            assert chunk, received
            received += chunk
    assert received.startswith(b"HTTP/1.1 101 ")
    (seen,) = gateway.services["live"].seen
    assert seen.values("Origin") == ["http://127.0.0.1"]
    assert seen.values("Sec-WebSocket-Key") == ["dGhlIHNhbXBsZSBub25jZQ=="]


def test_nothing_but_the_live_channel_leaves_http(gateway: Gateway) -> None:
    gateway.request("/dashboard", ("Upgrade", "websocket"))
    (seen,) = gateway.services["signals"].seen
    assert seen.values("Upgrade") == []


def test_the_log_holds_no_secrets(gateway: Gateway) -> None:
    gateway.request(
        "/unsubscribe/s3cret-of-a-link?token=s3cret-of-a-query", ("Referer", "http://127.0.0.1/x?s3cret")
    )
    gateway.request("/login?s3cret", ("Cookie", "session=s3cret"), ("Authorization", "Bearer s3cret"))
    log = gateway.folder / "access.log"
    pause, deadline = threading.Event(), time.monotonic() + 10
    # a line is written when its answer has gone out
    while '"path":"/login"' not in log.read_text():
        assert time.monotonic() < deadline
        pause.wait(0.02)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"/unsubscribe/…", "/login"} <= {line["path"] for line in lines}
    assert "s3cret" not in (gateway.folder / "access.log").read_text()
    assert "s3cret" not in (gateway.folder / "nginx.log").read_text()


def test_prebuilt_gzip_lies_beside_what_it_packs(site: Path, tmp_path: Path) -> None:
    from gateway.build_site import precompress

    (tmp_path / "large.css").write_text("a" * 5000)
    (tmp_path / "small.css").write_text("a")
    precompress(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large.css", "large.css.gz", "small.css"]
    assert gzip.decompress((tmp_path / "large.css.gz").read_bytes()) == b"a" * 5000


def test_too_many_requests_of_one_address_get_429(server_dir: Path, site: Path) -> None:
    services = {name: Upstream(name) for name in ("auth", "billing", "signals", "notify", "live")}
    port = free_port()
    tight = {**settings(services, site, port), "REQUESTS_PER_SECOND": "1", "LOGINS_PER_MINUTE": "1"}
    server = NginxServer.start(server_dir / "tight", tight)
    try:
        replies = [wire.request(port, "/none") for _ in range(6)]
        assert [reply.status for reply in replies][:3] == [404] * 3
        assert replies[-1].status == 429
        assert replies[-1].header("Retry-After") == "10"
        assert b"Too many requests" in replies[-1].body
    finally:
        server.stop()
        for service in services.values():
            service.close()
