"""The partitions of `candle`: by timeframe, and each of these by open time.

Every partition holds as many candles of a ticker as any other, so that reading the newest ones touches one
or two, and retention can let old ones go by dropping a table instead of deleting rows.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, text

from services.signals.candles import TIMEFRAMES, length_of

CANDLES_OF_A_TICKER = 10_080
"""How many candles of one ticker a partition has room for: a week of minutes, 27.6 years of days."""
ORIGIN = datetime(1970, 1, 5, tzinfo=UTC)
"""Where a partition of every timeframe begins; a Monday, so that those of minutes are weeks."""
AHEAD = 10
"""A partition is made ahead when the candles are within one tenth of its length before it."""
LOCK_SPACE = 0x43414E44
"""First half of the lock under which partitions are made; the second is 0."""

_EARLIEST = datetime.min.replace(tzinfo=UTC)
_LATEST = datetime.max.replace(tzinfo=UTC, microsecond=0)


class Partition(NamedTuple):
    """The candles of a timeframe that open from `start`, a midnight in UTC, on and before `end`."""

    timeframe: str
    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        """The table's name: timeframe and first day, as in `candle_1m_20260105`."""
        return f"{parent_of(self.timeframe)}_{self.start.date().isoformat().replace('-', '')}"


def parent_of(timeframe: str) -> str:
    """The table that the partitions of a timeframe belong to. Raises ValueError for an unknown one."""
    length_of(timeframe)
    return f"candle_{timeframe}"


def span_of(timeframe: str) -> timedelta:
    """The length of a timeframe's partitions: 7 days of 1m, 35 of 5m, 105 of 15m, 420 of 1h, …"""
    return length_of(timeframe) * CANDLES_OF_A_TICKER


def partition_at(timeframe: str, open_time: datetime) -> Partition:
    """The partition that a candle belongs to. Those at the ends of the calendar are shorter."""
    span = span_of(timeframe)
    number = (open_time - ORIGIN) // span
    return Partition(timeframe, _moment(number * span), _moment((number + 1) * span))


def ensure(connection: Connection, timeframe: str, open_times: Iterable[datetime]) -> list[Partition]:
    """Make the partitions that candles need and that are not there yet; returns those made.

    In the caller's transaction, for the candles need them in the same one. One round trip when all are
    there: that is asked each time, since another process may have dropped one.
    """
    missing = _missing(connection, {partition_at(timeframe, moment) for moment in open_times})
    if not missing:
        return []
    connection.execute(text("SELECT pg_advisory_xact_lock(:space, 0)"), {"space": LOCK_SPACE})
    missing = _missing(connection, missing)  # another shard may have made them meanwhile
    for partition in missing:
        _make(connection, partition)
    return missing


def ensure_ahead(connection: Connection) -> list[Partition]:
    """Make the partitions that candles will soon need, by where each timeframe's newest candle stands.

    A clock is not asked: a replay's candles are years behind it. Returns those made.
    """
    made: list[Partition] = []
    for timeframe in TIMEFRAMES:
        if (newest := newest_open_time(connection, timeframe)) is not None:
            made += ensure(connection, timeframe, [_moment(newest - ORIGIN + span_of(timeframe) / AHEAD)])
    return made


def newest_open_time(connection: Connection, timeframe: str) -> datetime | None:
    """When the newest candle of a timeframe opened; None before the first."""
    newest: datetime | None = connection.execute(
        text("SELECT max(open_time) FROM candle WHERE timeframe = :timeframe"), {"timeframe": timeframe}
    ).scalar_one()
    return newest


def drop(connection: Connection, partition: Partition) -> None:
    """Drop a partition with its candles. Raises OperationalError when who reads it does not end soon.

    Whoever comes meanwhile waits, so it is given up early.
    """
    connection.execute(text("SET LOCAL lock_timeout = '300ms'"))
    connection.exec_driver_sql(f"DROP TABLE {partition.name}")


def existing(connection: Connection) -> list[Partition]:
    """All partitions there are, by timeframe and time."""
    rows = connection.execute(
        text(
            """
            SELECT inhparent::regclass::text AS parent, inhrelid::regclass::text AS name FROM pg_inherits
            WHERE inhparent IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'candle'::regclass)
            ORDER BY parent, name
            """
        )
    )
    timeframes = {parent_of(timeframe): timeframe for timeframe in TIMEFRAMES}
    return [partition_at(timeframes[parent], _first_day(name)) for parent, name in rows]


def _first_day(name: str) -> datetime:
    return datetime.strptime(name.rsplit("_", 1)[1], "%Y%m%d").replace(tzinfo=UTC)


def _missing(connection: Connection, partitions: Iterable[Partition]) -> list[Partition]:
    by_name = {partition.name: partition for partition in sorted(partitions)}
    # asked of the catalog itself: to_regclass would answer from what the session has cached
    rows = connection.execute(
        text("SELECT relname FROM pg_class WHERE relname = ANY(:names) AND relispartition"),
        {"names": list(by_name)},
    )
    for name in rows.scalars():
        del by_name[name]
    return list(by_name.values())


def _make(connection: Connection, partition: Partition) -> None:
    """Make a table and attach it, which keeps no reader or writer of the others out; `PARTITION OF` would."""
    parent, name = parent_of(partition.timeframe), partition.name
    first, last = partition.start.isoformat(), partition.end.isoformat()
    connection.exec_driver_sql(
        f"CREATE TABLE {name} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
    )
    connection.exec_driver_sql(
        f"ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{last}')"
    )


def _moment(since_origin: timedelta) -> datetime:
    try:
        return ORIGIN + since_origin
    except OverflowError:
        return _LATEST if since_origin > timedelta() else _EARLIEST
