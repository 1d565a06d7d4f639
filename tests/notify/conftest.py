"""Notify on a database of its own, and people with identities."""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from services.auth.tokens import Holder, IdentitySigner, make_identity_key
from services.notify.app import create_app
from services.notify.channels.email import transport_of
from services.notify.channels.live import LiveServer
from services.notify.channels.live_admission import Admission
from services.notify.composing import Composer
from services.notify.config import Settings
from services.notify.sender import MailSender
from shared.db.engine import Database
from shared.web.identity import Verifier
from tests.notify import events
from tests.notify.live_page import ORIGIN
from tests.notify.smtp import SmtpServer

LEASE = timedelta(seconds=30)


@pytest.fixture(scope="session")
def identity_key() -> tuple[str, str]:
    """(private JWK, public JWKS)."""
    return make_identity_key()


@pytest.fixture
def sign(identity_key: tuple[str, str]) -> Callable[..., str]:
    """``sign("ada")`` is her identity as the gateway passes it on; ``at`` is when it was issued."""
    signer = IdentitySigner(identity_key[0])

    def make(user_id: str, *, session_id: str | None = None, at: datetime | None = None) -> str:
        holder = Holder(
            user_id=user_id,
            session_id=session_id or uuid.uuid4().hex,
            user_name=user_id,
            role="user",
            plan="free",
        )
        return signer.sign(holder, at or datetime.now(UTC))

    return make


@pytest.fixture
def database(migrated: Callable[[str], Database]) -> Database:
    """A fresh database in which two algorithms and three tickers are listed."""
    fresh = migrated("notify")
    events.handle(fresh, events.algorithms(events.CROSSOVER, events.RSI))
    events.handle(fresh, events.tickers("BTCUSD", "ETHUSD", "AAPL"))
    return fresh


@pytest.fixture
def make_settings(identity_key: tuple[str, str], tmp_path: Path) -> Callable[..., Settings]:
    """Settings that send into a folder, but for what is said."""

    def make(**values: Any) -> Settings:
        given = {
            "database_url": "postgresql+psycopg://nobody@127.0.0.1:1/none",
            "secret_key": "s" * 32,
            "identity_public_keys": identity_key[1],
            "public_url": ORIGIN,
            "mail_url": f"file:{tmp_path / 'mail'}",
            "mail_from": "Boritrader <noreply@boritrader.example>",
        }
        return Settings(**given | values)

    return make


@pytest.fixture
def serving(database: Database, identity_key: tuple[str, str]) -> Callable[..., Any]:
    """Runs a live server on a free port for the length of a with block."""

    @contextmanager
    def serve(**options: Any) -> Iterator[LiveServer]:
        caps = {"max_per_user": 20, "max_per_address": 100} | {
            name: options.pop(name) for name in ("max_per_user", "max_per_address") if name in options
        }
        admission = Admission(Verifier(identity_key[1]), origin=ORIGIN, **caps)
        given: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "poll_seconds": 0.05} | options
        server = LiveServer(database, admission, **given)
        with events.running(server):
            server.port(10)
            yield server

    return serve


@pytest.fixture
def app(make_settings: Callable[..., Settings], database: Database) -> APIFlask:
    return create_app(make_settings(), database)


@dataclass
class Browser:
    """A person's browser behind the gateway; without a user id somebody who is not logged in."""

    app: APIFlask
    headers: dict[str, str]

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    def get(self, path: str) -> TestResponse:
        return self.client.get(path, headers=self.headers)

    def csrf_token(self, page: str = "/alerts") -> str:
        found = re.search(r'<meta name="csrf-token" content="([^"]+)"', self.get(page).text)
        assert found is not None
        return found[1]

    def form(self, path: str, fields: dict[str, Any], *, page: str = "/alerts") -> TestResponse:
        fields = {"csrf_token": self.csrf_token(page), **fields}
        return self.client.post(path, data=fields, headers=self.headers | {"Origin": ORIGIN})

    def call(self, method: str, path: str, body: Any = None) -> TestResponse:
        """A call of the API as our scripts make it."""
        headers = self.headers | {"X-CSRFToken": self.csrf_token(), "Origin": ORIGIN}
        options = {} if body is None else {"json": body}
        return self.client.open(path, method=method, headers=headers, **options)


@pytest.fixture
def browser(app: APIFlask, sign: Callable[..., str]) -> Callable[..., Browser]:
    """``browser("ada")`` is hers, ``browser()`` a stranger's."""

    def make(
        user_id: str | None = None, *, of: APIFlask | None = None, address: str = "203.0.113.7"
    ) -> Browser:
        headers = {"X-Real-IP": address} | ({"X-Identity": sign(user_id)} if user_id else {})
        return Browser(of or app, headers)

    return make


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    server = SmtpServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make_sender(database: Database, make_settings: Callable[..., Settings]) -> Callable[..., MailSender]:
    """A sender over SMTP to the server at a URL."""

    def make(
        url: str, *, name: str = "sender", lease: timedelta = LEASE, rate: float | None = None
    ) -> MailSender:
        composer = Composer(make_settings())
        transport = transport_of(url, timeout=5)
        return MailSender(name, database, transport, composer, lease=lease, rate=rate, poll_seconds=0.05)

    return make
