"""Which tickers are STALE: no candle of them came for two timeframes."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from services.signals.evaluation import Silence


class Tally(NamedTuple):
    """How many tickers of a timeframe there are, and how many of them are STALE."""

    timeframe: str
    tickers: int
    stale: int


def stale(session: Session, timeframe: str, partitions: Sequence[int]) -> set[str]:
    """The tickers of some partitions that are STALE."""
    rows = session.execute(
        text(
            """
            SELECT ticker FROM ticker
            WHERE stale_since IS NOT NULL AND timeframe = :timeframe AND partition = ANY(:partitions)
            """
        ),
        {"timeframe": timeframe, "partitions": list(partitions)},
    )
    return set(rows.scalars())


def mark_stale(session: Session, timeframe: str, tickers: Collection[str], since: datetime) -> None:
    """Tickers are STALE from a moment on."""
    session.execute(
        text(
            "UPDATE ticker SET stale_since = :since WHERE timeframe = :timeframe AND ticker = ANY(:tickers)"
        ),
        {"timeframe": timeframe, "tickers": list(tickers), "since": since},
    )


def mark_recovered(session: Session, timeframe: str, tickers: Collection[str]) -> None:
    """Tickers are no longer STALE."""
    session.execute(
        text("UPDATE ticker SET stale_since = NULL WHERE timeframe = :timeframe AND ticker = ANY(:tickers)"),
        {"timeframe": timeframe, "tickers": list(tickers)},
    )


def silent(session: Session, timeframe: str, length: timedelta, now: datetime) -> list[Silence]:
    """The tickers, not yet STALE, of which no candle closed within two timeframes before a moment."""
    rows = session.execute(
        text(
            """
            SELECT t.ticker, last.open_time + :length FROM ticker AS t
            CROSS JOIN LATERAL (SELECT open_time FROM candle
                WHERE ticker = t.ticker AND timeframe = :timeframe AND evaluated_in IS NOT NULL
                ORDER BY open_time DESC LIMIT 1) AS last
            WHERE t.timeframe = :timeframe AND t.stale_since IS NULL AND NOT EXISTS (SELECT 1 FROM candle
                WHERE ticker = t.ticker AND timeframe = :timeframe AND open_time > :opened
                    AND evaluated_in IS NOT NULL)
            ORDER BY t.ticker
            """
        ),
        {"timeframe": timeframe, "length": length, "opened": now - 3 * length},
    )
    return [Silence(*row) for row in rows]


def live_sequence(connection: Connection) -> int | None:
    """How many batches the feed in use has released; None when it is a replay, or there is none."""
    sequence: int | None = connection.execute(
        text(
            """
            SELECT CASE WHEN kind <> 'replay' THEN sequence END FROM feed ORDER BY chosen_at DESC LIMIT 1
            """
        )
    ).scalar_one_or_none()
    return sequence


def tally(connection: Connection) -> list[Tally]:
    """Tickers and STALE ones of each timeframe that has any."""
    rows = connection.execute(
        text("SELECT timeframe, count(*), count(stale_since) FROM ticker GROUP BY timeframe")
    )
    return [Tally(*row) for row in rows]
