"""The numbered log of the live channel: written with what it tells, read by the live processes."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, text
from sqlalchemy.orm import Session

from services.notify.models import LiveMessage

_TAKE = text("UPDATE live_counter SET n = n + :count RETURNING n")
# Each of these is one statement, so that the counter and what it counts are of one moment.
_SNAPSHOT = text(
    """
    SELECT (SELECT n FROM live_counter),
           (SELECT coalesce(json_agg(json_build_object(
                       'algorithm', algorithm, 'ticker', ticker, 'timeframe', timeframe, 'view', view,
                       'since', to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                       'close', close)
                       ORDER BY ticker, algorithm), '[]') FROM board_view)::text,
           (SELECT coalesce(json_agg(json_build_object(
                       'ticker', ticker, 'timeframe', timeframe,
                       'since', to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                       'last_close', to_char(last_close AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
                       ORDER BY ticker, timeframe), '[]') FROM board_silence WHERE since IS NOT NULL)::text
    """
)
_STATE = text("SELECT n, purged_to FROM live_counter")
_AFTER = text(
    "SELECT n, type, data, view_change_id, created_at FROM live_message"
    " WHERE n > :number ORDER BY n LIMIT :limit"
)
_TOLD = text(
    """
    SELECT id, user_id, view_change_id, asked FROM delivery
     WHERE channel = 'live' AND view_change_id = ANY(:changes) AND user_id = ANY(:users)
    """
)
_PURGE = text(
    """
    WITH gone AS (
        DELETE FROM live_message
         WHERE n IN (SELECT n FROM live_message WHERE created_at < :before ORDER BY n LIMIT :limit)
        RETURNING n
    ), marked AS (
        UPDATE live_counter SET purged_to = greatest(purged_to, (SELECT max(n) FROM gone))
         WHERE EXISTS (SELECT FROM gone)
    )
    SELECT count(*) FROM gone
    """
)


@dataclass(frozen=True)
class Snapshot:
    """The whole board, views and STALE tickers, as JSON text, including everything up to the number ``n``."""

    n: int
    views: bytes
    stale: bytes


@dataclass(frozen=True)
class Telling:
    """One person's part in an alert: the delivery, and the tickers (``*`` for all) of their alerts."""

    delivery_id: uuid.UUID
    user_id: str
    asked: tuple[str, ...]


@dataclass(frozen=True)
class Message:
    """A message of the log. An ``alert`` is for those in ``told`` alone, anything else for everybody."""

    n: int
    type: str
    data: dict[str, Any]
    time: datetime
    told: tuple[Telling, ...] = ()


def append(
    session: Session,
    kind: str,
    data: Mapping[str, Any],
    alerts: Sequence[tuple[int, Mapping[str, Any]]] = (),
) -> int:
    """Add the message for everybody, then one for each change that people have live alerts on.

    ``alerts`` are (view change id, data). Returns the last number. Call it last in the transaction: from
    here to the commit no other one can number its messages.
    """
    last: int = session.execute(_TAKE, {"count": 1 + len(alerts)}).scalar_one()
    first = last - len(alerts)
    rows: list[dict[str, Any]] = [{"n": first, "type": kind, "data": dict(data), "view_change_id": None}]
    rows += [
        {"n": first + place, "type": "alert", "data": dict(data), "view_change_id": change}
        for place, (change, data) in enumerate(alerts, start=1)
    ]
    session.execute(insert(LiveMessage), rows)
    return last


def last_number(connection: Connection) -> int:
    """The last number given."""
    return int(connection.execute(_STATE).one().n)


def snapshot(connection: Connection) -> Snapshot:
    """The board as it is now."""
    n, views, stale = connection.execute(_SNAPSHOT).one()
    return Snapshot(n, str(views).encode(), str(stale).encode())


def after(connection: Connection, number: int, users: Sequence[str], *, limit: int) -> list[Message] | None:
    """At most ``limit`` messages after ``number``, in order; alerts say which of ``users`` they are for.

    None when the log does not reach back to ``number``, or the channel has never reached it.
    """
    rows = connection.execute(_AFTER, {"number": number, "limit": limit}).all()
    changes = [row.view_change_id for row in rows if row.type == "alert"]
    told: dict[int, list[Telling]] = {}
    if changes and users:
        for row in connection.execute(_TOLD, {"changes": changes, "users": list(users)}):
            telling = Telling(row.id, row.user_id, tuple(row.asked))
            told.setdefault(row.view_change_id, []).append(telling)
    # Asked last: what a purge took away while we read shows in its mark.
    state = connection.execute(_STATE).one()
    if not state.purged_to <= number <= state.n:
        return None
    return [
        Message(row.n, row.type, row.data, row.created_at, tuple(told.get(row.view_change_id, ())))
        for row in rows
    ]


def purge(session: Session, before: datetime, limit: int) -> int:
    """Forget the oldest messages from before a moment, at most ``limit``; how many there were.

    Who has to resume from before gets a snapshot.
    """
    return int(session.execute(_PURGE, {"before": before, "limit": limit}).scalar_one())
