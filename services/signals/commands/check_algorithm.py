"""`check-algorithm`: refuse an algorithm that is more than a function of its frame."""

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.signals.checking import Report

CLEAN, REFUSED, UNUSABLE = 0, 1, 2
"""Exit statuses."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "check-algorithm",
        help="refuse an algorithm that looks ahead, repaints, remembers, or reads clock, files or network",
        description="Runs an algorithm on recorded and made candles in processes of its own and prints one "
        "line for each rule that it breaks: KEY: rule: where: what. Exit status: 0 when it breaks none, "
        "1 when it does, 2 when there is no such algorithm or it can't be run at all.",
    )
    parser.add_argument(
        "algorithms",
        metavar="KEY",
        nargs="+",
        help="the key of an algorithm, also with an overlay (KEY+stop_loss_5), or module:Class",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check; the exit status."""
    from services.signals.checking import check  # noqa: PLC0415

    return tell(check(args.algorithms))


def tell(reports: "Iterable[Report]") -> int:
    """Print what was found; the exit status, which is the worst of all."""
    status = CLEAN
    for report in reports:
        if report.unusable:
            print(f"{report.target}: {report.unusable}", file=sys.stderr)
            status = UNUSABLE
        elif report.findings:
            for finding in report.findings:
                print(f"{report.target}: {finding}")
            status = max(status, REFUSED)
        else:
            tried = f"{report.entries} entries and {report.exits} exits on {report.candles:,} candles"
            print(f"{report.target}: nothing found; {tried}")
            if not report.entries or not report.exits:
                warning = "one of its rules never held on these candles, so little was seen of it"
                print(f"{report.target}: {warning}", file=sys.stderr)
    return status
