"""Whom to tell, about what, what was told, and the numbered log of the live channel."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.db.messaging import create_v1, drop_v1

revision: str = "20261122_1300"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    create_v1(op)  # type: ignore[arg-type]  # alembic's module stands for its Operations
    op.create_table(
        "alert",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=True),
        sa.Column("channels", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("channels <@ ARRAY['mail', 'live', 'webhook']", name=op.f("ck_alert_channels")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
        sa.UniqueConstraint(
            "user_id",
            "algorithm",
            "ticker",
            name=op.f("uq_alert_user_id_algorithm_ticker"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_index("ix_alert_algorithm_ticker", "alert", ["algorithm", "ticker"], unique=False)
    op.create_table(
        "board_view",
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("view", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("algorithm", "ticker", name=op.f("pk_board_view")),
    )
    op.create_table(
        "catalogue_algorithm",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=True),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_catalogue_algorithm")),
    )
    op.create_table(
        "catalogue_ticker",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("ticker", name=op.f("pk_catalogue_ticker")),
    )
    op.create_table(
        "contact",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(deleted_at IS NULL) = (email IS NOT NULL AND user_name IS NOT NULL)",
            name=op.f("ck_contact_alive"),
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_contact")),
    )
    op.create_table(
        "entitlement",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("alerts_max", sa.Integer(), nullable=True),
        sa.Column("channels", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_entitlement")),
    )
    op.create_table(
        "live_counter",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("purged_to", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_live_counter_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_live_counter")),
    )
    op.create_table(
        "send_rate",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_send_rate")),
    )
    op.create_table(
        "view_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("algorithm_version", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("close_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("from_view", sa.Text(), nullable=False),
        sa.Column("to_view", sa.Text(), nullable=False),
        sa.Column("close", sa.Double(), nullable=False),
        sa.Column("why", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("ledger_partition", sa.Integer(), nullable=False),
        sa.Column("ledger_sequence", sa.BigInteger(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_view_change")),
        sa.UniqueConstraint(
            "algorithm",
            "ticker",
            "timeframe",
            "close_time",
            name=op.f("uq_view_change_algorithm_ticker_timeframe_close_time"),
        ),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("dedupe_key", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("lane", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column(
            "receipt", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("view_change_id", sa.BigInteger(), nullable=True),
        sa.Column("asked", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("(state = 'sending') = (lease_until IS NOT NULL)", name=op.f("ck_delivery_lease")),
        sa.CheckConstraint("channel IN ('mail', 'live', 'webhook')", name=op.f("ck_delivery_channel")),
        sa.CheckConstraint(
            "state IN ('pending', 'sending', 'sent', 'failed', 'cancelled')", name=op.f("ck_delivery_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_delivery_dedupe_key")),
    )
    op.create_index(
        "ix_delivery_due",
        "delivery",
        ["lane", "next_at"],
        unique=False,
        postgresql_where=sa.text("channel = 'mail' AND state = 'pending'"),
    )
    op.create_index(
        "ix_delivery_lease",
        "delivery",
        ["lease_until"],
        unique=False,
        postgresql_where=sa.text("state = 'sending'"),
    )
    op.create_index(
        "ix_delivery_live",
        "delivery",
        ["view_change_id", "user_id"],
        unique=False,
        postgresql_where=sa.text("channel = 'live'"),
    )
    op.create_index("ix_delivery_user", "delivery", ["user_id", "view_change_id"], unique=False)
    op.create_table(
        "live_message",
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("view_change_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("type IN ('views_changed', 'alert')", name=op.f("ck_live_message_type")),
        sa.ForeignKeyConstraint(
            ["view_change_id"], ["view_change.id"], name=op.f("fk_live_message_view_change_id_view_change")
        ),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_live_message")),
    )
    op.create_index("ix_live_message_created_at", "live_message", ["created_at"], unique=False)
    op.execute("INSERT INTO live_counter (id, n, purged_to) VALUES (1, 0, 0)")


def downgrade() -> None:
    op.drop_table("live_message")
    op.drop_table("delivery")
    op.drop_table("view_change")
    op.drop_table("send_rate")
    op.drop_table("live_counter")
    op.drop_table("entitlement")
    op.drop_table("contact")
    op.drop_table("catalogue_ticker")
    op.drop_table("catalogue_algorithm")
    op.drop_table("board_view")
    op.drop_table("alert")
    drop_v1(op)  # type: ignore[arg-type]  # alembic's module stands for its Operations
