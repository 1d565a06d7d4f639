"""The caller's address is what the gateway says, and nothing a caller can say."""

import pytest
from flask import Flask

from shared.web.client import client_address, client_network


def _ask(**headers: str) -> tuple[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with Flask("x").test_request_context(headers=named, environ_base={"REMOTE_ADDR": "10.0.0.9"}):
        return client_address(), client_network()


def test_the_gateways_header_counts() -> None:
    assert _ask(X_Real_IP="203.0.113.7")[0] == "203.0.113.7"


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Forwarded_For": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
        {"X_Forwarded_For": "127.0.0.1", "True_Client_IP": "127.0.0.1", "CF_Connecting_IP": "127.0.0.1"},
        {"X_Real_IP": ""},
        {"X_Real_IP": "127.0.0.1, 203.0.113.7"},
        {"X_Real_IP": "localhost"},
    ],
)
def test_anything_else_is_the_peer(headers: dict[str, str]) -> None:
    assert _ask(**headers)[0] == "10.0.0.9"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
    ],
)
def test_limits_count_a_whole_ipv6_network_as_one_caller(address: str, network: str) -> None:
    assert _ask(X_Real_IP=address)[1] == network
