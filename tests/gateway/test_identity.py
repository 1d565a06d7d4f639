"""Who is asking: asked of auth, remembered for a moment, never guessed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.gateway.conftest import Gateway

COOKIE = ("Cookie", "session=one; csrf=x")
REVOKED_WITHIN = 2.5


def identities(gateway: Gateway) -> list[list[str]]:
    return [seen.values("X-Identity") for seen in gateway.services["signals"].seen]


def test_every_app_route_gets_the_signed_identity(gateway: Gateway) -> None:
    gateway.auth.identities["session=every"] = "signed"
    for service, route in {
        "auth": "/login",
        "billing": "/pricing",
        "notify": "/alerts",
        "live": "/ws/notifications",
    }.items():
        gateway.request(route, ("Cookie", "session=every"))
        assert gateway.services[service].seen[-1].values("X-Identity") == ["signed"]


def test_without_a_good_session_there_is_no_identity_header(gateway: Gateway) -> None:
    gateway.request("/dashboard", ("Cookie", "session=unknown"))
    assert identities(gateway) == [[]]


def test_many_requests_of_one_person_ask_auth_about_once_a_second(gateway: Gateway) -> None:
    gateway.auth.identities[COOKIE[1]] = "one"
    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(lambda _: gateway.request("/dashboard", COOKIE).status, range(80)))
    assert statuses == {200}
    assert identities(gateway) == [["one"]] * 80
    assert gateway.auth.asked[COOKIE[1]] <= 10


def test_the_memory_is_keyed_by_the_whole_credential(gateway: Gateway) -> None:
    gateway.auth.identities |= {"session=a": "A", "session=a Bearer b": "AB", "session=a; b": "AC"}
    for headers in (
        [("Cookie", "session=a")],
        [("Cookie", "session=a"), ("Authorization", "Bearer b")],
        [("Cookie", "session=a; b")],
        [("Cookie", "session=A")],
        [("Authorization", "session=a")],
    ):
        gateway.request("/dashboard", *headers)
    # the last looks the same to the stand-in, but must have been asked for anew
    assert identities(gateway) == [["A"], ["AB"], ["AC"], [], ["A"]]
    assert sum(gateway.auth.asked.values()) == 5


def test_a_revoked_session_ends_within_two_and_a_half_seconds(gateway: Gateway) -> None:
    cookie = ("Cookie", "session=revoked")
    gateway.auth.identities[cookie[1]] = "good"
    gateway.request("/dashboard", cookie)
    assert identities(gateway) == [["good"]]
    del gateway.auth.identities[cookie[1]]
    revoked = asked = time.monotonic()
    pause = threading.Event()
    while identities(gateway)[-1]:
        assert asked - revoked < REVOKED_WITHIN
        pause.wait(0.02)
        asked = time.monotonic()
        gateway.request("/dashboard", cookie)


def test_a_new_session_does_not_wait_for_the_memory_of_the_old(gateway: Gateway) -> None:
    gateway.request("/dashboard", ("Cookie", "session=fresh"))
    gateway.auth.identities["session=fresh2"] = "fresh"
    gateway.request("/dashboard", ("Cookie", "session=fresh2"))
    assert identities(gateway) == [[], ["fresh"]]


def test_when_auth_fails_people_get_a_page_and_scripts_get_json(gateway: Gateway) -> None:
    gateway.auth.broken = True
    page = gateway.request("/dashboard", ("Cookie", "session=while-broken"))
    assert (page.status, page.header("Content-Type")) == (503, "text/html; charset=utf-8")
    assert b"answer right now" in page.body
    problem = gateway.request("/api/v1/views", ("Cookie", "session=while-broken"))
    assert (problem.status, problem.header("Content-Type")) == (503, "application/problem+json")
    assert problem.header("Retry-After")
    assert gateway.seen() == []
    assert gateway.request("/").status == 200


def test_a_failure_of_auth_is_not_remembered(gateway: Gateway) -> None:
    cookie = ("Cookie", "session=after-failure")
    gateway.auth.identities[cookie[1]] = "back"
    gateway.auth.broken = True
    assert gateway.request("/dashboard", cookie).status == 503
    gateway.auth.broken = False
    assert gateway.request("/dashboard", cookie).status == 200
    assert identities(gateway) == [["back"]]
