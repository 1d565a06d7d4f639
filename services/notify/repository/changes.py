"""The queries of notify on view changes: those that people are told of, and were."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, RowMapping, text
from sqlalchemy.orm import Session

from shared.contracts.signals import ViewsChangedV1

_RECORD_CHANGES = text(
    """
    WITH change AS (
        INSERT INTO view_change (algorithm, algorithm_version, ticker, timeframe, close_time, from_view,
                                 to_view, close, why, ledger_partition, ledger_sequence, released_at,
                                 evaluated_at, queued_at, recorded, late)
        SELECT algorithm, algorithm_version, ticker, :timeframe, :close_time, "from", "to",
               close, why, (ledger->>'partition')::int, (ledger->>'sequence')::bigint,
               :released_at, :evaluated_at, clock_timestamp(), :recorded, :late
          FROM jsonb_to_recordset(CAST(:changes AS jsonb)) AS given(
               algorithm text, algorithm_version text, ticker text, "from" text, "to" text, close float8,
               why jsonb, ledger jsonb)
         ORDER BY algorithm, ticker
        ON CONFLICT (algorithm, ticker, timeframe, close_time) DO NOTHING
        RETURNING id, algorithm, ticker, timeframe, close_time, from_view, to_view, close
    ), board AS (
        INSERT INTO board_view AS b (algorithm, ticker, timeframe, view, since, close)
        SELECT algorithm, ticker, timeframe, to_view, close_time, close FROM change ORDER BY algorithm, ticker
        ON CONFLICT (algorithm, ticker) DO UPDATE
           SET timeframe = excluded.timeframe, view = excluded.view, since = excluded.since,
               close = excluded.close
         WHERE b.since < excluded.since
    )
    SELECT change.id, change.algorithm, coalesce(listed.name, change.algorithm) AS algorithm_name,
           change.ticker, change.from_view, change.to_view, change.close
      FROM change LEFT JOIN catalogue_algorithm listed ON listed.key = change.algorithm
     ORDER BY change.algorithm, change.ticker
    """
)

# What was told has deliveries. A late change has none: it is found by the alerts that would have told of it,
# had it been decided in time.
_INBOX = text(
    """
    SELECT c.id, c.algorithm, coalesce(listed.name, c.algorithm) AS algorithm_name, c.ticker, c.timeframe,
           c.close_time, c.from_view, c.to_view, c.close, c.why, c.released_at, c.evaluated_at, c.queued_at,
           c.late, found.deliveries
      FROM ((SELECT view_change_id,
                    jsonb_agg(jsonb_build_object('channel', channel, 'state', state,
                                                 'accepted_at', receipt->>'accepted_at')
                              ORDER BY channel) AS deliveries
               FROM delivery
              WHERE user_id = :user_id AND view_change_id < :before
              GROUP BY view_change_id ORDER BY view_change_id DESC LIMIT :limit)
            UNION ALL
            (SELECT DISTINCT late.id, CAST('[]' AS jsonb)
               FROM alert a
               JOIN view_change late ON late.late AND late.algorithm = a.algorithm
                    AND late.close_time > a.created_at AND (a.ticker IS NULL OR a.ticker = late.ticker)
              WHERE a.user_id = :user_id AND a.channels <> '{}' AND late.id < :before
              ORDER BY late.id DESC LIMIT :limit)) AS found
      JOIN view_change c ON c.id = found.view_change_id
      LEFT JOIN catalogue_algorithm listed ON listed.key = c.algorithm
     ORDER BY c.id DESC LIMIT :limit
    """
)


def record_changes(session: Session, event: ViewsChangedV1) -> Sequence[RowMapping]:
    """Keep the changes of an event that are new to us and bring the board up to them, if it is older.

    Returns the new ones: id, algorithm, algorithm_name, ticker, from_view, to_view, close.
    """
    changes = [change.model_dump(mode="json", by_alias=True) for change in event.changes]
    parameters = {
        "changes": orjson.dumps(changes).decode(),
        "timeframe": event.timeframe,
        "close_time": event.close_time,
        "released_at": event.released_at,
        "evaluated_at": event.evaluated_at,
        "recorded": event.recorded,
        "late": event.late,
    }
    return session.execute(_RECORD_CHANGES, parameters).mappings().all()


def inbox(
    connection: Connection | Session, user_id: str, *, before: int | None, limit: int
) -> Sequence[Row[Any]]:
    """What the person was told before a view change's id, newest first; one row for each change.

    A late change that their alerts cover is there too, without deliveries.
    """
    parameters = {"user_id": user_id, "before": before if before is not None else 2**63 - 1, "limit": limit}
    return connection.execute(_INBOX, parameters).all()
