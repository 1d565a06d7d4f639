"""The changes of which nobody was told, found at once."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_1350"
down_revision: str | None = "20261128_0925"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "ix_view_change_late", "view_change", ["close_time"], unique=False, postgresql_where=sa.text("late")
    )


def downgrade() -> None:
    op.drop_index("ix_view_change_late", table_name="view_change", postgresql_where=sa.text("late"))
