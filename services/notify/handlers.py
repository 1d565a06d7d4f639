"""What notify does when others tell it something."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from services.notify import service
from shared.bus import Handler
from shared.contracts.auth import UserDeletedV1, UserRegisteredV1
from shared.contracts.billing import EntitlementChangedV1
from shared.contracts.envelope import Envelope, Event
from shared.contracts.signals import (
    AlgorithmsListedV1,
    TickerRecoveredV1,
    TickersListedV1,
    TickerStaleV1,
    ViewsChangedV1,
)


def user_registered(session: Session, envelope: Envelope[UserRegisteredV1]) -> None:
    """Somebody is to be welcomed."""
    service.welcome(session, envelope.data)


def user_deleted(session: Session, envelope: Envelope[UserDeletedV1]) -> None:
    """Somebody is to be forgotten."""
    service.forget(session, envelope.data.user_id, envelope.time)


def entitlement_changed(session: Session, envelope: Envelope[EntitlementChangedV1]) -> None:
    """Somebody may do more, or less."""
    service.keep_entitlement(session, envelope.data, envelope.aggregate_version)


def tickers_listed(session: Session, envelope: Envelope[TickersListedV1]) -> None:
    """There are new tickers."""
    service.list_tickers(session, envelope.data)


def algorithms_listed(session: Session, envelope: Envelope[AlgorithmsListedV1]) -> None:
    """There are other algorithms."""
    service.list_algorithms(session, envelope.data, envelope.aggregate_version)


def views_changed(session: Session, envelope: Envelope[ViewsChangedV1]) -> None:
    """People are to be told."""
    service.tell(session, envelope.data)


def ticker_stale(session: Session, envelope: Envelope[TickerStaleV1]) -> None:
    """Open pages are to show tickers as STALE."""
    service.mark_stale(session, envelope.data)


def ticker_recovered(session: Session, envelope: Envelope[TickerRecoveredV1]) -> None:
    """Open pages are to show tickers as STALE no more."""
    service.mark_recovered(session, envelope.data)


HANDLERS: Mapping[type[Event], Handler] = {
    UserRegisteredV1: user_registered,
    UserDeletedV1: user_deleted,
    EntitlementChangedV1: entitlement_changed,
    TickersListedV1: tickers_listed,
    AlgorithmsListedV1: algorithms_listed,
    ViewsChangedV1: views_changed,
    TickerStaleV1: ticker_stale,
    TickerRecoveredV1: ticker_recovered,
}
