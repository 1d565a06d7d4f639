"""The processes of billing: ``python -m services.billing web|worker``."""

import argparse
import sys

from services.billing.plans import InvalidPlans, current_plans
from shared import commands

# Each command imports its own parts: see shared.commands.


def main(arguments: list[str] | None = None) -> int:
    """Run a process of billing; the exit status, 2 for wrong settings or plans."""
    parser = argparse.ArgumentParser(
        prog="python -m services.billing", description="Run a process of billing."
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("web", run_web, "serve pages with gunicorn"),
        ("worker", run_worker, "consume and send events, announce changed plans, clear old accounts"),
    ):
        subparsers.add_parser(name, help=text).set_defaults(run=run)
    chosen = parser.parse_args(arguments)
    try:
        current_plans()
    except InvalidPlans as error:
        commands.refuse(str(error))
    status: int = chosen.run()
    return status


def run_web() -> int:
    """Become gunicorn."""
    from services.billing.config import Settings  # noqa: PLC0415

    commands.serve("billing", Settings)


def run_worker() -> int:
    """Run the worker until it is told to stop; the exit status."""
    from services.billing import worker  # noqa: PLC0415
    from services.billing.config import Settings  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    settings = load(Settings)
    bus = commands.broker("billing", settings)
    return commands.run("billing", "worker", settings, lambda database: worker.loops(settings, database, bus))


if __name__ == "__main__":
    sys.exit(main())
