"""`python -m services.signals replay DIR`: signals of recorded candles, without database or services."""

import argparse
import csv
import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

from services.signals.algorithms import ALGORITHMS
from services.signals.candles import TIMEFRAMES
from services.signals.feeds.csv_files import Recording, read_directory
from services.signals.replay import (
    INDICATOR_HEADER,
    INDICATORS,
    SIGNAL_HEADER,
    Moment,
    indicator_rows,
    replay,
    signal_rows,
)

if TYPE_CHECKING:
    from _csv import Writer

    from services.signals.algorithms.base import Algorithm

GOOD, FAILED, NOTHING_READ, ROWS_SKIPPED = 0, 1, 2, 3
"""Exit statuses: all good; an algorithm raised; nothing could be read or written; rows were skipped."""

PROGRESS_EVERY = 0.5
"""Seconds between two reports of progress on a terminal."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "replay",
        help="signals of recorded candles as CSV",
        description="Reads every TICKER.csv and TICKER.csv.gz in DIR (time,open,high,low,close,volume; "
        "the time is the candle's open, ISO 8601 or epoch) and writes a row for each candle on which an "
        "algorithm says BUY or SELL. Exit status: 0 when all rows were good, 3 when some were skipped, "
        "2 when nothing could be read.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="folder of CSV files, one per ticker")
    parser.add_argument(
        "--timeframe", choices=TIMEFRAMES, help="of all files; else each file's most frequent step"
    )
    parser.add_argument(
        "--algorithms",
        metavar="KEY,KEY",
        type=_algorithms,
        default=tuple(ALGORITHMS.values()),
        help=f"some of {', '.join(ALGORITHMS)} (all when left out)",
    )
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="write signals here instead of standard output"
    )
    parser.add_argument("--indicators", metavar="FILE", type=Path, help="also write all indicators to FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay; the exit status."""
    try:
        recording = read_directory(args.directory, args.timeframe)
    except OSError as error:
        return _nothing_read(f"{args.directory}: {error.strerror}")
    for row in recording.rejected:
        print(row, file=sys.stderr)
    if recording.rejected:
        print(f"{len(recording.rejected)} rows skipped", file=sys.stderr)
    if not len(recording):
        return _nothing_read(f"{args.directory}: no candle could be read from a TICKER.csv or TICKER.csv.gz")
    try:
        failed = _write(recording, args)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _nothing_read(f"{error.filename or 'cannot write'}: {error.strerror}")
    for key, raised in failed.items():
        print(f"{key} raised {raised!r}", file=sys.stderr)
    if failed:
        return FAILED
    return ROWS_SKIPPED if recording.rejected else GOOD


def _write(recording: Recording, args: argparse.Namespace) -> dict[str, Exception]:
    """Write all rows; the first error of each algorithm that raised."""
    failed: dict[str, Exception] = {}
    with ExitStack() as files:
        out = _writer(files, args.out, SIGNAL_HEADER)
        further = _writer(files, args.indicators, INDICATOR_HEADER) if args.indicators else None
        moments = replay(recording, args.algorithms, INDICATORS if further else ())
        for moment in _with_progress(moments, len(recording), sys.stderr):
            out.writerows(signal_rows(moment))
            if further:
                further.writerows(indicator_rows(moment))
            for result in moment.results:
                for failure in result.failures:
                    failed.setdefault(failure.algorithm, failure.error)
    return failed


def _algorithms(text: str) -> "tuple[Algorithm, ...]":
    keys = list(dict.fromkeys(key.strip() for key in text.split(",")))
    unknown = [key for key in keys if key not in ALGORITHMS]
    if unknown:
        known = ", ".join(ALGORITHMS)
        raise argparse.ArgumentTypeError(
            f"unknown algorithm {', '.join(map(repr, unknown))}; known are {known}"
        )
    return tuple(ALGORITHMS[key] for key in keys)


def _nothing_read(line: str) -> int:
    print(line, file=sys.stderr)
    return NOTHING_READ


def _writer(files: ExitStack, path: Path | None, header: Iterable[str]) -> "Writer":
    target: IO[str] = sys.stdout
    if path is not None:
        target = files.enter_context(path.open("w", encoding="utf-8", newline=""))
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(header)
    return writer


def _with_progress(moments: Iterable[Moment], candles: int, terminal: IO[str]) -> Iterator[Moment]:
    """The moments; on a terminal the run says how far it is, and wipes that when it is done."""
    if not terminal.isatty():
        yield from moments
        return
    done, reported = 0, -math.inf
    for moment in moments:
        yield moment
        done += moment.candles
        if time.monotonic() - reported >= PROGRESS_EVERY:
            terminal.write(f"\r{done:,} of {candles:,} candles")
            terminal.flush()
            reported = time.monotonic()
    terminal.write("\r\x1b[K")
