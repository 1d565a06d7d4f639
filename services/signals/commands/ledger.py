"""`ledger verify` and `ledger replay`: whether what is stored is what was decided, and decided right."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from shared import commands

if TYPE_CHECKING:
    from services.signals.algorithms.base import Algorithm
    from shared.db.engine import Database

GOOD, BAD, NOT_RUN = 0, 1, 2
"""Exit statuses: all is as it was; something is not, and is named; the command could not do its work."""

PROGRESS_EVERY = 0.5
"""Seconds between two reports of progress on a terminal."""


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
    verify.add_argument("--heads", metavar="DIR", type=Path, help="compare with exported heads, too")
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
    from services.signals.errors import BadBatches, BadHead, BadRecord  # noqa: PLC0415
    from services.signals.ledger.heads import read_directory  # noqa: PLC0415
    from services.signals.ledger.verification import verify  # noqa: PLC0415

    def check(database: "Database") -> int:
        progress = _Progress(sys.stderr)
        try:
            heads = read_directory(args.heads) if args.heads else []
            if args.heads and not heads:
                return _not_run(f"{args.heads} holds no exported head")
            report = verify(database, heads, progress.report)
        except OSError as error:
            return _not_run(f"{args.heads}: {error.strerror}")
        except (BadRecord, BadHead, BadBatches) as fault:
            progress.wipe()
            print(fault)
            return BAD
        progress.wipe()
        print(report)
        return GOOD

    return _with_database(args.database, check)


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
            return _not_run(str(error))
        for each in replayed:
            print(each)
        return GOOD if all(each.is_equal for each in replayed) else BAD

    return _with_database(args.database, decide)


def _installed(key: str) -> "Algorithm | None":
    from services.signals.commands import algorithms  # noqa: PLC0415

    try:
        return algorithms.of_key(key)
    except argparse.ArgumentTypeError:
        return None


def _with_database(url: str | None, work: "Callable[[Database], int]") -> int:
    """What `work` returns; NOT_RUN where the database does not answer or is not migrated."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from services.signals.config import DatabaseSettings  # noqa: PLC0415
    from shared.db.engine import Database, NotMigrated  # noqa: PLC0415
    from shared.settings import load  # noqa: PLC0415

    settings = load(DatabaseSettings, **({} if url is None else {"database_url": url}))
    try:
        database = Database(settings.database_url, application_name="signals-ledger", pool_size=1)
    except SQLAlchemyError as error:
        commands.refuse(f"this is no address of a database: {error}")
    try:
        database.ready("signals")
        return work(database)
    except NotMigrated as error:
        return _not_run(str(error))
    except SQLAlchemyError as error:
        return _not_run(f"the database refuses: {getattr(error, 'orig', error)}")
    finally:
        database.dispose()


def _not_run(line: str) -> int:
    print(f"boritrader: {line}", file=sys.stderr)
    return NOT_RUN


class _Progress:
    """How far it is, on a terminal; nothing elsewhere."""

    def __init__(self, terminal: IO[str]) -> None:
        self._terminal = terminal if terminal.isatty() else None
        self._due = 0.0

    def report(self, done: int, of: int) -> None:
        """Say so many of how many records, unless that was said just now."""
        if self._terminal is not None and time.monotonic() >= self._due:
            self._due = time.monotonic() + PROGRESS_EVERY
            self._terminal.write(f"\r{done:,} of {of:,} records")
            self._terminal.flush()

    def wipe(self) -> None:
        """Leave nothing of it."""
        if self._terminal is not None:
            self._terminal.write("\r\x1b[K")
