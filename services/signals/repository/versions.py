"""What each version of an algorithm was, and which algorithms are set aside now."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import orjson
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session


def add(session: Session, used: Sequence[tuple[str, str, Mapping[str, float]]]) -> None:
    """Remember (algorithm, version, parameters) where the version is not known yet."""
    session.execute(
        text(
            """
            INSERT INTO algorithm_version (algorithm, version, parameters)
            SELECT algorithm, version, CAST(parameters AS jsonb)
            FROM unnest(CAST(:algorithms AS text[]), CAST(:versions AS text[]), CAST(:parameters AS text[]))
                AS row (algorithm, version, parameters)
            ORDER BY algorithm, version
            ON CONFLICT (algorithm, version) DO NOTHING
            """
        ),
        {
            "algorithms": [algorithm for algorithm, _, _ in used],
            "versions": [version for _, version, _ in used],
            "parameters": [orjson.dumps(parameters).decode() for _, _, parameters in used],
        },
    )


def parameters_of(
    session: Session, wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, float]]:
    """The parameters of each (algorithm, version) that is known."""
    rows = session.execute(
        text(
            """
            SELECT algorithm, version, parameters FROM algorithm_version
            WHERE (algorithm, version) IN (SELECT * FROM unnest(CAST(:algorithms AS text[]),
                CAST(:versions AS text[])))
            """
        ),
        {"algorithms": [each for each, _ in wanted], "versions": [each for _, each in wanted]},
    )
    return {(algorithm, version): parameters for algorithm, version, parameters in rows}


def note_failures(
    connection: Connection, *, shard: int, timeframe: str, close_time: datetime, failed: Collection[str]
) -> None:
    """Note which algorithms failed in a shard's step, and that all others did not.

    One that has failed in the steps before keeps the close since which it fails.
    """
    where = {"shard": shard, "timeframe": timeframe, "failed": sorted(failed)}
    connection.execute(
        text(
            """
            DELETE FROM algorithm_failure
            WHERE shard = :shard AND timeframe = :timeframe AND algorithm <> ALL(:failed)
            """
        ),
        where,
    )
    if failed:
        connection.execute(
            text(
                """
                INSERT INTO algorithm_failure (algorithm, timeframe, shard, since)
                SELECT algorithm, :timeframe, :shard, :since
                FROM unnest(CAST(:failed AS text[])) AS row (algorithm)
                ON CONFLICT DO NOTHING
                """
            ),
            {**where, "since": close_time},
        )


def failing_since(connection: Connection) -> dict[str, datetime]:
    """The algorithms that failed in the newest step of a shard, each with the close since which it does."""
    rows = connection.execute(
        text("SELECT algorithm, min(since) AS since FROM algorithm_failure GROUP BY algorithm")
    )
    return {row.algorithm: row.since for row in rows}
