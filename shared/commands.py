"""How the processes of all services are started: ``python -m services.<service> <process>``.

Nothing heavy is imported at the top: gunicorn wants to be first to set up the metrics library, and a command
that needs no database should not load one.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from shared.bus import Bus
    from shared.db.engine import Database
    from shared.process import Loop
    from shared.settings import ServiceSettings

WRONG_SETTINGS = 2


def refuse(text: str) -> NoReturn:
    """End the process with one line that says what is wrong, and exit status 2."""
    print(f"boritrader: {text}", file=sys.stderr)
    sys.exit(WRONG_SETTINGS)


def serve(service: str, settings: "type[ServiceSettings]") -> NoReturn:
    """Become gunicorn with the web app of a service.

    Wrong settings are told once, here, and not by each of gunicorn's workers.
    """
    from shared.settings import load  # noqa: PLC0415

    load(settings)
    arguments = ["-c", "python:shared.web.gunicorn", "--name", f"{service}-web"]
    application = f"services.{service}.app:create_app()"
    # no shell, and nothing of the command comes from outside
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *arguments, application])  # noqa: S606


def broker(service: str, settings: "ServiceSettings") -> "Bus":
    """The bus on RabbitMQ; ends the process when its address is missing."""
    from shared.bus.rabbit import RabbitBus  # noqa: PLC0415

    if settings.amqp_url is None:
        refuse("AMQP_URL is missing")
    return RabbitBus(settings.amqp_url, service=service)


def run(
    service: str,
    process: str,
    settings: "ServiceSettings",
    loops: "Callable[[Database], Sequence[Loop]]",
    *,
    pool_size: int = 5,
) -> int:
    """Run a process made of loops until it is told to stop; the exit status."""
    from shared import logs, monitoring  # noqa: PLC0415
    from shared import process as processes  # noqa: PLC0415
    from shared.db.engine import Database  # noqa: PLC0415

    name = f"{service}-{process}"
    logs.configure(name, settings.log_dir)
    monitoring.init_sentry(settings.sentry_dsn, service=name, environment=settings.environment)
    database = Database(settings.database_url, application_name=name, pool_size=pool_size)
    try:
        return processes.run(
            loops(database),
            name=name,
            health_port=settings.health_port,
            ready=lambda: database.ready(service),
        )
    except processes.HealthPortError as error:
        refuse(str(error))
    finally:
        database.dispose()
