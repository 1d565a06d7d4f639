"""The processes of auth: ``python -m services.auth web|worker``, and ``make-identity-key`` for operators."""

import argparse
import sys

from shared import commands

# Each command imports its own parts: see shared.commands.


def main(arguments: list[str] | None = None) -> int:
    """Run a process of auth; the exit status, 2 for wrong settings."""
    parser = argparse.ArgumentParser(prog="python -m services.auth", description="Run a process of auth.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("web", run_web, "serve pages and the gateway's identity check with gunicorn"),
        ("worker", run_worker, "consume and send events, clear expired sessions"),
        ("make-identity-key", make_identity_key, "print a new key pair, as the two settings that hold it"),
    ):
        subparsers.add_parser(name, help=text).set_defaults(run=run)
    status: int = parser.parse_args(arguments).run()
    return status


def run_web() -> int:
    """Become gunicorn."""
    from services.auth.config import Settings  # noqa: PLC0415

    commands.serve("auth", Settings)


def run_worker() -> int:
    """Run the worker until it is told to stop; the exit status. It has no business with the private key."""
    from services.auth import worker  # noqa: PLC0415
    from shared.settings import ServiceSettings, load  # noqa: PLC0415

    settings = load(ServiceSettings)
    bus = commands.broker("auth", settings)
    return commands.run("auth", "worker", settings, lambda database: worker.loops(settings, database, bus))


def make_identity_key() -> int:
    """Print a new private key and its public key set as lines of an environment file."""
    from services.auth import tokens  # noqa: PLC0415

    private, public = tokens.make_identity_key()
    print(f"IDENTITY_PRIVATE_KEY='{private}'")
    print(f"IDENTITY_PUBLIC_KEYS='{public}'")
    return 0


if __name__ == "__main__":
    sys.exit(main())
