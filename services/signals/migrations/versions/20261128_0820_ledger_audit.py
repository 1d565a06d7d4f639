"""What the ledger is compared with: the batches that were released, exported heads, and re-evaluated days."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261128_0820"
down_revision: str | None = "20261122_1300"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "released_batch",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("close_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tickers", sa.Integer(), nullable=False),
        sa.Column("unusable", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_released_batch")),
        sa.UniqueConstraint("feed", "sequence", name=op.f("uq_released_batch_feed_sequence")),
    )
    op.create_table(
        "ledger_head",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("exported_to", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_ledger_head")),
    )
    op.create_table(
        "repaint_check",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("candles", sa.Integer(), nullable=False),
        sa.Column("candle_differences", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("change_differences", sa.Integer(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("day", "timeframe", name=op.f("pk_repaint_check")),
    )
    op.create_index("ix_view_change_ledger", "view_change", ["ledger_partition", "ledger_sequence"])
    op.create_index("ix_ledger_close_time", "ledger", ["close_time"])


def downgrade() -> None:
    op.drop_index("ix_ledger_close_time", table_name="ledger")
    op.drop_index("ix_view_change_ledger", table_name="view_change")
    op.drop_table("repaint_check")
    op.drop_table("ledger_head")
    op.drop_table("released_batch")
