"""The tables of signals: candles in, signals, views and their ledger out.

Prices are NUMERIC and hold the shortest decimal that reads back as the engine's float64. Close times
stand beside nothing wall-clock: what the market did is told in market time alone.
"""

import uuid
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.signals import record_models  # noqa: F401 - its tables are of the service too
from services.signals.metadata import Base, Time
from shared.db.base import UtcNow


class Feed(Base):
    """Where a feed stands. `sequence` counts its batches; the position is that of the last one sent.

    Nothing follows on that when the feed has `ended`.
    """

    __tablename__ = "feed"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    sequence: Mapped[int] = mapped_column(BigInteger)
    timeframe: Mapped[str | None] = mapped_column(Text)
    close_time: Mapped[datetime | None] = mapped_column(Time)
    outbox_id: Mapped[uuid.UUID | None]
    ended: Mapped[bool] = mapped_column(Boolean, server_default=false())
    chosen_at: Mapped[UtcNow]


class ShardCount(Base):
    """Among how many runners the tickers are divided; no row means one."""

    __tablename__ = "shard_count"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    shards: Mapped[int] = mapped_column(SmallInteger)


class ShardPosition(Base):
    """The last batch of a feed that a shard has met."""

    __tablename__ = "shard_position"

    feed: Mapped[str] = mapped_column(Text, primary_key=True)
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger)


class Ticker(Base):
    """A ticker that is evaluated, and the ledger partition that its name falls into.

    It is STALE from when no candle had come for two timeframes: a close, or of a silent live feed the moment.
    """

    __tablename__ = "ticker"
    __table_args__ = (
        Index("ix_ticker_stale", "timeframe", postgresql_where=text("stale_since IS NOT NULL")),
    )

    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(SmallInteger)
    first_open_time: Mapped[datetime] = mapped_column(Time)
    stale_since: Mapped[datetime | None] = mapped_column(Time)


class StoredCandle(Base):
    """A closed candle. `evaluated_in` is the record of its ticker's ledger partition that evaluated it.

    NULL means late: it filled a gap behind the last evaluated one and was never evaluated. Partitioned
    by timeframe and, below, by open time: `repository.partitions`.
    """

    __tablename__ = "candle"
    __table_args__ = (
        Index("ix_candle_open_time", "open_time"),
        {"postgresql_partition_by": "LIST (timeframe)"},
    )

    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text, primary_key=True)
    open_time: Mapped[datetime] = mapped_column(Time, primary_key=True)
    open: Mapped[Decimal] = mapped_column(Numeric)
    high: Mapped[Decimal] = mapped_column(Numeric)
    low: Mapped[Decimal] = mapped_column(Numeric)
    close: Mapped[Decimal] = mapped_column(Numeric)
    volume: Mapped[Decimal] = mapped_column(Numeric)
    evaluated_in: Mapped[int | None] = mapped_column(BigInteger)


class CandleGap(Base):
    """Candles that were missing when the ticker's next one was evaluated: those after one, before another."""

    __tablename__ = "candle_gap"

    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text, primary_key=True)
    before_open_time: Mapped[datetime] = mapped_column(Time, primary_key=True)
    after_open_time: Mapped[datetime] = mapped_column(Time)


class Signal(Base):
    """A candle on which an algorithm's signal was not HOLD, with the view that it left."""

    __tablename__ = "signal"
    __table_args__ = (
        CheckConstraint("signal IN ('BUY', 'SELL')", name="signal"),
        Index("ix_signal_open_time", "open_time"),
    )

    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    open_time: Mapped[datetime] = mapped_column(Time, primary_key=True)
    algorithm: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text, primary_key=True)
    signal: Mapped[str] = mapped_column(Text)
    view: Mapped[str] = mapped_column(Text)
    close: Mapped[Decimal] = mapped_column(Numeric)
    algorithm_version: Mapped[str] = mapped_column(Text)


class View(Base):
    """What an algorithm thinks of a ticker, since which close, and the ledger record that says so.

    A HOLD row is written when the pair is first evaluated; after that a row changes with its view only.
    """

    __tablename__ = "view"
    __table_args__ = (CheckConstraint("view IN ('BUY', 'SELL', 'HOLD')", name="view"),)

    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    algorithm: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text)
    view: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(Time)
    close: Mapped[Decimal] = mapped_column(Numeric)
    ledger_partition: Mapped[int] = mapped_column(SmallInteger)
    ledger_sequence: Mapped[int] = mapped_column(BigInteger)


