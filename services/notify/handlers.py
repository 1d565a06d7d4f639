"""What notify does about each event."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.orm import Session

from services.notify import deliveries, live_log, repository
from services.notify.constants import LIVE
from shared.bus import Handler
from shared.contracts.auth import UserDeletedV1, UserRegisteredV1
from shared.contracts.billing import EntitlementChangedV1
from shared.contracts.envelope import Envelope, Event
from shared.contracts.notify import LiveMessageAddedV1
from shared.contracts.signals import AlgorithmsListedV1, TickersListedV1, ViewsChangedV1
from shared.db import outbox


def user_registered(session: Session, envelope: Envelope[UserRegisteredV1]) -> None:
    """Keep the contact and welcome the person; nothing when the account is deleted already."""
    user = envelope.data
    if repository.add_contact(session, user.user_id, user.user_name, user.email):
        deliveries.welcome(session, user.user_id)


def user_deleted(session: Session, envelope: Envelope[UserDeletedV1]) -> None:
    """Forget the person, and remember that they are gone."""
    user_id = envelope.data.user_id
    repository.lock_person(session, user_id)
    repository.bury_contact(session, user_id, envelope.time)
    repository.forget_wishes(session, user_id)
    deliveries.cancel_all(session, user_id, "account deleted")


def entitlement_changed(session: Session, envelope: Envelope[EntitlementChangedV1]) -> None:
    """Keep what the person may do; an older version changes nothing, nor does one of a deleted account."""
    user_id = envelope.data.user_id
    repository.lock_person(session, user_id)
    known = repository.contact(session, user_id)
    if known is None or known.deleted_at is None:
        repository.put_entitlement(session, envelope.data, envelope.aggregate_version)


def tickers_listed(session: Session, envelope: Envelope[TickersListedV1]) -> None:
    """Offer new tickers."""
    repository.put_tickers(session, envelope.data)


def algorithms_listed(session: Session, envelope: Envelope[AlgorithmsListedV1]) -> None:
    """Offer the algorithms of the newest list."""
    repository.put_algorithms(session, envelope.data, envelope.aggregate_version)


def views_changed(session: Session, envelope: Envelope[ViewsChangedV1]) -> None:
    """Tell everybody who asked, each once: a fact, so its place among other events does not matter.

    A change that came before, be it under another message id, tells nobody again.
    """
    event = envelope.data
    changes = repository.record_changes(session, event)
    if not changes:
        return
    told = deliveries.fan_out(session, [change["id"] for change in changes])
    moment = {"timeframe": event.timeframe, "close_time": deliveries.iso(event.close_time)}
    views = moment | {"changes": [_wire(change) for change in changes]}
    alerts = [
        (change["id"], moment | _wire(change) | {"algorithm_name": change["algorithm_name"]})
        for change in _with_live(changes, told)
    ]
    n = live_log.append(session, views, alerts)
    outbox.add(session, LiveMessageAddedV1(n=n), aggregate_id="live", aggregate_version=n)


def _with_live(changes: Sequence[RowMapping], told: dict[int, dict[str, int]]) -> list[RowMapping]:
    return [change for change in changes if LIVE in told.get(change["id"], {})]


def _wire(change: RowMapping) -> dict[str, Any]:
    return {
        "algorithm": change["algorithm"],
        "ticker": change["ticker"],
        "from": change["from_view"],
        "to": change["to_view"],
        "close": change["close"],
    }


HANDLERS: dict[type[Event], Handler] = {
    UserRegisteredV1: user_registered,
    UserDeletedV1: user_deleted,
    EntitlementChangedV1: entitlement_changed,
    TickersListedV1: tickers_listed,
    AlgorithmsListedV1: algorithms_listed,
    ViewsChangedV1: views_changed,
}
