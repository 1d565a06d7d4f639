"""The three tables of messaging: how migrations make them, how models know them, how they stay small."""

from datetime import timedelta

from alembic.operations import Operations
from sqlalchemy import MetaData, text

from shared.db.base import NAMING
from shared.db.dead_letters import dead_letter_table
from shared.db.engine import Database
from shared.db.inbox import inbox_table
from shared.db.outbox import CHANNEL, outbox_table

KEEP_PUBLISHED = timedelta(days=1)
KEEP_INBOX = timedelta(days=60)
"""Longer than anything is replayed from a dead-letter queue or a backup."""

_PURGE_OUTBOX = text(
    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE published_at < now() - :keep LIMIT :limit)"
)
_PURGE_INBOX = text(
    "DELETE FROM inbox WHERE (consumer, message_id) IN"
    " (SELECT consumer, message_id FROM inbox WHERE received_at < now() - :keep LIMIT :limit)"
)


def declare(metadata: MetaData) -> None:
    """Add the messaging tables to a service's metadata, unless there; drift is checked with them."""
    for name, define in (
        ("outbox", outbox_table),
        ("inbox", inbox_table),
        ("dead_letter", dead_letter_table),
    ):
        if name not in metadata.tables:
            define(metadata)


def create_v1(op: Operations) -> None:
    """Create outbox, inbox and dead_letter, as the first migration of every service does.

    This is history once released: a later shape is a ``create_v2`` beside it. Pass alembic's ``op`` module.
    """
    metadata = MetaData(naming_convention=NAMING)
    declare(metadata)
    metadata.create_all(op.get_bind(), checkfirst=False)
    op.execute(
        f"CREATE FUNCTION outbox_wake() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM pg_notify('{CHANNEL}', ''); RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER outbox_wake AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_wake()"
    )


def drop_v1(op: Operations) -> None:
    """Undo ``create_v1``."""
    for name in ("dead_letter", "inbox", "outbox"):
        op.drop_table(name)
    op.execute("DROP FUNCTION outbox_wake()")


def purge(
    database: Database,
    *,
    keep_published: timedelta = KEEP_PUBLISHED,
    keep_inbox: timedelta = KEEP_INBOX,
    limit: int = 5000,
) -> int:
    """Delete at most ``limit`` old rows of outbox and of inbox, each; returns how many went.

    Unpublished outbox rows stay however old they are. Dead letters stay until somebody decides.
    """
    with database.transaction() as session:
        published = session.connection().execute(_PURGE_OUTBOX, {"keep": keep_published, "limit": limit})
        received = session.connection().execute(_PURGE_INBOX, {"keep": keep_inbox, "limit": limit})
        return published.rowcount + received.rowcount
