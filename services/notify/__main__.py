"""The processes of notify: ``python -m services.notify web|worker|sender|live``."""

import argparse
import os
import sys

WRONG_SETTINGS = 2


def main(arguments: list[str] | None = None) -> int:
    """Run a process of notify; returns the exit status, 2 for wrong settings."""
    parser = argparse.ArgumentParser(prog="python -m services.notify", description="Run a process of notify.")
    commands = parser.add_subparsers(dest="process", required=True)
    commands.add_parser("web", help="serve pages and API on PORT")
    commands.add_parser("worker", help="consume and send events, make deliveries and live messages")
    commands.add_parser("sender", help="send due mails")
    commands.add_parser("live", help="serve the live channel on LIVE_PORT")
    process = parser.parse_args(arguments).process
    return run_web() if process == "web" else run_loops(process)


def run_web() -> int:
    """Become gunicorn."""
    from services.notify.config import Settings  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    load(Settings)  # wrong settings are told once, here, not by each worker of gunicorn
    application = "services.notify.app:create_app()"
    os.execv(  # noqa: S606 - no shell, nothing of it comes from outside
        sys.executable, [sys.executable, "-m", "gunicorn", "-c", "python:shared.web.gunicorn", application]
    )


def run_loops(role: str) -> int:
    """Run a process made of loops until it is told to stop; the exit status."""
    from services.notify import live, sender, worker  # noqa: PLC0415
    from services.notify.config import Settings  # noqa: PLC0415
    from services.notify.constants import SERVICE  # noqa: PLC0415
    from shared import logs, monitoring, process  # noqa: PLC0415
    from shared.bus.rabbit import RabbitBus  # noqa: PLC0415
    from shared.db.engine import Database  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    settings = load(Settings)
    name = f"{SERVICE}-{role}"
    logs.configure(name, settings.log_dir)
    monitoring.init_sentry(settings.sentry_dsn, service=name, environment=settings.environment)
    database = Database(settings.database_url, application_name=name, pool_size=settings.mail_concurrency + 4)
    if role == "sender":
        loops = sender.loops(settings, database)
    elif settings.amqp_url is None:
        print("boritrader: AMQP_URL is missing", file=sys.stderr)
        return WRONG_SETTINGS
    else:
        room = worker if role == "worker" else live
        loops = room.loops(settings, database, RabbitBus(settings.amqp_url))
    try:
        return process.run(
            loops, name=name, health_port=settings.health_port, ready=lambda: database.ready(SERVICE)
        )
    finally:
        database.dispose()


if __name__ == "__main__":
    sys.exit(main())
