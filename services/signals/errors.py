"""What signals refuses, and why."""

from datetime import datetime

from services.signals.ledger.records import iso
from shared.web.errors import AppError


class FeedError(Exception):
    """A feed that cannot be; the text is for the person who chose it."""


class WrongShards(Exception):
    """A process thinks of another number of shards than the database; the text is for who started it."""


class LineupError(Exception):
    """The algorithms that a deployment asks for can't be run; the text is for who started it."""


class ShardsInUse(Exception):
    """The number of shards can't be changed now; the text says why, and what to do."""


class BadHead(Exception):
    """An exported head of the ledger is not as it was exported; the text says which and what is wrong."""


class ExportError(Exception):
    """A head of the ledger could not be written out; the text says why."""


class BadRecord(Exception):
    """The first record of the ledger that is not as it was appended, and what is wrong with it.

    `sequence` is where the record stands or should stand; `close_time` is None where nothing tells it.
    """

    def __init__(self, partition: int, sequence: int, close_time: datetime | None, what: str) -> None:
        self.partition = partition
        self.sequence = sequence
        self.close_time = close_time
        self.what = what
        closing = "" if close_time is None else f", close {iso(close_time)}"
        super().__init__(f"chain {partition}, record {sequence}{closing}: {what}")


class BadBatches(Exception):
    """The list of released batches, which says what cycles must exist, is not as it was written."""


class NotReplayable(Exception):
    """A recorded change can't be decided again; the text says why."""


def unknown_ticker() -> AppError:
    """The ticker that was asked for has no candle here."""
    return AppError(404, "ticker_not_found", "There is no such ticker here.")


def unknown_algorithm() -> AppError:
    """The algorithm that was asked for does not run here."""
    return AppError(404, "algorithm_not_found", "There is no such algorithm here.")


def nothing_to_test() -> AppError:
    """The ticker has no candle in these days on which the algorithm is known to have run."""
    return AppError(404, "no_candles", "The algorithm has not been evaluated on this ticker in these days.")
