"""Checkpoints of engine state, and which tickers are STALE."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_0910"
down_revision: str | None = "20261128_0905"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("partition", sa.SmallInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("close_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "sequence", name=op.f("pk_checkpoint")),
    )
    # floats hardly shrink, and a close should not wait for the attempt
    op.execute("ALTER TABLE checkpoint ALTER COLUMN state SET STORAGE EXTERNAL")
    op.create_index("ix_checkpoint_timeframe", "checkpoint", ["partition", "timeframe", "sequence"])
    op.create_index("ix_ledger_timeframe", "ledger", ["partition", "timeframe", "sequence"])
    op.add_column("ticker", sa.Column("stale_since", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_ticker_stale", "ticker", ["timeframe"], postgresql_where=sa.text("stale_since IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_index("ix_ticker_stale", "ticker")
    op.drop_column("ticker", "stale_since")
    op.drop_index("ix_ledger_timeframe", "ledger")
    op.drop_table("checkpoint")
