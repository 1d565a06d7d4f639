"""The processes of auth: ``python -m services.auth web|worker``, and ``make-identity-key`` for operators."""

import argparse
import os
import sys

# Each process imports its own parts when it is started: gunicorn wants to be first to set up the metrics
# library, and a worker has no business with the private key.

WRONG_SETTINGS = 2


def main(arguments: list[str] | None = None) -> int:
    """Run a process of auth; the exit status, 2 for wrong settings."""
    parser = argparse.ArgumentParser(prog="python -m services.auth", description="Run a process of auth.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("web", run_web, "serve pages and the gateway's identity check with gunicorn"),
        ("worker", run_worker, "consume and send events, clear expired sessions"),
        ("make-identity-key", make_identity_key, "print a new key pair, as the two settings that hold it"),
    ):
        commands.add_parser(name, help=text).set_defaults(run=run)
    status: int = parser.parse_args(arguments).run()
    return status


def run_web() -> int:
    """Become gunicorn."""
    from services.auth.config import Settings  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    load(Settings)  # wrong settings are told once, here, not by each worker of gunicorn
    application = "services.auth.app:create_app()"
    os.execv(  # noqa: S606 - no shell, nothing of it comes from outside
        sys.executable, [sys.executable, "-m", "gunicorn", "-c", "python:shared.web.gunicorn", application]
    )


def run_worker() -> int:
    """Run the worker until it is told to stop; the exit status."""
    from services.auth import worker  # noqa: PLC0415
    from shared import logs, monitoring, process  # noqa: PLC0415
    from shared.bus.rabbit import RabbitBus  # noqa: PLC0415
    from shared.db.engine import Database  # noqa: PLC0415
    from shared.settings import ServiceSettings, load  # noqa: PLC0415

    settings = load(ServiceSettings)
    if settings.amqp_url is None:
        print("boritrader: AMQP_URL is missing", file=sys.stderr)
        return WRONG_SETTINGS
    name = "auth-worker"
    logs.configure(name, settings.log_dir)
    monitoring.init_sentry(settings.sentry_dsn, service=name, environment=settings.environment)
    database = Database(settings.database_url, application_name=name)
    try:
        return process.run(
            worker.loops(settings, database, RabbitBus(settings.amqp_url, service="auth")),
            name=name,
            health_port=settings.health_port,
            ready=lambda: database.ready("auth"),
        )
    finally:
        database.dispose()


def make_identity_key() -> int:
    """Print a new private key and its public key set as lines of an environment file."""
    from services.auth import tokens  # noqa: PLC0415

    private, public = tokens.make_identity_key()
    print(f"IDENTITY_PRIVATE_KEY='{private}'")
    print(f"IDENTITY_PUBLIC_KEYS='{public}'")
    return 0


if __name__ == "__main__":
    sys.exit(main())
