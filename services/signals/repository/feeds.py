"""Where feeds stand, what the worker published last, and which feed people look at."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session


class FeedState(NamedTuple):
    """How far a feed has come: the number of batches sent, and timeframe and close of the last of them."""

    sequence: int
    timeframe: str | None
    close_time: datetime | None
    outbox_id: uuid.UUID | None


class FeedNotice(NamedTuple):
    """What pages say of the feed in use: its kind, and where its data come from.

    `ended` is the close time of the last candle when none follows.
    """

    kind: str
    source: str
    ended: datetime | None


def open_feed(session: Session, name: str, kind: str, source: str) -> FeedState:
    """The state of a feed, which is from now on the one in use; a new one stands at its beginning."""
    row = session.execute(
        text(
            """
            INSERT INTO feed (name, kind, source, sequence) VALUES (:name, :kind, :source, 0)
            ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, source = excluded.source, chosen_at = now()
            RETURNING sequence, timeframe, close_time, outbox_id
            """
        ),
        {"name": name, "kind": kind, "source": source},
    ).one()
    return FeedState(*row)


def advance(session: Session, name: str, state: FeedState, tickers: int) -> bool:
    """Move a feed on to `state`, a batch of so many tickers, and list that batch as released.

    False when the feed is not at the batch before (another process sends too).
    """
    moved = session.execute(
        text(
            """
            WITH moved AS (
                UPDATE feed SET sequence = :sequence, timeframe = :timeframe, close_time = :close_time,
                    outbox_id = :outbox_id, ended = false
                WHERE name = :name AND sequence = :sequence - 1
                RETURNING name, sequence, timeframe, close_time)
            INSERT INTO released_batch (feed, sequence, timeframe, close_time, tickers)
            SELECT name, sequence, timeframe, close_time, :tickers FROM moved RETURNING feed
            """
        ),
        {"name": name, "tickers": tickers, **state._asdict()},
    )
    return moved.first() is not None


def note_unusable(session: Session, name: str, sequence: int) -> None:
    """Remember of a released batch that none of its candles was sound and of its ticker's own timeframe."""
    session.execute(
        text("UPDATE released_batch SET unusable = true WHERE feed = :name AND sequence = :sequence"),
        {"name": name, "sequence": sequence},
    )


def end(session: Session, name: str) -> None:
    """Remember that nothing follows on the last batch of a feed."""
    session.execute(text("UPDATE feed SET ended = true WHERE name = :name"), {"name": name})


def last_close(connection: Connection, name: str) -> datetime | None:
    """The close time of the last batch that a feed has sent; None before the first."""
    row = connection.execute(text("SELECT close_time FROM feed WHERE name = :name"), {"name": name})
    return row.scalar_one_or_none()


def is_published(connection: Connection, outbox_id: uuid.UUID) -> bool:
    """Whether an outbox row has gone out; one that was purged has."""
    waiting = connection.execute(
        text("SELECT 1 FROM outbox WHERE id = :id AND published_at IS NULL"), {"id": outbox_id}
    )
    return waiting.first() is None


def feed_in_use(connection: Connection) -> FeedNotice | None:
    """The feed that was opened last."""
    row = connection.execute(
        text(
            """
            SELECT kind, source, CASE WHEN ended THEN close_time END FROM feed ORDER BY chosen_at DESC LIMIT 1
            """
        )
    ).one_or_none()
    return None if row is None else FeedNotice(*row)


def published_algorithms(session: Session) -> tuple[int, list[dict[str, Any]]]:
    """Version and content of the list of algorithms as last published, locked; (0, []) before the first."""
    row = session.execute(text("SELECT version, algorithms FROM algorithm_list FOR UPDATE")).one_or_none()
    return (0, []) if row is None else (row.version, row.algorithms)


def set_published_algorithms(session: Session, version: int, algorithms: Sequence[dict[str, Any]]) -> None:
    """Remember a list of algorithms as published."""
    session.execute(
        text(
            """
            INSERT INTO algorithm_list (id, version, algorithms) VALUES (1, :version, :algorithms)
            ON CONFLICT (id) DO UPDATE SET version = excluded.version, algorithms = excluded.algorithms
            """
        ).bindparams(bindparam("algorithms", type_=JSONB)),
        {"version": version, "algorithms": list(algorithms)},
    )
