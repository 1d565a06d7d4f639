"""What became of every change in the ledger, and the figures of it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261128_0905"
down_revision: str | None = "20261128_0830"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

GENESIS = "0" * 64


def upgrade() -> None:
    op.create_table(
        "tally",
        sa.Column("partition", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("hash", sa.Text(), server_default=GENESIS, nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_tally")),
    )
    op.create_table(
        "outcome",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("close_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("algorithm_version", sa.Text(), nullable=False),
        sa.Column("from_view", sa.Text(), nullable=False),
        sa.Column("to_view", sa.Text(), nullable=False),
        sa.Column("close", sa.Numeric(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("candles", sa.SmallInteger(), nullable=False),
        sa.Column("close_1", sa.Numeric(), nullable=True),
        sa.Column("close_4", sa.Numeric(), nullable=True),
        sa.Column("close_24", sa.Numeric(), nullable=True),
        sa.CheckConstraint("to_view IN ('BUY', 'SELL')", name=op.f("ck_outcome_to_view")),
        sa.PrimaryKeyConstraint("partition", "sequence", "algorithm", "ticker", name=op.f("pk_outcome")),
    )
    op.create_index(
        "ix_outcome_pending", "outcome", ["partition"], unique=False, postgresql_where=sa.text("candles < 24")
    )
    op.create_table(
        "standing",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_close", sa.Numeric(), nullable=False),
        sa.Column("last_close", sa.Numeric(), nullable=False),
        sa.Column("candles", sa.BigInteger(), nullable=False),
        sa.Column("capital", sa.Double(), nullable=False),
        sa.Column("entry_close", sa.Numeric(), nullable=True),
        sa.Column("worth", sa.Double(), nullable=False),
        sa.Column("peak", sa.Double(), nullable=False),
        sa.Column("drawdown", sa.Double(), nullable=False),
        sa.Column("hold_peak", sa.Numeric(), nullable=False),
        sa.Column("hold_drawdown", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("ticker", "algorithm", "timeframe", name=op.f("pk_standing")),
    )
    op.create_index("ix_standing_partition", "standing", ["partition"], unique=False)
    op.create_table(
        "track_record",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("through", sa.DateTime(timezone=True), nullable=True),
        sa.Column("figures", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_track_record_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_track_record")),
    )


def downgrade() -> None:
    op.drop_table("track_record")
    op.drop_index("ix_standing_partition", table_name="standing")
    op.drop_table("standing")
    op.drop_index("ix_outcome_pending", table_name="outcome")
    op.drop_table("outcome")
    op.drop_table("tally")
