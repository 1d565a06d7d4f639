"""`python -m services.signals track-record`: the stored figures beside those counted again."""

import argparse
from typing import TYPE_CHECKING

from services.signals.commands.databases import NOT_RUN, with_database
from services.signals.commands.recordings import complain

if TYPE_CHECKING:
    from services.signals.repository.outcomes import Found
    from shared.db.engine import Database

SAME, DIFFERENT = 0, 1


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "track-record",
        help="count the track record again from the ledger and compare",
        description="Reads every chain of the ledger from its first record, checks each hash and that of its "
        "candles, counts all figures of the track record again, and compares them with the stored ones. "
        "Nothing is changed. Exit status: 0 when they are the same, 1 when not, 2 when the ledger can't be "
        "read to where the stored figures end, as when old candles were let go.",
    )
    parser.add_argument("--database", metavar="URL", help="instead of DATABASE_URL")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Count again; the exit status."""
    # the other commands of signals need no database and start without loading one
    from services.signals import track_record  # noqa: PLC0415

    def count(database: "Database") -> int:
        recount = track_record.recounted(database)
        for problem in recount.problems:
            complain(problem)
        if recount.problems:
            return NOT_RUN
        if recount.stored == recount.counted:
            print(
                f"{recount.records:,} records read, {_changes(recount.counted):,} changes: the same figures"
            )
            return SAME
        print(f"{recount.records:,} records read: the stored figures are others than those of the ledger")
        return DIFFERENT

    return with_database(args.database, "signals-track-record", count)


def _changes(found: "Found | None") -> int:
    overall = found.figures["overall"] if found else None
    return overall["changes"] if overall else 0
