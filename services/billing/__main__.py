"""The processes of billing: ``python -m services.billing web|worker``."""

import argparse
import os
import sys

from services.billing.plans import InvalidPlans, current_plans

# Each process imports its own parts when it is started: gunicorn wants to be first to set up the metrics
# library.

WRONG_SETTINGS = 2


def main(arguments: list[str] | None = None) -> int:
    """Run a process of billing; the exit status, 2 for wrong settings or plans."""
    parser = argparse.ArgumentParser(
        prog="python -m services.billing", description="Run a process of billing."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("web", run_web, "serve pages with gunicorn"),
        (
            "worker",
            run_worker,
            "consume and send events, announce changed plans, clear what was kept long enough",
        ),
    ):
        commands.add_parser(name, help=text).set_defaults(run=run)
    chosen = parser.parse_args(arguments)
    try:
        current_plans()
    except InvalidPlans as error:
        print(f"boritrader: {error}", file=sys.stderr)
        return WRONG_SETTINGS
    status: int = chosen.run()
    return status


def run_web() -> int:
    """Become gunicorn."""
    from services.billing.config import Settings  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    load(Settings)  # wrong settings are told once, here, not by each worker of gunicorn
    application = "services.billing.app:create_app()"
    os.execv(  # noqa: S606 - no shell, nothing of it comes from outside
        sys.executable, [sys.executable, "-m", "gunicorn", "-c", "python:shared.web.gunicorn", application]
    )


def run_worker() -> int:
    """Run the worker until it is told to stop; the exit status."""
    from services.billing import worker  # noqa: PLC0415
    from services.billing.config import Settings  # noqa: PLC0415
    from shared import logs, monitoring, process  # noqa: PLC0415
    from shared.bus.rabbit import RabbitBus  # noqa: PLC0415
    from shared.db.engine import Database  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    settings = load(Settings)
    if settings.amqp_url is None:
        print("boritrader: AMQP_URL is missing", file=sys.stderr)
        return WRONG_SETTINGS
    name = "billing-worker"
    logs.configure(name, settings.log_dir)
    monitoring.init_sentry(settings.sentry_dsn, service=name, environment=settings.environment)
    database = Database(settings.database_url, application_name=name)
    try:
        return process.run(
            worker.loops(settings, database, RabbitBus(settings.amqp_url, service="billing")),
            name=name,
            health_port=settings.health_port,
            ready=lambda: database.ready("billing"),
        )
    finally:
        database.dispose()


if __name__ == "__main__":
    sys.exit(main())
