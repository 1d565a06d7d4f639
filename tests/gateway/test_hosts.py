"""One address is Boritrader's; who comes by another name of the machine is sent there."""

import pytest

from embedded.nginx import derive
from tests.gateway.conftest import Gateway


def other(gateway: Gateway) -> tuple[str, str]:
    return ("Host", f"localhost:{gateway.port}")


@pytest.mark.parametrize(
    "target",
    ["/", "/register", "/login?next=%2Ftickers%2FA%20B", "/static/shared/app-ABCDEF12.css", "/internal/x"],
)
def test_another_name_of_the_machine_leads_to_the_public_address(gateway: Gateway, target: str) -> None:
    answer = gateway.request(target, other(gateway))
    assert (answer.status, answer.header("Location")) == (302, f"http://127.0.0.1:{gateway.port}{target}")
    assert answer.header("Cache-Control") is None, "it must not outlive a change of the address"
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert gateway.seen() == []
    assert gateway.auth.asked.total() == 0


def test_an_absolute_uri_leads_nowhere_else(gateway: Gateway) -> None:
    answer = gateway.request("http://localhost//evil.example/x")
    assert answer.header("Location") == f"http://127.0.0.1:{gateway.port}//evil.example/x"


@pytest.mark.parametrize("method", ["POST", "DELETE", "TRACE"])
def test_nothing_is_done_at_another_name_and_the_right_one_is_told(gateway: Gateway, method: str) -> None:
    answer = gateway.request("/login", other(gateway), method=method, body=b"user_name=ada")
    assert answer.status in (405, 421)
    assert method == "TRACE" or f"http://127.0.0.1:{gateway.port}".encode() in answer.body
    assert gateway.seen() == []


def test_a_health_check_by_another_name_is_answered(gateway: Gateway) -> None:
    answer = gateway.request("/healthz", other(gateway))
    assert (answer.status, answer.body) == (200, b"ok\n")


@pytest.mark.parametrize(
    ("public_url", "allowed", "served", "others"),
    [
        ("http://127.0.0.1:8000", "localhost 127.0.0.1", "127.0.0.1", "localhost"),
        ("https://a.example/", "a.example www.a.example", "a.example", "www.a.example"),
        ("https://a.example", "127.0.0.1 www.a.example", "a.example", "127.0.0.1 www.a.example"),
        ("http://[::1]:8000", "[::1] localhost", "[::1]", "localhost"),
        ("http://[::1]", "[::1] localhost", "[::1]", "localhost"),
        ("https://a.example", "a.example", "a.example", "-"),
        ("", "localhost 127.0.0.1", "localhost 127.0.0.1", "-"),
    ],
)
def test_the_public_address_names_the_host_that_is_served(
    public_url: str, allowed: str, served: str, others: str
) -> None:
    derived = derive({"PUBLIC_URL": public_url, "ALLOWED_HOSTS": allowed, "TEMP_DIR": "/tmp"})
    assert (derived["GW_HOST"].split(), derived["GW_OTHER_HOSTS"].split()) == (served.split(), others.split())
    assert derived["GW_PUBLIC_URL"] == public_url.rstrip("/")
