"""The processes of signals: `python -m services.signals web|worker|feed|runner`."""

import argparse
from typing import TYPE_CHECKING

from shared import commands

# A process's own modules are imported when it is started: the other commands of signals need neither a
# database nor a bus, and start without loading them.
if TYPE_CHECKING:
    from services.signals.config import Settings


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
    """Become gunicorn; 2 when the algorithms that the settings name can't be run."""
    from services.signals.config import Settings  # noqa: PLC0415
    from services.signals.errors import LineupError  # noqa: PLC0415
    from services.signals.lineup import Lineup  # noqa: PLC0415

    try:
        Lineup.of(_settings())  # told once, here, and not by each of gunicorn's workers
    except LineupError as error:
        commands.refuse(str(error))
    commands.serve("signals", Settings)


def run_worker(_args: argparse.Namespace) -> int:
    """Run the worker until it is told to stop; 2 when RUNNER_SHARDS or the algorithms are wrong."""
    from services.signals import worker  # noqa: PLC0415
    from services.signals.errors import LineupError, WrongShards  # noqa: PLC0415

    settings = _settings()
    bus = commands.broker("signals", settings)
    try:
        return commands.run(
            "signals", "worker", settings, lambda database: worker.loops(settings, database, bus)
        )
    except (LineupError, WrongShards) as error:
        commands.refuse(str(error))


def run_feed(_args: argparse.Namespace) -> int:
    """Run the feed until it is told to stop; 2 when FEED or the algorithms are wrong. It needs no broker."""
    from services.signals import feeds  # noqa: PLC0415
    from services.signals.errors import FeedError, LineupError  # noqa: PLC0415

    settings = _settings()
    try:
        return commands.run("signals", "feed", settings, lambda database: feeds.loops(settings, database))
    except (FeedError, LineupError) as error:
        commands.refuse(str(error))


def run_runner(args: argparse.Namespace) -> int:
    """Run one shard of the runner until it is told to stop; 2 as for the worker."""
    from services.signals import runner  # noqa: PLC0415
    from services.signals.errors import LineupError, WrongShards  # noqa: PLC0415

    chosen = {"runner_shard": args.shard, "runner_shards": args.shards}
    settings = _settings(**{name: value for name, value in chosen.items() if value is not None})
    bus = commands.broker("signals", settings)
    process = f"runner-{settings.runner_shard}"
    try:
        return commands.run(
            "signals", process, settings, lambda database: runner.loops(settings, database, bus)
        )
    except (LineupError, WrongShards) as error:
        commands.refuse(str(error))


def _settings(**chosen: int) -> "Settings":
    from services.signals.config import Settings  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    return load(Settings, **chosen)
