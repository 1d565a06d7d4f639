"""Migrations of a service, ``python -m shared.db.migrate SERVICE``: upgrade, downgrade, check, ….

Migrations are in ``services/<service>/migrations/versions``; the models that they are checked against hang on
``services.<service>.models.Base``. Nothing waits for a server: who calls decides what an absent one means.
"""

import argparse
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.util.exc import CommandError
from pydantic import SecretStr
from sqlalchemy import Connection, MetaData, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from shared.db.engine import CONNECT_SECONDS
from shared.db.messaging import declare
from shared.db.revisions import configuration, current_revision, newest_revision
from shared.settings import Settings, load

LOCK_KEY = 0x626F7269
"""The advisory lock that one migration at a time holds in a database."""
WAIT_FOR_OTHERS = "60s"
WAIT_FOR_TABLES = "5s"


def _metadata(service: str) -> MetaData:
    metadata: MetaData = importlib.import_module(f"services.{service}.models").Base.metadata
    declare(metadata)
    return metadata


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    """A connection that holds the migration lock; its statements may take long, its lock waits may not."""
    engine = create_engine(
        url,
        poolclass=NullPool,
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "migrate",
            "options": "-c timezone=UTC",
        },
    )
    with engine.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{WAIT_FOR_OTHERS}'"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        connection.execute(text(f"SET lock_timeout = '{WAIT_FOR_TABLES}'"))
        connection.commit()
        yield connection


def upgrade(service: str, url: str, revision: str = "head") -> None:
    """Bring a service's database to a revision, the newest if none is named. One at a time per database."""
    with _connection(url) as connection:
        command.upgrade(configuration(service, connection), revision)


def downgrade(service: str, url: str, revision: str = "base") -> None:
    """Take a service's database back to a revision; ``base`` leaves it empty."""
    with _connection(url) as connection:
        command.downgrade(configuration(service, connection), revision)


def check(service: str, url: str) -> None:
    """Compare a migrated database with the models. Raises alembic's CommandError that names the drift."""
    with _connection(url) as connection:
        command.check(configuration(service, connection, _metadata(service)))


def revise(service: str, url: str, message: str) -> None:
    """Write a new migration from the difference between a migrated database and the models."""
    with _connection(url) as connection:
        command.revision(
            configuration(service, connection, _metadata(service)), message=message, autogenerate=True
        )


class _MigrationSettings(Settings):
    database_url: SecretStr


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status: 0, 1 for drift or a failed migration, 2 for wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m shared.db.migrate", description="Migrate a service's database."
    )
    parser.add_argument("service", help="auth, billing, notify or signals")
    parser.add_argument(
        "action",
        nargs="?",
        default="upgrade",
        choices=("upgrade", "downgrade", "check", "current", "revision"),
    )
    parser.add_argument("--to", help="the revision to go to (default: head, or base for downgrade)")
    parser.add_argument("--message", "-m", default="change", help="what a new revision does")
    parser.add_argument("--database-url", help="instead of DATABASE_URL")
    options = parser.parse_args(arguments)
    url: str = options.database_url or load(_MigrationSettings).database_url.get_secret_value()
    service: str = options.service
    try:
        if options.action == "upgrade":
            upgrade(service, url, options.to or "head")
        elif options.action == "downgrade":
            downgrade(service, url, options.to or "base")
        elif options.action == "check":
            check(service, url)
        elif options.action == "revision":
            revise(service, url, options.message)
        with _connection(url) as connection:
            print(f"{service}: {current_revision(connection) or 'empty'}, newest {newest_revision(service)}")
    except CommandError as error:
        print(f"boritrader: {service}: {error}", file=sys.stderr)
        return 1
    except OperationalError as error:
        print(f"boritrader: {service}: the database refuses: {error.orig}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
