"""The queries of notify on what one may ask for: algorithms and tickers."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from services.notify.models import CatalogueAlgorithm, CatalogueTicker
from shared.contracts.signals import AlgorithmsListedV1, TickersListedV1


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
