"""`ledger verify` and `ledger replay`: whether what is stored is what was decided, and decided right."""

import argparse
import sys
from typing import TYPE_CHECKING

from services.signals.commands.databases import not_run, with_database
from services.signals.commands.progress import Progress

if TYPE_CHECKING:
    from services.signals.algorithms.base import Algorithm
    from shared.db.engine import Database

GOOD, BAD = 0, 1
"""Exit statuses: all is as it was; something is not, and is named. NOT_RUN is the third."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand with its own ones."""
    parser = subparsers.add_parser("ledger", help="check the ledger, or decide one of its changes again")
    inner = parser.add_subparsers(metavar="COMMAND", required=True)
    verify = inner.add_parser(
        "verify",
        help="check every record of the ledger",
        description="Reads all chains and compares them with what is stored beside them. Exit status: 0 "
        "when all is as it was, 1 when a record is not, with a line that names the first one, 2 when the "
        "ledger could not be read.",
    )
    verify.add_argument(
        "--heads",
        metavar="PLACE",
        help="where exported heads are: DIR or s3://bucket/prefix; LEDGER_EXPORT when left out",
    )
    verify.set_defaults(run=run_verify)
    replay = inner.add_parser(
        "replay",
        help="decide the changes of a record again, from stored candles",
        description="Exit status: 0 when every change comes out as it was recorded, bit for bit, 1 when one "
        "does not, 2 when it could not be decided again.",
    )
    replay.add_argument("chain", metavar="CHAIN", type=int, help="the chain, 0 to 15")
    replay.add_argument("sequence", metavar="SEQUENCE", type=int, help="the record in it, from 1")
    replay.add_argument("--ticker", metavar="T", help="only the changes of this ticker")
    replay.add_argument("--algorithm", metavar="KEY", help="only those under this algorithm")
    replay.set_defaults(run=run_replay)
    for each in (verify, replay):
        each.add_argument(
            "--database", metavar="URL", help="postgresql+psycopg://…; DATABASE_URL when left out"
        )


def run_verify(args: argparse.Namespace) -> int:
    """Verify; the exit status."""
    from services.signals.config import ExportSettings  # noqa: PLC0415
    from services.signals.errors import BadBatches, BadHead, BadRecord, ExportError  # noqa: PLC0415
    from services.signals.ledger.export import destination_of  # noqa: PLC0415
    from services.signals.ledger.heads import read_files  # noqa: PLC0415
    from services.signals.ledger.verification import verify  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    place = args.heads or load(ExportSettings).ledger_export

    def check(database: "Database") -> int:
        progress = Progress(sys.stderr)
        try:
            exported = read_files(destination_of(place).files()) if place else []
            if args.heads and not exported:
                return not_run(f"{args.heads} holds no exported head")
            report = verify(database, exported, lambda done, of: progress.say(f"{done:,} of {of:,} records"))
        except ExportError as error:
            return not_run(str(error))
        except (BadRecord, BadHead, BadBatches) as fault:
            progress.wipe()
            print(fault)
            return BAD
        progress.wipe()
        print(report)
        return GOOD

    return with_database(args.database, "signals-ledger", check)


def run_replay(args: argparse.Namespace) -> int:
    """Replay one record; the exit status."""
    from services.signals.errors import NotReplayable  # noqa: PLC0415
    from services.signals.ledger.replay import replay  # noqa: PLC0415

    def decide(database: "Database") -> int:
        try:
            with database.read() as connection:
                replayed = replay(
                    connection,
                    args.chain,
                    args.sequence,
                    _installed,
                    ticker=args.ticker,
                    algorithm=args.algorithm,
                )
        except NotReplayable as error:
            return not_run(str(error))
        for each in replayed:
            print(each)
        return GOOD if all(each.is_equal for each in replayed) else BAD

    return with_database(args.database, "signals-ledger", decide)


def _installed(key: str) -> "Algorithm | None":
    from services.signals.commands import algorithms  # noqa: PLC0415

    try:
        return algorithms.of_key(key)
    except argparse.ArgumentTypeError:
        return None
