"""What the commands on recorded candles share: reading a directory, complaints, exit statuses, progress."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from services.signals.commands.progress import Progress
from services.signals.feeds.csv_files import Recording, read_directory
from services.signals.replay import Moment

GOOD, FAILED, NOTHING_READ, ROWS_SKIPPED = 0, 1, 2, 3
"""Exit statuses: all good; an algorithm raised; nothing could be read or written; rows were skipped."""

STATUSES = "Exit status: 0 when all rows were good, 3 when some were skipped, 2 when nothing could be read."


def read(directory: Path, timeframe: str | None) -> Recording | None:
    """The candles of a directory, every lost row named on standard error; None when there are none."""
    progress = Progress(sys.stderr)
    try:
        recording = read_directory(directory, timeframe, lambda rows: progress.say(f"{rows:,} rows read"))
    except OSError as error:
        complain(f"{directory}: {error.strerror}")
        return None
    progress.wipe()
    for row in recording.rejected:
        complain(str(row))
    if recording.rejected:
        complain(f"{len(recording.rejected)} rows skipped")
    if not len(recording):
        complain(f"{directory}: no candle could be read from a TICKER.csv or TICKER.csv.gz")
        return None
    return recording


def complain(line: str) -> None:
    """One line on standard error."""
    print(line, file=sys.stderr)


def cannot_write(error: OSError) -> int:
    """Say which file could not be written; the exit status."""
    complain(f"{error.filename or 'cannot write'}: {error.strerror}")
    return NOTHING_READ


def with_progress(moments: Iterable[Moment], candles: int, terminal: IO[str]) -> Iterator[Moment]:
    """The moments; on a terminal the run says how far it is, and wipes that when it is done."""
    progress, done = Progress(terminal), 0
    for moment in moments:
        yield moment
        done += moment.candles
        progress.say(f"{done:,} of {candles:,} candles")
    progress.wipe()
