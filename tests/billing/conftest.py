"""The app of billing on a database of its own."""

from collections.abc import Callable

import pytest
from apiflask import APIFlask

from services.auth.tokens import IdentitySigner, make_identity_key
from services.billing.app import create_app
from services.billing.config import Settings
from shared.db.engine import Database


@pytest.fixture(scope="session")
def identity_key() -> tuple[str, str]:
    """(private JWK, public JWKS)."""
    return make_identity_key()


@pytest.fixture
def signer(identity_key: tuple[str, str]) -> IdentitySigner:
    return IdentitySigner(identity_key[0])


@pytest.fixture
def database(migrated: Callable[[str], Database]) -> Database:
    return migrated("billing")


@pytest.fixture
def settings(identity_key: tuple[str, str]) -> Settings:
    return Settings(
        database_url="postgresql+psycopg://nobody@127.0.0.1:1/none",
        secret_key="s" * 32,
        identity_public_keys=identity_key[1],
    )


@pytest.fixture
def app(settings: Settings, database: Database) -> APIFlask:
    return create_app(settings, database)
