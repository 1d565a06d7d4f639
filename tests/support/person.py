"""A new user at the gateway, with the requests that a browser would send."""

import ipaddress
import json
import re
import secrets
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

TIMEOUT = 10


class Person:
    """Somebody with an address and a password, and cookies of their own."""

    def __init__(self, gateway: str, name: str | None = None) -> None:
        self.gateway = gateway
        self.name = name or f"user{secrets.token_hex(4)}"
        self.email = f"{self.name}@example.org"
        self.password = secrets.token_urlsafe(18)
        self.address = str(ipaddress.IPv6Address(0x2001_0DB8 << 96 | secrets.randbits(64) << 32))
        """Taken for the client's address where the gateway trusts loopback as a load balancer."""
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["X-Forwarded-For"] = self.address

    def get(self, path: str) -> requests.Response:
        return self.session.get(self.gateway + path, timeout=TIMEOUT, allow_redirects=False)

    def csrf_token(self, path: str) -> str:
        page = self.get(path)
        assert page.status_code == 200, (page.status_code, page.text[:500])
        found = re.search(r'<meta name="csrf-token" content="([^"]+)"', page.text)
        assert found is not None, f"{path} has no CSRF token"
        return found[1]

    def post_form(self, path: str, fields: dict[str, str], *, page: str | None = None) -> requests.Response:
        """Send a form of the page (the path itself, when it isn't said) as a browser does."""
        data = {"csrf_token": self.csrf_token(page or path), **fields}
        return self.session.post(
            self.gateway + path,
            data=data,
            headers={"Origin": self.gateway},
            timeout=TIMEOUT,
            allow_redirects=False,
        )

    def register(self) -> requests.Response:
        fields = {"user_name": self.name, "email": self.email, "password": self.password}
        return self.post_form("/register", fields)

    def log_in(self) -> requests.Response:
        return self.post_form("/login", {"login": self.email, "password": self.password})

    def ask_for_alert(
        self, algorithm: str, ticker: str | None, channels: tuple[str, ...] = ("mail",)
    ) -> requests.Response:
        return self.session.post(
            self.gateway + "/api/v1/alerts",
            data=json.dumps({"algorithm": algorithm, "ticker": ticker, "channels": channels}),
            headers={
                "Content-Type": "application/json",
                "Origin": self.gateway,
                "X-CSRFToken": self.csrf_token("/alerts"),
            },
            timeout=TIMEOUT,
        )

    @contextmanager
    def live(self, since: int | None = None) -> Iterator[ClientConnection]:
        """The live channel, as the dashboard opens it."""
        query = "" if since is None else f"?since={since}"
        address = "ws" + self.gateway.removeprefix("http") + "/ws/notifications" + query
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.session.cookies)
        with connect(
            address,
            origin=self.gateway,
            additional_headers={"Cookie": cookies, "X-Forwarded-For": self.address},
            proxy=None,  # type: ignore[arg-type]
        ) as socket:
            yield socket


def message(socket: ClientConnection, kind: str, *, seconds: float = 60) -> dict[str, Any]:
    """The next message of a kind. Raises TimeoutError when there is silence for so long."""
    while True:
        found: dict[str, Any] = json.loads(socket.recv(timeout=seconds))
        if found["type"] == kind:
            return found


def path_of(location: str) -> str:
    """The path of a redirect, whether absolute or not."""
    return urllib.parse.urlsplit(location).path


def ask_until_prepared(person: Person, algorithm: str, ticker: str | None) -> requests.Response:
    """Ask for an alert by mail; in the moment after registering, billing may not have spoken yet (409)."""
    pause = threading.Event()
    for _ in range(100):
        answer = person.ask_for_alert(algorithm, ticker)
        if answer.status_code != 409:
            break
        pause.wait(0.1)
    return answer
