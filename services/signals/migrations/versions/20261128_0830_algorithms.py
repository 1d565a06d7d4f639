"""What each version of an algorithm was, which version gave a signal, and which algorithms fail."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261128_0830"
down_revision: str | None = "20261128_0820"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "algorithm_version",
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("algorithm", "version", name=op.f("pk_algorithm_version")),
    )
    op.create_table(
        "algorithm_failure",
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("algorithm", "timeframe", "shard", name=op.f("pk_algorithm_failure")),
    )
    # the six published algorithms were all there was, in their first version
    op.add_column(
        "signal", sa.Column("algorithm_version", sa.Text(), server_default=sa.text("'1'"), nullable=False)
    )
    op.alter_column("signal", "algorithm_version", server_default=None)


def downgrade() -> None:
    op.drop_column("signal", "algorithm_version")
    op.drop_table("algorithm_failure")
    op.drop_table("algorithm_version")
