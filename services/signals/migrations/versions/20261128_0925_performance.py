"""The last 30, 90 and 365 days of every algorithm on every ticker."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_0925"
down_revision: str | None = "20261128_0910"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "performance",
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("days", sa.SmallInteger(), nullable=False),
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("newest", sa.DateTime(timezone=True), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trades", sa.Integer(), nullable=True),
        sa.Column("win_rate", sa.Double(), nullable=True),
        sa.Column("total", sa.Double(), nullable=True),
        sa.Column("hold", sa.Double(), nullable=True),
        sa.Column("drawdown", sa.Double(), nullable=True),
        sa.Column("hold_drawdown", sa.Double(), nullable=True),
        sa.Column("exposure", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("algorithm", "days", "ticker", "timeframe", name=op.f("pk_performance")),
    )
    op.create_index("ix_performance_ticker", "performance", ["ticker", "timeframe"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_performance_ticker", table_name="performance")
    op.drop_table("performance")
