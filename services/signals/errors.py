"""What signals refuses, and why."""

from shared.web.errors import AppError


class FeedError(Exception):
    """A feed that cannot be; the text is for the person who chose it."""


class WrongShards(Exception):
    """A process thinks of another number of shards than the database; the text is for who started it."""


class ShardsInUse(Exception):
    """The number of shards can't be changed now; the text says why, and what to do."""


def unknown_ticker() -> AppError:
    """The ticker that was asked for has no candle here."""
    return AppError(404, "ticker_not_found", "There is no such ticker here.")
