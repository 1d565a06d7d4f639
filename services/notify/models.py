"""The tables of notify: whom to tell, about what, what was told, and projections of others' data."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.base import NAMING, Model
from shared.db.dead_letters import dead_letter_table
from shared.db.inbox import inbox_table
from shared.db.outbox import outbox_table

Time = DateTime(timezone=True)


class Base(Model):
    """Base of the tables of notify."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING)


outbox = outbox_table(Base.metadata)
inbox = inbox_table(Base.metadata)
dead_letter = dead_letter_table(Base.metadata)


class Contact(Base):
    """Projection of auth's users: how to reach a person.

    A row with ``deleted_at`` is a tombstone: the account is gone, and a registration or an entitlement
    that arrives after its deletion brings nothing back. ``mail_stopped_at`` is when whoever has the mailbox
    stopped alert mails to it, with the link in the welcome mail.
    """

    __tablename__ = "contact"
    __table_args__ = (
        CheckConstraint("(deleted_at IS NULL) = (email IS NOT NULL AND user_name IS NOT NULL)", name="alive"),
    )

    user_id: Mapped[str] = mapped_column(Text, primary_key=True)
    user_name: Mapped[str | None] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    deleted_at: Mapped[datetime | None] = mapped_column(Time)
    mail_stopped_at: Mapped[datetime | None] = mapped_column(Time)


class Entitlement(Base):
    """Projection of billing: what a person may do. ``alerts_max`` None is without limit."""

    __tablename__ = "entitlement"

    user_id: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    alerts_max: Mapped[int | None] = mapped_column(Integer)
    channels: Mapped[list[str]] = mapped_column(ARRAY(Text))


class CatalogueAlgorithm(Base):
    """Projection of signals: an algorithm one may ask for. ``version`` is that of the newest list known."""

    __tablename__ = "catalogue_algorithm"

    key: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    timeframe: Mapped[str | None] = mapped_column(Text)
    listed: Mapped[bool]
    version: Mapped[int] = mapped_column(BigInteger)


class CatalogueTicker(Base):
    """Projection of signals: a ticker one may ask for."""

    __tablename__ = "catalogue_ticker"

    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text)


