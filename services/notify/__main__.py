"""The processes of notify: ``python -m services.notify web|worker|sender|live``."""

import argparse
import sys

from shared import commands

# Each command imports its own parts: see shared.commands.


def main(arguments: list[str] | None = None) -> int:
    """Run a process of notify; returns the exit status, 2 for wrong settings."""
    parser = argparse.ArgumentParser(prog="python -m services.notify", description="Run a process of notify.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("web", run_web, "serve pages and API on PORT"),
        ("worker", run_worker, "consume and send events, make deliveries and live messages"),
        ("sender", run_sender, "send due mails"),
        ("live", run_live, "serve the live channel on LIVE_PORT"),
    ):
        subparsers.add_parser(name, help=text).set_defaults(run=run)
    status: int = parser.parse_args(arguments).run()
    return status


def run_web() -> int:
    """Become gunicorn."""
    from services.notify.config import Settings  # noqa: PLC0415

    commands.serve("notify", Settings)


def run_worker() -> int:
    """Run the worker until it is told to stop; the exit status."""
    from services.notify import worker  # noqa: PLC0415
    from services.notify.config import Settings  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    settings = load(Settings)
    bus = commands.broker("notify", settings)
    return commands.run("notify", "worker", settings, lambda database: worker.loops(settings, database, bus))


def run_sender() -> int:
    """Run the sender until it is told to stop; the exit status. It needs no broker."""
    from services.notify import sender  # noqa: PLC0415
    from services.notify.config import Settings  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    settings = load(Settings)
    return commands.run(
        "notify",
        "sender",
        settings,
        lambda database: sender.loops(settings, database),
        pool_size=settings.mail_concurrency + 4,
    )


def run_live() -> int:
    """Run the live channel until it is told to stop; the exit status."""
    from services.notify import live  # noqa: PLC0415
    from services.notify.config import Settings  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    settings = load(Settings)
    bus = commands.broker("notify", settings)
    return commands.run("notify", "live", settings, lambda database: live.loops(settings, database, bus))


if __name__ == "__main__":
    sys.exit(main())
