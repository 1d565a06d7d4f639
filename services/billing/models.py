"""The tables of billing."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from shared.db.base import NAMING, Model
from shared.db.dead_letters import dead_letter_table
from shared.db.inbox import inbox_table
from shared.db.outbox import outbox_table


class Base(Model):
    """What billing's tables have in common: one set of metadata."""

    metadata = MetaData(naming_convention=NAMING)


class Account(Base):
    """What a person is on. ``version`` counts what others were told of it.

    ``announced`` are the entitlements as they were last published: when the plans change, it shows who
    must be told. A closed account keeps its row for the time of retention; one that was closed before it
    was opened, since the bus promises no order, never had a plan.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("plan IS NOT NULL OR closed_at IS NOT NULL", name="open_has_plan"),
        Index(None, "closed_at", postgresql_where=text("closed_at IS NOT NULL")),
    )

    user_id: Mapped[str] = mapped_column(Text, primary_key=True)
    plan: Mapped[str | None] = mapped_column(Text)
    announced: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    version: Mapped[int] = mapped_column(BigInteger)
    opened_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]


outbox = outbox_table(Base.metadata)
inbox = inbox_table(Base.metadata)
dead_letter = dead_letter_table(Base.metadata)
