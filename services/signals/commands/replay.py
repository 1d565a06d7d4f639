"""`python -m services.signals replay DIR`: signals of recorded candles, without database or services."""

import argparse
import csv
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

from services.signals.candles import TIMEFRAMES
from services.signals.commands import algorithms, recordings
from services.signals.commands.recordings import FAILED, GOOD, NOTHING_READ, ROWS_SKIPPED, STATUSES
from services.signals.feeds.csv_files import Recording
from services.signals.replay import (
    INDICATOR_HEADER,
    INDICATORS,
    SIGNAL_HEADER,
    indicator_rows,
    replay,
    signal_rows,
)

if TYPE_CHECKING:
    from _csv import Writer

    from services.signals.algorithms.base import Algorithm


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "replay",
        help="signals of recorded candles as CSV",
        description="Reads every TICKER.csv and TICKER.csv.gz in DIR (time,open,high,low,close,volume; "
        "the time is the candle's open, ISO 8601 or epoch) and writes a row for each candle on which an "
        f"algorithm says BUY or SELL. {STATUSES}",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="folder of CSV files, one per ticker")
    parser.add_argument(
        "--timeframe", choices=TIMEFRAMES, help="of all files; else each file's most frequent step"
    )
    parser.add_argument(
        "--algorithms",
        metavar="KEY,KEY",
        type=algorithms.of_keys,
        help="some of the published ones and those of installed packages (all when left out)",
    )
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="write signals here instead of standard output"
    )
    parser.add_argument("--indicators", metavar="FILE", type=Path, help="also write all indicators to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay; the exit status."""
    recording = recordings.read(args.directory, args.timeframe)
    if recording is None:
        return NOTHING_READ
    try:
        failed = _write(recording, args.algorithms or algorithms.every(), args)
    except BrokenPipeError:
        raise
    except OSError as error:
        return recordings.cannot_write(error)
    for key, raised in failed.items():
        recordings.complain(f"{key} raised {raised!r}")
    if failed:
        return FAILED
    return ROWS_SKIPPED if recording.rejected else GOOD


def _write(
    recording: Recording, chosen: "tuple[Algorithm, ...]", args: argparse.Namespace
) -> dict[str, BaseException]:
    """Write all rows; the first error of each algorithm that raised."""
    failed: dict[str, BaseException] = {}
    with ExitStack() as files:
        out = _writer(files, args.out, SIGNAL_HEADER)
        further = _writer(files, args.indicators, INDICATOR_HEADER) if args.indicators else None
        moments = replay(recording, chosen, INDICATORS if further else ())
        for moment in recordings.with_progress(moments, len(recording), sys.stderr):
            out.writerows(signal_rows(moment))
            if further:
                further.writerows(indicator_rows(moment))
            for result in moment.results:
                for failure in result.failures:
                    failed.setdefault(failure.algorithm, failure.error)
    return failed


def _writer(files: ExitStack, path: Path | None, header: Iterable[str]) -> "Writer":
    target: IO[str] = sys.stdout
    if path is not None:
        target = files.enter_context(path.open("w", encoding="utf-8", newline=""))
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(header)
    return writer
