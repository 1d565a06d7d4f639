"""Every public route reaches the service that has it, and nothing else does."""

import re
from collections import Counter

import pytest

from embedded.nginx import GATEWAY
from tests.gateway.conftest import Gateway

ROUTES = {
    "/register": "auth",
    "/login": "auth",
    "/logout": "auth",
    "/settings": "auth",
    "/pricing": "billing",
    "/subscription": "billing",
    "/dashboard": "signals",
    "/tickers/BTC/USD": "signals",
    "/tickers/BTC-USD:PERP": "signals",
    "/api/v1/algorithms": "signals",
    "/api/v1/tickers": "signals",
    "/api/v1/candles?ticker=AMZN&timeframe=1d": "signals",
    "/api/v1/views": "signals",
    "/api/v1/signals": "signals",
    "/api/v1/ledger/heads": "signals",
    "/api/v1/ledger/repaint-checks": "signals",
    "/algorithms/golden_crossover": "signals",
    "/algorithms/golden_crossover+stop_loss_5": "signals",
    "/api/v1/backtest?algorithm=buy_the_dip&ticker=AMZN": "signals",
    "/track-record": "signals",
    "/api/v1/track-record": "signals",
    "/api/v1/changes?ticker=AMZN": "signals",
    "/api/docs": "signals",
    "/api/docs/signals.json": "signals",
    "/alerts": "notify",
    "/alerts/17/delete": "notify",
    "/inbox": "notify",
    "/api/v1/alerts": "notify",
    "/api/v1/alerts/17": "notify",
    "/api/v1/inbox": "notify",
    "/api/docs/notify": "notify",
    "/api/docs/notify.json": "notify",
    "/unsubscribe/abc.def-ghi_j": "notify",
    "/dev/mail": "notify",
    "/dev/mail/1": "notify",
    "/ws/notifications?since=17": "live",
}
UNLISTED = (
    "/internal/identity",
    "/internal/jwks.json",
    "/auth/internal/identity",
    "/auth/login",
    "/signals/dashboard",
    "/metrics",
    "/readyz",
    "/healthz/",
    "/login/",
    "/LOGIN",
    "/loginx",
    "/api/v1/",
    "/api/v1/viewsx",
    "/api/v2/views",
    "/sys-admin/",
    "/SYS-ADMIN/",
    "/_error/404.html",
    "/index.html",
    "/static/none.css",
    "/static",
    "/static/",
    "/static/shared/",
    "/nginx.conf",
    "/openapi-auth.json",
    "/api/docs/",
    "/api/docs/auth.json",
    "/ws/other",
)


@pytest.mark.parametrize(("target", "service"), ROUTES.items())
def test_a_listed_route_reaches_its_service_with_the_path_as_it_came(
    gateway: Gateway, target: str, service: str
) -> None:
    assert gateway.request(target).status == 200
    assert gateway.seen() == [(service, target)]


@pytest.mark.parametrize("target", UNLISTED)
def test_what_is_not_listed_is_not_found_and_reaches_nobody(gateway: Gateway, target: str) -> None:
    assert gateway.request(target).status == 404
    assert gateway.seen() == []


def test_each_route_is_listed_once() -> None:
    listed = re.findall(r"^location (\S+ ?\S*) *\{", (GATEWAY / "routes.conf").read_text(), re.MULTILINE)
    assert listed
    assert [route for route, times in Counter(listed).items() if times > 1] == []


@pytest.mark.parametrize(
    "target", ["/login?next=%2Fdashboard", "/dashboard?next=//x/../y;z&a=%00", "/tickers/A%20B?x=%252f"]
)
def test_a_query_may_hold_what_a_path_may_not(gateway: Gateway, target: str) -> None:
    assert gateway.request(target).status == 200
    assert [path for _, path in gateway.seen()] == [target]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS", "PROPFIND", "get"])
def test_other_methods_are_refused(gateway: Gateway, method: str) -> None:
    assert gateway.request("/login", method=method).status in (400, 405)
    assert gateway.seen() == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bodies_and_methods_of_the_api_pass(gateway: Gateway, method: str) -> None:
    body = b'{"ticker":null}'
    answer = gateway.request("/api/v1/alerts", ("Content-Type", "application/json"), method=method, body=body)
    assert answer.status == 200
    (seen,) = gateway.services["notify"].seen
    assert (seen.method, seen.body, seen.values("Content-Type")) == (method, body, ["application/json"])
