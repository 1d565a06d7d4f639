"""The queries of notify on people, what they ask for, and what they were told."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, RowMapping, Select, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from services.notify.models import Alert, CatalogueAlgorithm, CatalogueTicker, Contact, Entitlement
from shared.contracts.billing import EntitlementChangedV1
from shared.contracts.signals import AlgorithmsListedV1, TickersListedV1, ViewsChangedV1

AlertRow = Row[uuid.UUID, str, str, str | None, list[str], datetime]
"""id, algorithm, algorithm_name, ticker, channels, created_at."""

_LOCK_PERSON = text("SELECT pg_advisory_xact_lock(hashtextextended('notify person ' || :user_id, 0))")

_RECORD_CHANGES = text(
    """
    WITH change AS (
        INSERT INTO view_change (algorithm, algorithm_version, ticker, timeframe, close_time, from_view,
                                 to_view, close, why, ledger_partition, ledger_sequence, released_at,
                                 evaluated_at, queued_at)
        SELECT algorithm, algorithm_version, ticker, :timeframe, :close_time, "from", "to",
               close, why, (ledger->>'partition')::int, (ledger->>'sequence')::bigint,
               :released_at, :evaluated_at, clock_timestamp()
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

_INBOX = text(
    """
    SELECT c.id, c.algorithm, coalesce(listed.name, c.algorithm) AS algorithm_name, c.ticker, c.timeframe,
           c.close_time, c.from_view, c.to_view, c.close, c.why, c.released_at, c.evaluated_at, c.queued_at,
           told.deliveries
      FROM (SELECT view_change_id,
                   jsonb_agg(jsonb_build_object('channel', channel, 'state', state,
                                                'accepted_at', receipt->>'accepted_at')
                             ORDER BY channel) AS deliveries
              FROM delivery
             WHERE user_id = :user_id AND view_change_id < :before
             GROUP BY view_change_id ORDER BY view_change_id DESC LIMIT :limit) told
      JOIN view_change c ON c.id = told.view_change_id
      LEFT JOIN catalogue_algorithm listed ON listed.key = c.algorithm
     ORDER BY c.id DESC
    """
)


def lock_person(session: Session, user_id: str) -> None:
    """Let one transaction at a time change what this service knows of a person."""
    session.execute(_LOCK_PERSON, {"user_id": user_id})


def contact(session: Session, user_id: str) -> Contact | None:
    """The person's contact, or the tombstone that it left."""
    return session.get(Contact, user_id)


def add_contact(session: Session, user_id: str, user_name: str, email: str) -> bool:
    """Keep how to reach a person; False when we knew already, or the account is deleted."""
    made = insert(Contact).values(user_id=user_id, user_name=user_name, email=email).on_conflict_do_nothing()
    return session.execute(made.returning(Contact.user_id)).first() is not None


def bury_contact(session: Session, user_id: str, deleted_at: datetime) -> None:
    """Leave nothing of a contact but the fact that it is gone."""
    gone = {"user_name": None, "email": None, "deleted_at": deleted_at}
    statement = insert(Contact).values(user_id=user_id, **gone)
    session.execute(statement.on_conflict_do_update(index_elements=[Contact.user_id], set_=gone))


def forget_wishes(session: Session, user_id: str) -> None:
    """Delete a person's alerts and entitlement."""
    parameters = {"user_id": user_id}
    session.execute(text("DELETE FROM entitlement WHERE user_id = :user_id"), parameters)
    session.execute(text("DELETE FROM alert WHERE user_id = :user_id"), parameters)


def put_entitlement(session: Session, event: EntitlementChangedV1, version: int) -> None:
    """Keep what a person may do, unless a newer version is known."""
    new = {
        "version": version,
        "alerts_max": event.entitlements.alerts_max,
        "channels": list(event.entitlements.channels),
    }
    statement = insert(Entitlement).values(user_id=event.user_id, **new)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Entitlement.user_id], set_=new, where=Entitlement.version < version
        )
    )


def entitlement(session: Session, user_id: str) -> Entitlement | None:
    """What a person may do; None while billing has not told."""
    return session.get(Entitlement, user_id)


def put_tickers(session: Session, event: TickersListedV1) -> None:
    """Offer these tickers from now on."""
    rows = sorted(((listed.ticker, listed.timeframe) for listed in event.tickers), key=lambda row: row[0])
    statement = insert(CatalogueTicker).values([{"ticker": t, "timeframe": f} for t, f in dict(rows).items()])
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[CatalogueTicker.ticker], set_={"timeframe": statement.excluded.timeframe}
        )
    )


def put_algorithms(session: Session, event: AlgorithmsListedV1, version: int) -> None:
    """Offer exactly these algorithms, unless a newer list is known; former ones keep their names."""
    session.execute(text("LOCK TABLE catalogue_algorithm IN SHARE ROW EXCLUSIVE MODE"))
    if (session.execute(select(func.max(CatalogueAlgorithm.version))).scalar() or -1) >= version:
        return
    session.execute(
        text("UPDATE catalogue_algorithm SET listed = false, version = :version"), {"version": version}
    )
    for algorithm in event.algorithms:
        new = {"name": algorithm.name, "timeframe": algorithm.timeframe, "listed": True, "version": version}
        statement = insert(CatalogueAlgorithm).values(key=algorithm.key, **new)
        session.execute(statement.on_conflict_do_update(index_elements=[CatalogueAlgorithm.key], set_=new))


def algorithms(session: Session) -> Sequence[CatalogueAlgorithm]:
    """The algorithms one may ask for, by name."""
    query = select(CatalogueAlgorithm).where(CatalogueAlgorithm.listed).order_by(CatalogueAlgorithm.name)
    return session.scalars(query).all()


def tickers(session: Session) -> Sequence[str]:
    """The tickers one may ask for, in alphabetical order."""
    return session.scalars(select(CatalogueTicker.ticker).order_by(CatalogueTicker.ticker)).all()


def algorithm_name(connection: Connection, key: str) -> str:
    """The name of an algorithm, listed or not; its key when it never was."""
    query = select(CatalogueAlgorithm.name).where(CatalogueAlgorithm.key == key)
    return connection.execute(query).scalar() or key


def is_listed_algorithm(session: Session, key: str) -> bool:
    """Whether one may ask for the algorithm."""
    known = session.get(CatalogueAlgorithm, key)
    return known is not None and known.listed


def is_listed_ticker(session: Session, ticker: str) -> bool:
    """Whether one may ask for the ticker."""
    return session.get(CatalogueTicker, ticker) is not None


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
    }
    return session.execute(_RECORD_CHANGES, parameters).mappings().all()


def inbox(
    connection: Connection | Session, user_id: str, *, before: int | None, limit: int
) -> Sequence[Row[Any]]:
    """What the person was told before a view change's id, newest first; one row for each change."""
    parameters = {"user_id": user_id, "before": before if before is not None else 2**63 - 1, "limit": limit}
    return connection.execute(_INBOX, parameters).all()
