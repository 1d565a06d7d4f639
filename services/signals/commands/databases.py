"""What the commands on a database share: the way to it, and what is said when it does not answer."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from shared import commands

if TYPE_CHECKING:
    from shared.db.engine import Database

NOT_RUN = 2
"""Exit status: the command could not do its work."""


def with_database(url: str | None, name: str, work: "Callable[[Database], int]") -> int:
    """What `work` returns; NOT_RUN where the database does not answer or is not migrated.

    Without a URL it is that of DATABASE_URL; `name` is what the database's own lists of connections show.
    """
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from services.signals.config import DatabaseSettings  # noqa: PLC0415
    from shared.db.engine import Database, NotMigrated  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    settings = load(DatabaseSettings, **({} if url is None else {"database_url": url}))
    try:
        database = Database(settings.database_url, application_name=name, pool_size=1)
    except SQLAlchemyError as error:
        commands.refuse(f"this is no address of a database: {error}")
    try:
        database.ready("signals")
        return work(database)
    except NotMigrated as error:
        return not_run(str(error))
    except SQLAlchemyError as error:
        return not_run(f"the database refuses: {' '.join(str(getattr(error, 'orig', error)).split())}")
    finally:
        database.dispose()


def not_run(line: str) -> int:
    """Say why the command could not do its work; the exit status."""
    print(f"boritrader: {line}", file=sys.stderr)
    return NOT_RUN
