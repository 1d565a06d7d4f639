"""The tables of auth."""

import uuid
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, MetaData, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.auth.constants import DEFAULT_ROLE
from shared.db.base import NAMING, Model
from shared.db.dead_letters import dead_letter_table
from shared.db.inbox import inbox_table
from shared.db.outbox import outbox_table


class Base(Model):
    """What auth's tables have in common: one set of metadata."""

    metadata = MetaData(naming_convention=NAMING)


class User(Base):
    """A person with an account. Keys are the case-folded forms that must be unique.

    ``version`` counts the states that others are told of. A deleted account is a deleted row.
    """

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('user', 'admin')", name="role"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_name: Mapped[str] = mapped_column(Text)
    user_name_key: Mapped[str] = mapped_column(Text, unique=True)
    email: Mapped[str] = mapped_column(Text)
    email_key: Mapped[str] = mapped_column(Text, unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text, default=DEFAULT_ROLE)
    version: Mapped[int] = mapped_column(BigInteger, default=1)
    created_at: Mapped[datetime]


class Session(Base):
    """A login that hasn't ended. Only the SHA-256 of the token is kept."""

    __tablename__ = "sessions"
    __table_args__ = (Index(None, "user_id"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    token_digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    user_agent: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class Plan(Base):
    """Projection of billing's entitlements: which plan a person is on, for the identity.

    ``version`` is billing's; an older one than the row's is ignored.
    """

    __tablename__ = "plans"

    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    plan: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger)


outbox = outbox_table(Base.metadata)
inbox = inbox_table(Base.metadata)
dead_letter = dead_letter_table(Base.metadata)
