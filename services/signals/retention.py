"""How long candles are kept: whole partitions go, once neither a chain nor the track record needs them."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from itertools import groupby, takewhile
from operator import attrgetter

from sqlalchemy.exc import OperationalError

from services.signals.repository import checkpoints, locks, outcomes, partitions
from services.signals.repository.partitions import Partition
from shared import logs
from shared.db.engine import Database

log = logs.logger(__name__)


def drop_old(database: Database, retention: Mapping[str, timedelta]) -> list[Partition]:
    """Drop the partitions whose candles are all older than their timeframe's retention; returns them.

    Age counts from the newest candle of the timeframe, not from now, so that a replay keeps its candles. One
    stays while a chain has no checkpoint behind it, has evaluated some of its candles after its newest
    checkpoint, or has records of them that the track record has not read: one that stops keeps them. What
    can't be dropped now, since a close is being evaluated or somebody reads, is next time, and nothing newer
    of its timeframe before it: candles in a hole of what is kept would count as changed.
    """
    dropped: list[Partition] = []
    with database.read() as connection:
        old = [
            partition
            for partition in partitions.existing(connection)
            if partition.timeframe in retention
            and (newest := partitions.newest_open_time(connection, partition.timeframe)) is not None
            and partition.end <= newest - retention[partition.timeframe]
        ]
    for _, oldest_first in groupby(old, key=attrgetter("timeframe")):
        dropped += takewhile(partial(_drop, database), oldest_first)
    if dropped:
        log.info("old candles dropped", partitions=[partition.name for partition in dropped])
    return dropped


def _drop(database: Database, partition: Partition) -> bool:
    """Drop a partition; False when it is needed or in use."""
    try:
        with database.transaction() as session:
            connection = session.connection()
            if not locks.keep_closes_out(connection):
                return False
            if checkpoints.needed_from(connection, partition.timeframe) < partition.end:
                return False
            if outcomes.is_unread_before(connection, partition.timeframe, partition.end):
                log.warning("old candles wait for the track record", partition=partition.name)
                return False
            partitions.drop(connection, partition)
    except OperationalError as error:
        log.info("a partition is in use", partition=partition.name, reason=type(error.orig).__name__)
        return False
    return True
