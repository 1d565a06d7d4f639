"""The processes of signals: `python -m services.signals web|worker|feed|runner`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

# A process's own modules are imported when it is started: the other commands of signals need neither a
# database nor a bus, and start without loading them.
if TYPE_CHECKING:
    from services.signals.config import Settings
    from shared.bus import Bus
    from shared.db.engine import Database
    from shared.process import Loop

WRONG_SETTINGS = 2


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add one subcommand for each process."""
    web = subparsers.add_parser("web", help="serve pages and API with gunicorn")
    web.set_defaults(run=run_web)
    worker = subparsers.add_parser("worker", help="bring events to the bus, list the algorithms, purge")
    worker.set_defaults(run=run_worker)
    feed = subparsers.add_parser("feed", help="market data in, closed candles out (FEED, REPLAY_SPEED)")
    feed.set_defaults(run=run_feed)
    runner = subparsers.add_parser("runner", help="closed candles in, views and ledger out")
    runner.add_argument("--shard", type=int, help="the shard of this process, from 0 (RUNNER_SHARD)")
    runner.add_argument("--shards", type=int, help="how many shards there are (RUNNER_SHARDS)")
    runner.set_defaults(run=run_runner)


def run_web(_args: argparse.Namespace) -> int:
    """Become gunicorn."""
    _settings()  # wrong settings are told once, here, not by each worker of gunicorn
    application = "services.signals.app:create_app()"
    os.execv(
        sys.executable, [sys.executable, "-m", "gunicorn", "-c", "python:shared.web.gunicorn", application]
    )


def run_worker(_args: argparse.Namespace) -> int:
    """Run the worker until it is told to stop; the exit status."""
    from services.signals import worker  # noqa: PLC0415

    settings = _settings()
    return _run("signals-worker", settings, lambda database: worker.loops(settings, database, _bus(settings)))


def run_feed(_args: argparse.Namespace) -> int:
    """Run the feed until it is told to stop; 2 when FEED is wrong or holds nothing."""
    from services.signals import feeds  # noqa: PLC0415
    from services.signals.errors import FeedError  # noqa: PLC0415

    settings = _settings()
    try:
        return _run("signals-feed", settings, lambda database: feeds.loops(settings, database))
    except FeedError as error:
        print(f"boritrader: {error}", file=sys.stderr)
        return WRONG_SETTINGS


def run_runner(args: argparse.Namespace) -> int:
    """Run one shard of the runner until it is told to stop; the exit status."""
    from services.signals import runner  # noqa: PLC0415

    chosen = {"runner_shard": args.shard, "runner_shards": args.shards}
    settings = _settings(**{name: value for name, value in chosen.items() if value is not None})
    name = f"signals-runner-{settings.runner_shard}"
    return _run(name, settings, lambda database: runner.loops(settings, database, _bus(settings)))


def _settings(**chosen: int) -> "Settings":
    from services.signals.config import Settings  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    return load(Settings, **chosen)


def _bus(settings: "Settings") -> "Bus":
    from shared.bus.rabbit import RabbitBus  # noqa: PLC0415

    if settings.amqp_url is None:
        print("boritrader: AMQP_URL is missing", file=sys.stderr)
        raise SystemExit(WRONG_SETTINGS)
    return RabbitBus(settings.amqp_url, service="signals")


def _run(name: str, settings: "Settings", loops: "Callable[[Database], Sequence[Loop]]") -> int:
    from shared import logs, monitoring  # noqa: PLC0415
    from shared.db.engine import Database  # noqa: PLC0415
    from shared.process import run  # noqa: PLC0415

    logs.configure(name, settings.log_dir)
    monitoring.init_sentry(settings.sentry_dsn, service=name, environment=settings.environment)
    database = Database(settings.database_url, application_name=name)
    try:
        return run(
            loops(database),
            name=name,
            health_port=settings.health_port,
            ready=lambda: database.ready("signals"),
        )
    finally:
        database.dispose()
