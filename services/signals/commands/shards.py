"""`shards`: tell or change the number of runners that the tickers are divided among."""

import argparse
import sys

from shared import commands

PROCEDURE = """\
The number changes while nothing is under way: stop the feed, wait until runners and workers have finished,
stop them, run this, then start workers and runners with RUNNER_SHARDS=N, and the feed last. Until then the
command refuses with exit status 2 and says what is still under way.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "shards", help="among how many runners the tickers are divided", description=PROCEDURE
    )
    parser.add_argument("number", metavar="N", type=int, nargs="?", help="the new number, 1 to 16")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Tell the number, or change it; the exit status."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from services.signals import sharding  # noqa: PLC0415
    from services.signals.config import DatabaseSettings  # noqa: PLC0415
    from services.signals.errors import ShardsInUse  # noqa: PLC0415
    from services.signals.ledger.records import PARTITIONS  # noqa: PLC0415
    from services.signals.repository import shards  # noqa: PLC0415
    from services.signals.runner import queue_of  # noqa: PLC0415
    from shared.db.engine import Database  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    number: int | None = args.number
    if number is not None and not 1 <= number <= PARTITIONS:
        commands.refuse(f"there can be 1 to {PARTITIONS} shards, not {number}")
    settings = load(DatabaseSettings)
    database = Database(settings.database_url, application_name="signals-shards", pool_size=1)
    try:
        if number is None:
            with database.read() as connection:
                print(shards.count(connection))
            return 0
        before = sharding.change(database, number)
    except ShardsInUse as error:
        commands.refuse(f"the number of shards stays as it is: {error}")
    except SQLAlchemyError as error:
        print(f"boritrader: the database refuses: {getattr(error, 'orig', error)}", file=sys.stderr)
        return 1
    finally:
        database.dispose()
    print(f"The tickers are divided among {number}. Start workers and runners with RUNNER_SHARDS={number}.")
    for surplus in range(number, before):
        name = queue_of(surplus).name
        print(f"Delete the queue {name} and those whose names begin with it: nobody empties them.")
    return 0
