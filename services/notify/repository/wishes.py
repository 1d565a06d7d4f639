"""The queries of notify on what people ask for."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Row, Select, func, select, text, tuple_
from sqlalchemy.orm import Session

from services.notify.models import Alert, CatalogueAlgorithm

AlertRow = Row[uuid.UUID, str, str, str | None, list[str], datetime]
"""id, algorithm, algorithm_name, ticker, channels, created_at."""


def alert_on(session: Session, user_id: str, algorithm: str, ticker: str | None) -> Alert | None:
    """The person's alert on exactly this algorithm and ticker."""
    same_ticker = Alert.ticker.is_not_distinct_from(ticker)
    query = select(Alert).where(Alert.user_id == user_id, Alert.algorithm == algorithm, same_ticker)
    return session.scalars(query).one_or_none()


def count_alerts(session: Session, user_id: str) -> int:
    """How many alerts the person has."""
    return session.execute(select(func.count()).where(Alert.user_id == user_id)).scalar_one()


def _alerts() -> Select[uuid.UUID, str, str, str | None, list[str], datetime]:
    name = func.coalesce(CatalogueAlgorithm.name, Alert.algorithm).label("algorithm_name")
    return select(Alert.id, Alert.algorithm, name, Alert.ticker, Alert.channels, Alert.created_at).outerjoin(
        CatalogueAlgorithm, CatalogueAlgorithm.key == Alert.algorithm
    )


def alert(session: Session, alert_id: uuid.UUID) -> AlertRow:
    """An alert with its algorithm's name."""
    return session.execute(_alerts().where(Alert.id == alert_id)).one()


def alerts(
    connection: Connection | Session, user_id: str, *, after: tuple[datetime, uuid.UUID] | None, limit: int
) -> Sequence[AlertRow]:
    """The person's alerts with their algorithms' names, oldest first, after a (created_at, id)."""
    query = _alerts().where(Alert.user_id == user_id).order_by(Alert.created_at, Alert.id).limit(limit)
    if after is not None:
        query = query.where(tuple_(Alert.created_at, Alert.id) > tuple_(*after))
    return connection.execute(query).all()


def delete_alert(session: Session, user_id: str, alert_id: uuid.UUID) -> bool:
    """Delete a person's alert; False when it is not there, or not theirs."""
    statement = text("DELETE FROM alert WHERE id = :id AND user_id = :user_id RETURNING id")
    return session.execute(statement, {"id": alert_id, "user_id": user_id}).first() is not None


def forget(session: Session, user_id: str) -> None:
    """Delete a person's alerts."""
    session.execute(text("DELETE FROM alert WHERE user_id = :user_id"), {"user_id": user_id})


def stop_mail(session: Session, user_id: str, algorithm: str | None, ticker: str | None) -> int:
    """Take mail off the person's alerts: off those that tell of (algorithm, ticker), or off all for None.

    Returns how many alerts that were.
    """
    statement = text(
        """
        UPDATE alert SET channels = array_remove(channels, 'mail')
         WHERE user_id = :user_id AND 'mail' = ANY(channels)
           AND (CAST(:algorithm AS text) IS NULL
                OR (algorithm = :algorithm AND (ticker IS NULL OR ticker = :ticker)))
        RETURNING id
        """
    )
    parameters = {"user_id": user_id, "algorithm": algorithm, "ticker": ticker}
    return len(session.execute(statement, parameters).all())
