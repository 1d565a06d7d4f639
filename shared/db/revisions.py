"""Which migration a database is at, and which is the newest that the code has."""

import functools
import importlib
from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData


def configuration(
    service: str, connection: Connection | None = None, metadata: MetaData | None = None
) -> Config:
    """Alembic's configuration for a service; its environment gets the connection and the models' metadata."""
    versions = Path(importlib.import_module(f"services.{service}").__path__[0]) / "migrations" / "versions"
    config = Config()
    config.set_main_option("script_location", _escaped(Path(__file__).parent / "migrations"))
    config.set_main_option("version_locations", _escaped(versions))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes.update(connection=connection, metadata=metadata)
    return config


@functools.cache
def newest_revision(service: str) -> str | None:
    """The newest migration that the code of a service has; None when it has none."""
    return ScriptDirectory.from_config(configuration(service)).get_current_head()


def current_revision(connection: Connection) -> str | None:
    """The migration that a database is at; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")
