"""The turns of views, as people and programs read them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

Position = tuple[datetime, str, str, str]
"""Where a change stands in the list: close time, ticker, algorithm, timeframe."""


class ChangeItem(NamedTuple):
    """A view that turned, with its why, the rule's numbers by name, and its place in the ledger.

    A `late` one was decided so long after its close that nobody was alerted of it.
    """

    algorithm: str
    algorithm_version: str
    parameters: dict[str, float]
    ticker: str
    timeframe: str
    close_time: datetime
    from_view: str
    to_view: str
    close: float
    why: list[dict[str, Any]]
    ledger_partition: int
    ledger_sequence: int
    late: bool


def changes(
    connection: Connection,
    *,
    tickers: Sequence[str] | None = None,
    algorithm: str | None = None,
    timeframe: str | None = None,
    to_view: str | None = None,
    late: bool | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: Position | None = None,
    limit: int,
) -> list[ChangeItem]:
    """Changes at closes from `since` on, before `until`.

    The newest close comes first, then they are in order of ticker, algorithm and timeframe.
    """
    moment, before_ticker, before_algorithm, before_timeframe = before or (None, "", "", "")
    rows = connection.execute(
        text(
            """
            SELECT algorithm, algorithm_version,
                COALESCE((SELECT v.parameters FROM algorithm_version AS v
                    WHERE v.algorithm = view_change.algorithm
                        AND v.version = view_change.algorithm_version), '{}'),
                ticker, timeframe, close_time, from_view, to_view,
                CAST(close AS float8), why, ledger_partition, ledger_sequence, late
            FROM view_change
            WHERE (CAST(:tickers AS text[]) IS NULL OR ticker = ANY(:tickers))
                AND (CAST(:algorithm AS text) IS NULL OR algorithm = :algorithm)
                AND (CAST(:timeframe AS text) IS NULL OR timeframe = :timeframe)
                AND (CAST(:to_view AS text) IS NULL OR to_view = :to_view)
                AND (CAST(:late AS boolean) IS NULL OR late = :late)
                AND (CAST(:since AS timestamptz) IS NULL OR close_time >= :since)
                AND (CAST(:until AS timestamptz) IS NULL OR close_time < :until)
                AND (CAST(:moment AS timestamptz) IS NULL OR (close_time <= :moment
                    AND (close_time < :moment OR (ticker, algorithm, timeframe)
                        > (:before_ticker, :before_algorithm, :before_timeframe))))
            ORDER BY close_time DESC, ticker, algorithm, timeframe LIMIT :limit
            """
        ),
        {
            "tickers": tickers,
            "algorithm": algorithm,
            "timeframe": timeframe,
            "to_view": to_view,
            "late": late,
            "since": since,
            "until": until,
            "moment": moment,
            "before_ticker": before_ticker,
            "before_algorithm": before_algorithm,
            "before_timeframe": before_timeframe,
            "limit": limit,
        },
    )
    return [ChangeItem(*row) for row in rows]


def count_untold(connection: Connection) -> int:
    """How many changes were decided so long after their close that nobody was told of them."""
    untold: int = connection.execute(text("SELECT count(*) FROM view_change WHERE late")).scalar_one()
    return untold