class ViewChange(Base):
    """One turn of a view, with the conditions that decided it and the ledger record that has it.

    A `late` one was decided so long after its close that nobody was alerted of it.
    """

    __tablename__ = "view_change"
    __table_args__ = (
        Index("ix_view_change_close_time", "close_time"),
        Index("ix_view_change_ledger", "ledger_partition", "ledger_sequence"),
        Index("ix_view_change_late", "close_time", postgresql_where=text("late")),
    )

    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    close_time: Mapped[datetime] = mapped_column(Time, primary_key=True)
    algorithm: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text, primary_key=True)
    algorithm_version: Mapped[str] = mapped_column(Text)
    from_view: Mapped[str] = mapped_column(Text)
    to_view: Mapped[str] = mapped_column(Text)
    close: Mapped[Decimal] = mapped_column(Numeric)
    why: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    ledger_partition: Mapped[int] = mapped_column(SmallInteger)
    ledger_sequence: Mapped[int] = mapped_column(BigInteger)
    late: Mapped[bool] = mapped_column(Boolean, server_default=false())


class LedgerRecord(Base):
    """One evaluation cycle of one partition; `record` is the canonical JSON whose SHA-256 is `hash`."""

    __tablename__ = "ledger"
    __table_args__ = (
        Index("ix_ledger_close_time", "close_time"),
        Index("ix_ledger_timeframe", "partition", "timeframe", "sequence"),
    )

    partition: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text)
    close_time: Mapped[datetime] = mapped_column(Time)
    late: Mapped[bool] = mapped_column(Boolean)
    record: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(Text)


class ReleasedBatch(Base):
    """A batch that a feed released, kept for ever: every chain that had begun has a record of it.

    `number` counts over all feeds. An `unusable` one has no candle that is sound and of its ticker's own
    timeframe; it is a cycle only where it is the very next close of a chain.
    """

    __tablename__ = "released_batch"
    __table_args__ = (UniqueConstraint("feed", "sequence"),)

    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    feed: Mapped[str] = mapped_column(Text)
    sequence: Mapped[int] = mapped_column(BigInteger)
    timeframe: Mapped[str] = mapped_column(Text)
    close_time: Mapped[datetime] = mapped_column(Time)
    tickers: Mapped[int] = mapped_column(Integer)
    unusable: Mapped[bool] = mapped_column(Boolean, server_default=false())


class LedgerHead(Base):
    """The ends of all chains on a UTC day: canonical JSON, and the SHA-256 of it.

    `exported_to` is where it was written to, NULL while it was not.
    """

    __tablename__ = "ledger_head"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    document: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(Text)
    exported_to: Mapped[str | None] = mapped_column(Text)


class RepaintCheck(Base):
    """A UTC day of a timeframe, evaluated again from refetched candles, and how much came out otherwise."""

    __tablename__ = "repaint_check"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text, primary_key=True)
    candles: Mapped[int] = mapped_column(Integer)
    candle_differences: Mapped[int] = mapped_column(Integer)
    changes: Mapped[int] = mapped_column(Integer)
    change_differences: Mapped[int] = mapped_column(Integer)
    checked_at: Mapped[UtcNow]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)


class AlgorithmVersion(Base):
    """What a version of an algorithm is: the rule's numbers by name. A row is never changed."""

    __tablename__ = "algorithm_version"

    algorithm: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[str] = mapped_column(Text, primary_key=True)
    parameters: Mapped[dict[str, float]] = mapped_column(JSONB)


class AlgorithmFailure(Base):
    """An algorithm that was set aside in a shard's newest step of a timeframe, and since which close."""

    __tablename__ = "algorithm_failure"

    algorithm: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text, primary_key=True)
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    since: Mapped[datetime] = mapped_column(Time)


class StoredCheckpoint(Base):
    """The state of a partition's tickers of a timeframe before a record, which holds its SHA-256."""

    __tablename__ = "checkpoint"
    __table_args__ = (Index("ix_checkpoint_timeframe", "partition", "timeframe", "sequence"),)

    partition: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text)
    close_time: Mapped[datetime] = mapped_column(Time)
    hash: Mapped[str] = mapped_column(Text)
    state: Mapped[bytes] = mapped_column(LargeBinary)


class AlgorithmList(Base):
    """The deployment's list of algorithms as it was last published; one row."""

    __tablename__ = "algorithm_list"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger)
    algorithms: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
