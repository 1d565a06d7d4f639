"""Limits hold across processes, and go on when Redis doesn't."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from apiflask import APIFlask

from embedded.valkey import ValkeyServer
from shared.web import limit_storage
from tests.shared.web.conftest import MakeApp, browser

ADDRESSES = iter(f"198.51.100.{n}" for n in range(1, 255))


@pytest.fixture
def address() -> str:
    """An address that no test has asked from."""
    return next(ADDRESSES)


@pytest.fixture
def blackhole() -> Iterator[str]:
    """A Redis that takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def _statuses(app: APIFlask, address: str, count: int, path: str = "/limited") -> list[int]:
    client = browser(app)
    return [client.get(path, headers={"X-Real-IP": address}).status_code for _ in range(count)]


def test_the_sixth_in_a_minute_is_429(make_app: MakeApp, valkey: ValkeyServer, address: str) -> None:
    assert _statuses(make_app(redis_url=valkey.url), address, 7) == [200] * 5 + [429] * 2


def test_processes_count_together(make_app: MakeApp, valkey: ValkeyServer, address: str) -> None:
    assert _statuses(make_app(redis_url=valkey.url), address, 3) == [200] * 3
    assert _statuses(make_app(redis_url=valkey.url), address, 3) == [200, 200, 429]


def test_addresses_and_routes_count_apart(make_app: MakeApp, valkey: ValkeyServer, address: str) -> None:
    app = make_app(redis_url=valkey.url)
    _statuses(app, address, 6)
    assert _statuses(app, next(ADDRESSES), 1) == [200]
    assert _statuses(app, address, 1, "/api/v1/limited") == [200]


def test_services_count_apart_in_one_redis(make_app: MakeApp, valkey: ValkeyServer, address: str) -> None:
    _statuses(make_app(redis_url=valkey.url), address, 6)
    assert _statuses(make_app(service="other", redis_url=valkey.url), address, 1) == [200]


def test_invented_addresses_change_nothing(make_app: MakeApp, valkey: ValkeyServer, address: str) -> None:
    client = browser(make_app(redis_url=valkey.url))
    statuses = [
        client.get("/limited", headers={"X-Real-IP": address, "X-Forwarded-For": f"10.0.0.{n}"}).status_code
        for n in range(7)
    ]
    assert statuses.count(200) == 5


@pytest.mark.parametrize("redis", ["valkey", "memory", "gone"])
def test_fifty_at_once_are_five(make_app: MakeApp, valkey: ValkeyServer, address: str, redis: str) -> None:
    app = make_app(redis_url={"valkey": valkey.url, "memory": None, "gone": "redis://127.0.0.1:1/0"}[redis])
    with ThreadPoolExecutor(25) as pool:
        statuses = list(pool.map(lambda _: _statuses(app, address, 1)[0], range(50)))
    assert sorted(statuses) == [200] * 5 + [429] * 45


def test_a_429_says_when_to_come_back(make_app: MakeApp, address: str) -> None:
    app = make_app()
    _statuses(app, address, 5)
    page = browser(app).get("/limited", headers={"X-Real-IP": address})
    assert 1 <= int(page.headers["Retry-After"]) <= 60
    assert "<h1>One moment, please</h1>" in page.text
    assert f"Try again in {page.headers['Retry-After']} seconds." in page.text


def test_a_429_of_the_api_is_a_problem(make_app: MakeApp, address: str) -> None:
    app = make_app()
    _statuses(app, address, 5, "/api/v1/limited")
    answer = browser(app).get("/api/v1/limited", headers={"X-Real-IP": address})
    assert answer.status_code == 429
    assert answer.json is not None
    assert answer.json["code"] == "too_many_requests"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_the_minute_slides(make_app: MakeApp, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app()
    noon = time.time()
    for second, count, expected in ((0, 1, [200]), (59, 4, [200] * 4), (61, 2, [200, 429])):
        monkeypatch.setattr(time, "time", lambda now=noon + second: now)
        assert _statuses(app, address, count) == expected


def test_without_redis_the_limit_holds_in_memory(make_app: MakeApp, address: str) -> None:
    assert _statuses(make_app(redis_url="redis://127.0.0.1:1/0"), address, 7) == [200] * 5 + [429] * 2


def test_a_silent_redis_costs_one_time_out_not_one_per_request(
    make_app: MakeApp, blackhole: str, address: str
) -> None:
    app = make_app(redis_url=blackhole)
    begun = time.monotonic()
    assert _statuses(app, address, 7) == [200] * 5 + [429] * 2
    assert time.monotonic() - begun < 3 * limit_storage.TIMEOUT_SECONDS + 1


def test_redis_going_in_the_middle_is_never_a_5xx(make_app: MakeApp, tmp_path: Path, address: str) -> None:
    server = ValkeyServer.start(tmp_path)
    try:
        app = make_app(redis_url=server.url)
        assert _statuses(app, address, 2) == [200, 200]
    finally:
        server.stop()
    # Memory knows nothing of the two before: it is fair, not exact.
    assert _statuses(app, address, 6) == [200] * 5 + [429]


def test_redis_is_used_again_once_it_is_back(tmp_path: Path) -> None:
    server = ValkeyServer.start(tmp_path)
    pid = server.pid
    storage = limit_storage.SteadfastStorage(limit_storage.uri_of(server.url), ask_again_seconds=0.0)
    try:
        assert [storage.incr("key", 60) for _ in range(3)] == [1, 2, 3]
        os.kill(pid, signal.SIGSTOP)
        assert [storage.incr("key", 60) for _ in range(2)] == [1, 2]
        os.kill(pid, signal.SIGCONT)
        assert storage.get("key") >= 3
    finally:
        os.kill(pid, signal.SIGCONT)
        server.stop()


def test_trouble_is_a_critical_line_once(
    make_app: MakeApp, address: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    _statuses(make_app(redis_url="redis://127.0.0.1:1/0"), address, 4)
    assert (caplog.text + capsys.readouterr().out).count("limit_storage_away") == 1
