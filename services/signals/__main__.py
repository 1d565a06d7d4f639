"""The command line of signals: `python -m services.signals COMMAND`."""

import argparse
import os
import sys

from services.signals.commands import (
    backtest,
    check_algorithm,
    ledger,
    processes,
    replay,
    shards,
    track_record,
)

COMMANDS = (processes, replay, backtest, check_algorithm, shards, ledger, track_record)
"""The modules of the subcommands: each has `add_parser(subparsers)` and sets `run(args)` as its default."""


def main() -> int:
    """Run the chosen subcommand; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m services.signals")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    args = parser.parse_args()
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader has seen enough; without this Python complains about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
