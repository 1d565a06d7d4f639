"""The app of auth on a database of its own."""

from collections.abc import Callable

import argon2
import pytest
from apiflask import APIFlask

from services.auth.app import create_app
from services.auth.config import Settings
from services.auth.passwords import Passwords
from services.auth.tokens import make_identity_key
from shared.db.engine import Database
from tests.auth.browser import Browser


class CountingHasher(argon2.PasswordHasher):
    """Argon2id with cheap parameters that counts its runs."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self.runs = 0

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self.runs += 1
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]  # noqa: A002
        self.runs += 1
        return super().verify(hash, password)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture(scope="session")
def identity_key() -> tuple[str, str]:
    """(private JWK, public JWKS)."""
    return make_identity_key()


@pytest.fixture
def database(migrated: Callable[[str], Database]) -> Database:
    return migrated("auth")


@pytest.fixture
def settings(identity_key: tuple[str, str]) -> Settings:
    private, public = identity_key
    return Settings(
        database_url="postgresql+psycopg://nobody@127.0.0.1:1/none",
        secret_key="s" * 32,
        identity_private_key=private,
        identity_public_keys=public,
    )


@pytest.fixture
def app(settings: Settings, database: Database, hasher: CountingHasher) -> APIFlask:
    return create_app(settings, database, passwords=Passwords(hasher))


@pytest.fixture
def browser(app: APIFlask) -> Browser:
    return Browser(app)
