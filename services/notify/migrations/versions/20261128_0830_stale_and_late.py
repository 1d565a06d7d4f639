"""Which tickers are STALE, which changes came from a recording, and which came too late to tell of."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261128_0830"
down_revision: str | None = "20261122_1700"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "board_silence",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("timeframe", sa.Text(), nullable=False),
        sa.Column("last_close", sa.DateTime(timezone=True), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("ticker", "timeframe", name=op.f("pk_board_silence")),
    )
    for column in ("recorded", "late"):
        op.add_column(
            "view_change", sa.Column(column, sa.Boolean(), server_default=sa.text("false"), nullable=False)
        )
    # What mails took for a recording until now.
    op.execute("UPDATE view_change SET recorded = true WHERE released_at - close_time > interval '1 day'")
    for column in ("recorded", "late"):
        op.alter_column("view_change", column, server_default=None)
    op.create_index(
        "ix_view_change_late",
        "view_change",
        ["algorithm", "close_time"],
        unique=False,
        postgresql_where=sa.text("late"),
    )
    op.drop_constraint(op.f("ck_live_message_type"), "live_message")
    op.create_check_constraint(
        op.f("ck_live_message_type"), "live_message", "type IN ('views_changed', 'alert', 'stale')"
    )


def downgrade() -> None:
    # The log goes on without them: who resumes from before gets a snapshot.
    op.execute("UPDATE live_counter SET purged_to = n")
    op.execute("DELETE FROM live_message")
    op.drop_constraint(op.f("ck_live_message_type"), "live_message")
    op.create_check_constraint(
        op.f("ck_live_message_type"), "live_message", "type IN ('views_changed', 'alert')"
    )
    op.drop_index("ix_view_change_late", "view_change")
    op.drop_column("view_change", "late")
    op.drop_column("view_change", "recorded")
    op.drop_table("board_silence")