class Alert(Base):
    """A person's wish to be told of an algorithm's view changes; ``ticker`` None is every ticker.

    ``channels`` may be empty: then the person has unsubscribed and kept the alert.
    """

    __tablename__ = "alert"
    __table_args__ = (
        UniqueConstraint("user_id", "algorithm", "ticker", postgresql_nulls_not_distinct=True),
        Index("ix_alert_algorithm_ticker", "algorithm", "ticker"),
        CheckConstraint("channels <@ ARRAY['mail', 'live', 'webhook']", name="channels"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    user_id: Mapped[str] = mapped_column(Text)
    algorithm: Mapped[str] = mapped_column(Text)
    ticker: Mapped[str | None] = mapped_column(Text)
    channels: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class ViewChange(Base):
    """A fact that people are told of: one (algorithm, ticker) whose view turned at one close.

    ``recorded`` says that its candle came from a recording. A ``late`` one was decided so long after its
    close that nobody was told.
    """

    __tablename__ = "view_change"
    __table_args__ = (
        UniqueConstraint("algorithm", "ticker", "timeframe", "close_time"),
        Index("ix_view_change_late", "algorithm", "close_time", postgresql_where=text("late")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    algorithm: Mapped[str] = mapped_column(Text)
    algorithm_version: Mapped[str] = mapped_column(Text)
    ticker: Mapped[str] = mapped_column(Text)
    timeframe: Mapped[str] = mapped_column(Text)
    close_time: Mapped[datetime] = mapped_column(Time)
    from_view: Mapped[str] = mapped_column(Text)
    to_view: Mapped[str] = mapped_column(Text)
    close: Mapped[float] = mapped_column(Double)
    why: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    ledger_partition: Mapped[int] = mapped_column(Integer)
    ledger_sequence: Mapped[int] = mapped_column(BigInteger)
    released_at: Mapped[datetime] = mapped_column(Time)
    evaluated_at: Mapped[datetime] = mapped_column(Time)
    queued_at: Mapped[datetime] = mapped_column(Time)
    recorded: Mapped[bool]
    late: Mapped[bool]


class Delivery(Base):
    """One telling of one person over one channel, exactly once for its ``dedupe_key``.

    ``lane`` 0 (critical) goes before 1 (bulk). States: ``pending`` waits for ``next_at``; ``sending`` is
    held until ``lease_until``; ``sent``, ``failed`` and ``cancelled`` are ends, the last two with a
    ``reason``. ``receipt`` holds ``accepted_at`` and, when a lease ran out, ``resent``: how often it was
    sent again without knowing whether the first one left. ``asked`` are the tickers of the alerts that
    wanted a view change told, ``*`` for one on all of them.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'sending', 'sent', 'failed', 'cancelled')", name="state"),
        CheckConstraint("channel IN ('mail', 'live', 'webhook')", name="channel"),
        CheckConstraint("(state = 'sending') = (lease_until IS NOT NULL)", name="lease"),
        Index(
            "ix_delivery_due",
            "lane",
            "next_at",
            postgresql_where=text("channel = 'mail' AND state = 'pending'"),
        ),
        Index("ix_delivery_lease", "lease_until", postgresql_where=text("state = 'sending'")),
        Index("ix_delivery_user", "user_id", "view_change_id"),
        Index(
            "ix_delivery_live",
            "view_change_id",
            "user_id",
            postgresql_where=text("channel = 'live'"),
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    dedupe_key: Mapped[str] = mapped_column(Text, unique=True)
    user_id: Mapped[str] = mapped_column(Text)
    channel: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    lane: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[str] = mapped_column(Text, server_default=text("'pending'"))
    lease_until: Mapped[datetime | None] = mapped_column(Time)
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())
    provider_id: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    receipt: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    # No foreign key: checking it costs a quarter of the time that telling 100,000 people takes, and the one
    # statement that writes it has just read the row.
    view_change_id: Mapped[int | None] = mapped_column(BigInteger)
    asked: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.now())


class SendRate(Base):
    """When a mail provider may be given its next mail: one row that all sender processes reserve from."""

    __tablename__ = "send_rate"

    provider: Mapped[str] = mapped_column(Text, primary_key=True)
    ready_at: Mapped[datetime] = mapped_column(Time)


class BoardView(Base):
    """Projection of signals: the view of one (algorithm, ticker) as of its newest close."""

    __tablename__ = "board_view"

    algorithm: Mapped[str] = mapped_column(Text, primary_key=True)
    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text)
    view: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(Time)
    close: Mapped[float] = mapped_column(Double)


class BoardSilence(Base):
    """Projection of signals: a ticker that fell silent, STALE ``since``; None when candles came again.

    ``last_close`` is that of its newest candle known here, by which older news is told from newer.
    """

    __tablename__ = "board_silence"

    ticker: Mapped[str] = mapped_column(Text, primary_key=True)
    timeframe: Mapped[str] = mapped_column(Text, primary_key=True)
    last_close: Mapped[datetime] = mapped_column(Time)
    since: Mapped[datetime | None] = mapped_column(Time)


class LiveCounter(Base):
    """The one row that numbers the live channel: ``n`` was given last, all up to ``purged_to`` is forgotten.

    A transaction takes its numbers under this row's lock and holds it to its commit, so numbers become
    visible in their order and a reader that has seen n has seen all before it.
    """

    __tablename__ = "live_counter"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    n: Mapped[int] = mapped_column(BigInteger)
    purged_to: Mapped[int] = mapped_column(BigInteger)


class LiveMessage(Base):
    """A message of the live channel: ``alert`` for those with a live delivery, the other types for all."""

    __tablename__ = "live_message"
    __table_args__ = (
        CheckConstraint("type IN ('views_changed', 'alert', 'stale')", name="type"),
        Index("ix_live_message_created_at", "created_at"),
    )

    n: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    view_change_id: Mapped[int | None] = mapped_column(ForeignKey("view_change.id"))
    created_at: Mapped[datetime] = mapped_column(Time, server_default=func.clock_timestamp())
