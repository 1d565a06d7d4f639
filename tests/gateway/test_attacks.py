"""What attackers send to the gateway, and what must happen."""

import socket
import time

import pytest

from tests.gateway.conftest import Gateway
from tests.support import wire

PATHS = (
    "/sys-admin/../login",
    "/x/../login",
    "/./login",
    "/login/.",
    "/tickers/..",
    "/%2e%2e/login",
    "/tickers/%2E%2E/login",
    "/tickers/..%2flogin",
    "/tickers/%2Fetc",
    "//login",
    "/tickers//x",
    "/tickers/a\\b",
    "/tickers/%5cb",
    "/tickers/%00",
    "/tickers/%252e%252e/x",
    "/tickers/a;b=c",
    "/tickers/a%3Bb",
    "/tickers/%0d%0aX-Identity:x",
    "/tickers/%1b",
    "/tickers/%7f",
    "/tickers/%zz",
    "/tickers/%",
    "/tickers/\x01",
    "/tickers/\xe9",
    "/.git/config",
    "/static/../secrets.json",
    "/static/%2e%2e/secrets.json",
    "/static..%2fsecrets.json",
)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_could_mean_another_is_refused(gateway: Gateway, path: str) -> None:
    assert gateway.request(path).status in (400, 404)
    assert gateway.seen() == []


@pytest.mark.parametrize(("path", "status"), [("/tickers/a;b", 400), ("//", 400), ("/api//views", 400)])
def test_a_refused_path_is_explained_like_any_error(gateway: Gateway, path: str, status: int) -> None:
    answer = gateway.request(path)
    assert (answer.status, b"would send" in answer.body) == (status, True)


def test_an_absolute_uri_is_judged_by_its_path_and_host(gateway: Gateway) -> None:
    assert gateway.request("http://127.0.0.1/sys-admin/../login").status == 400
    assert gateway.request("http://127.0.0.1/internal/identity").status == 404
    assert gateway.request("http://evil.example/login").status == 0
    assert gateway.seen() == []


@pytest.mark.parametrize(
    "name",
    ["X-Identity", "x-identity", "X_Identity", "X-User-Id", "X_User_Id", "X-User-Role", "X-Role", "X-Plan",
     "Forwarded", "X-Forwarded-Prefix", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "Proxy",
     "X-Accel-Redirect", "X-Anything-New"],
)  # fmt: skip
@pytest.mark.parametrize("times", [1, 2])
def test_forged_headers_reach_no_service(gateway: Gateway, name: str, times: int) -> None:
    gateway.request("/dashboard", *[(name, "forged")] * times)
    (seen,) = gateway.services["signals"].seen
    assert [value for value in seen.headers if "forged" in value[1]] == []
    assert seen.values("X-Identity") == []


def test_a_forged_identity_is_overwritten_by_the_real_one(gateway: Gateway) -> None:
    gateway.auth.identities["session=forger"] = "signed"
    gateway.request("/dashboard", ("Cookie", "session=forger"), ("X-Identity", "a"), ("X-Identity", "b"))
    (seen,) = gateway.services["signals"].seen
    assert seen.values("X-Identity") == ["signed"]


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "X_Real_IP"])
def test_the_clients_address_can_not_be_claimed(gateway: Gateway, name: str) -> None:
    gateway.request("/login", (name, "10.0.0.1"), (name, "10.0.0.2, 192.168.0.1"))
    (seen,) = [seen for seen in gateway.auth.seen if seen.path == "/login"]
    assert seen.values("X-Real-IP") == ["127.0.0.1"]
    assert seen.values("X-Forwarded-For") == ["127.0.0.1"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost@evil"]
)
def test_an_unknown_host_is_dropped_without_an_answer(gateway: Gateway, host: str) -> None:
    answer = gateway.request("/login", ("Host", host))
    assert answer.status in (0, 400)
    assert gateway.seen() == []


def test_a_forwarded_host_is_overwritten(gateway: Gateway) -> None:
    gateway.request("/login", ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "gopher"))
    (seen,) = [seen for seen in gateway.auth.seen if seen.path == "/login"]
    assert seen.values("X-Forwarded-Host") == ["127.0.0.1"]
    assert seen.values("X-Forwarded-Proto") == ["http"]


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\nbad\r\n",
        "Content-Length: -1\r\n\r\n",
    ],
)
def test_ambiguous_bodies_are_refused(gateway: Gateway, framing: str) -> None:
    head = f"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{framing}"
    assert wire.exchange(gateway.port, head.encode()).status in (400, 501)
    assert gateway.seen() == []


def test_a_huge_body_is_refused_before_it_is_sent(gateway: Gateway) -> None:
    began = time.monotonic()
    answer = gateway.request("/login", ("Content-Length", str(10**9)), method="POST")
    assert (answer.status, time.monotonic() - began < 2) == (413, True)
    assert b"too large" in answer.body
    assert gateway.seen() == []


def test_an_endless_chunked_body_is_cut_off(gateway: Gateway) -> None:
    head = (
        b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    assert wire.exchange(gateway.port, head + chunk * 4).status == 413
    assert gateway.seen() == []


def test_a_packed_body_is_refused(gateway: Gateway) -> None:
    headers = (("Content-Encoding", "gzip"), ("Content-Type", "application/json"))
    assert gateway.request("/api/v1/alerts", *headers, method="POST", body=b"\x1f\x8b").status == 415


@pytest.mark.parametrize(
    "head",
    [
        "X: " + "a" * 9000,
        "\r\n".join(f"X-{number}: " + "a" * 4000 for number in range(20)),
        "Cookie: " + "a" * 40_000,
        "broken line without colon",
        "X\x00Y: z",
    ],
)
def test_too_large_or_broken_headers_are_refused(gateway: Gateway, head: str) -> None:
    text = f"GET /dashboard HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{head}\r\n\r\n"
    answer = wire.exchange(gateway.port, text.encode("latin-1"))
    assert answer.status in (0, 400, 431)
    assert gateway.seen() == []


def test_slow_clients_do_not_keep_others_waiting(gateway: Gateway) -> None:
    slow = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(300)]
    for connection in slow:
        connection.sendall(b"GET /dashboard HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
    began = time.monotonic()
    assert gateway.request("/dashboard").status == 200
    assert time.monotonic() - began < 2
    for connection in slow:
        connection.close()
