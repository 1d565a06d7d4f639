"""The tables of the track record and of the windows of algorithms."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Double,
    Index,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.signals.metadata import Base, Time


class Tally(Base):
    """How far the track record has read a chain of the ledger; `problem` says why no further."""

    __tablename__ = "tally"

    partition: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger, server_default="0")
    hash: Mapped[str] = mapped_column(Text, server_default="0" * 64)
    problem: Mapped[str | None] = mapped_column(Text)


class Outcome(Base):
    """A change in the ledger, and the closes of its ticker 1, 4 and 24 candles later, frozen once known."""

    __tablename__ = "outcome"
    __table_args__ = (
        CheckConstraint("to_view IN ('BUY', 'SELL')", name="to_view"),
        Index("ix_outcome_pending", "partition", postgresql_where=text("candles < 24")),
    )

    partition: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    algorithm: Mapped[str] = mapped_column(Text, primary_key=True)
    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text)
    close_time: Mapped[datetime] = mapped_column(Time)
    algorithm_version: Mapped[str] = mapped_column(Text)
    from_view: Mapped[str] = mapped_column(Text)
    to_view: Mapped[str] = mapped_column(Text)
    close: Mapped[Decimal] = mapped_column(Numeric)
    late: Mapped[bool] = mapped_column(Boolean)
    candles: Mapped[int] = mapped_column(SmallInteger)
    close_1: Mapped[Decimal | None] = mapped_column(Numeric)
    close_4: Mapped[Decimal | None] = mapped_column(Numeric)
    close_24: Mapped[Decimal | None] = mapped_column(Numeric)


class Standing(Base):
    """Whoever followed an algorithm on a ticker from its first candle in the ledger on: `outcomes`."""

    __tablename__ = "standing"
    __table_args__ = (Index("ix_standing_partition", "partition"),)

    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    algorithm: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(SmallInteger)
    since: Mapped[datetime] = mapped_column(Time)
    until: Mapped[datetime] = mapped_column(Time)
    first_close: Mapped[Decimal] = mapped_column(Numeric)
    last_close: Mapped[Decimal] = mapped_column(Numeric)
    candles: Mapped[int] = mapped_column(BigInteger)
    capital: Mapped[float] = mapped_column(Double)
    entry_close: Mapped[Decimal | None] = mapped_column(Numeric)
    worth: Mapped[float] = mapped_column(Double)
    peak: Mapped[float] = mapped_column(Double)
    drawdown: Mapped[float] = mapped_column(Double)
    hold_peak: Mapped[Decimal] = mapped_column(Numeric)
    hold_drawdown: Mapped[float] = mapped_column(Double)


class TrackRecord(Base):
    """The figures of all outcomes as they were last put together; one row."""

    __tablename__ = "track_record"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    through: Mapped[datetime | None] = mapped_column(Time)
    figures: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Performance(Base):
    """An algorithm on a ticker for the last so many days, as of the newest close of its timeframe.

    No figures where the ticker had no candle in them.
    """

    __tablename__ = "performance"
    __table_args__ = (Index("ix_performance_ticker", "ticker", "timeframe"),)

    algorithm: Mapped[str] = mapped_column(Text, primary_key=True)
    days: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text, primary_key=True)
    newest: Mapped[datetime] = mapped_column(Time)
    since: Mapped[datetime | None] = mapped_column(Time)
    until: Mapped[datetime | None] = mapped_column(Time)
    trades: Mapped[int | None] = mapped_column(Integer)
    win_rate: Mapped[float | None] = mapped_column(Double)
    total: Mapped[float | None] = mapped_column(Double)
    hold: Mapped[float | None] = mapped_column(Double)
    drawdown: Mapped[float | None] = mapped_column(Double)
    hold_drawdown: Mapped[float | None] = mapped_column(Double)
    exposure: Mapped[float | None] = mapped_column(Double)
