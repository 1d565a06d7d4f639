"""A browser in front of the app, with a gateway between them that asks who it is."""

import itertools
import re
from dataclasses import dataclass, field

from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

_addresses = (f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in itertools.count(1))

PASSWORD = "plum harbour kettle"


@dataclass
class Browser:
    """Somebody at a browser, from an address of their own."""

    app: APIFlask
    address: str = field(default_factory=lambda: next(_addresses))
    user_agent: str = "Firefox"

    def __post_init__(self) -> None:
        self.client: FlaskClient = self.app.test_client()

    def identity(self) -> str | None:
        """What the gateway is told about this browser."""
        answer = self.client.get("/internal/identity")
        assert answer.status_code == 200
        return answer.headers.get("X-Identity")

    def get(self, path: str) -> TestResponse:
        return self.client.get(path, headers=self._headers())

    def post(self, path: str, fields: dict[str, str | list[str]], *, page: str | None = None) -> TestResponse:
        """Send the form of a page, the path itself when it isn't said."""
        return self.client.post(
            path, data={"csrf_token": self.csrf_token(page or path), **fields}, headers=self._headers()
        )

    def csrf_token(self, page: str) -> str:
        found = re.search(r'<meta name="csrf-token" content="([^"]+)"', self.get(page).text)
        assert found is not None
        return found[1]

    def register(
        self, user_name: str = "Ada", email: str = "ada@example.org", password: str = PASSWORD, **more: str
    ) -> TestResponse:
        return self.post("/register", {"user_name": user_name, "email": email, "password": password, **more})

    def log_in(self, login: str = "ada@example.org", password: str = PASSWORD, **more: str) -> TestResponse:
        return self.post("/login", {"login": login, "password": password, **more})

    def token(self) -> str | None:
        """The session token that the browser keeps."""
        cookie = self.client.get_cookie("session")
        return cookie.value if cookie else None

    def _headers(self) -> dict[str, str]:
        headers = {"X-Real-IP": self.address, "User-Agent": self.user_agent}
        identity = self.identity()
        return headers | ({"X-Identity": identity} if identity else {})


def without_varying(page: TestResponse) -> str:
    """The page but for what differs from answer to answer: CSRF token and request id."""
    text = re.sub(r'(name="csrf-token" content|name="csrf_token" value)="[^"]+"', "", page.text)
    return text.replace(page.headers["X-Request-ID"], "")
