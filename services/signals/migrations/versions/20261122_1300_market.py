"""Candles, signals, views, their ledger, and where the feed stands."""

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
        "algorithm_list",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("algorithms", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_algorithm_list_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_algorithm_list")),
    )
    op.create_table(
        "candle",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("open_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open", sa.Numeric(), nullable=False),
        sa.Column("high", sa.Numeric(), nullable=False),
        sa.Column("low", sa.Numeric(), nullable=False),
        sa.Column("close", sa.Numeric(), nullable=False),
        sa.Column("volume", sa.Numeric(), nullable=False),
        sa.Column("evaluated_in", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("ticker", "timeframe", "open_time", name=op.f("pk_candle")),
        postgresql_partition_by="LIST (timeframe)",
    )
    op.create_index("ix_candle_open_time", "candle", ["open_time"], unique=False)
    for timeframe in ("1m", "5m", "15m", "1h", "4h", "1d"):
        # those of a span of time are made below these when candles come
        op.execute(
            f"CREATE TABLE candle_{timeframe} PARTITION OF candle FOR VALUES IN ('{timeframe}')"
            " PARTITION BY RANGE (open_time)"
        )
    op.create_table(
        "candle_gap",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("before_open_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("after_open_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ticker", "timeframe", "before_open_time", name=op.f("pk_candle_gap")),
    )
    op.create_table(
        "feed",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=True),
        sa.Column("close_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outbox_id", sa.Uuid(), nullable=True),
        sa.Column("ended", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("chosen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feed")),
    )
    op.create_table(
        "ledger",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("close_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "sequence", name=op.f("pk_ledger")),
    )
    op.create_table(
        "shard_count",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("shards", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_shard_count_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shard_count")),
    )
    op.create_table(
        "shard_position",
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("feed", "shard", name=op.f("pk_shard_position")),
    )
    op.create_table(
        "signal",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("open_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("view", sa.Text(), nullable=False),
        sa.Column("close", sa.Numeric(), nullable=False),
        sa.CheckConstraint("signal IN ('BUY', 'SELL')", name=op.f("ck_signal_signal")),
        sa.PrimaryKeyConstraint("ticker", "open_time", "algorithm", "timeframe", name=op.f("pk_signal")),
    )
    op.create_index("ix_signal_open_time", "signal", ["open_time"], unique=False)
    op.create_table(
        "ticker",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("first_open_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("ticker", "timeframe", name=op.f("pk_ticker")),
    )
    op.create_table(
        "view",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("view", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("close", sa.Numeric(), nullable=False),
        sa.Column("ledger_partition", sa.SmallInteger(), nullable=False),
        sa.Column("ledger_sequence", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("view IN ('BUY', 'SELL', 'HOLD')", name=op.f("ck_view_view")),
        sa.PrimaryKeyConstraint("ticker", "algorithm", name=op.f("pk_view")),
    )
    op.create_table(
        "view_change",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("close_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("algorithm_version", sa.Text(), nullable=False),
        sa.Column("from_view", sa.Text(), nullable=False),
        sa.Column("to_view", sa.Text(), nullable=False),
        sa.Column("close", sa.Numeric(), nullable=False),
        sa.Column("why", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("ledger_partition", sa.SmallInteger(), nullable=False),
        sa.Column("ledger_sequence", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint(
            "ticker", "close_time", "algorithm", "timeframe", name=op.f("pk_view_change")
        ),
    )
    op.create_index("ix_view_change_close_time", "view_change", ["close_time"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_view_change_close_time", table_name="view_change")
    op.drop_table("view_change")
    op.drop_table("view")
    op.drop_table("ticker")
    op.drop_index("ix_signal_open_time", table_name="signal")
    op.drop_table("signal")
    op.drop_table("shard_position")
    op.drop_table("shard_count")
    op.drop_table("ledger")
    op.drop_table("feed")
    op.drop_table("candle_gap")
    op.drop_index("ix_candle_open_time", table_name="candle")
    op.drop_table("candle")
    op.drop_table("algorithm_list")
    drop_v1(op)  # type: ignore[arg-type]
