"""The use cases of notify: knowing people, their alerts, telling them, and what they were told."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, RowMapping
from sqlalchemy.orm import Session

from services.notify import errors
from services.notify.constants import CHANNELS, LIVE, MAIL, WORKING_CHANNELS
from services.notify.models import Alert, CatalogueAlgorithm, Entitlement
from services.notify.repository import catalogue, changes, deliveries, live_log, people, silences, wishes
from services.notify.repository.wishes import AlertRow
from services.notify.unsubscribing import Subscription
from shared.contracts.auth import UserRegisteredV1
from shared.contracts.billing import EntitlementChangedV1
from shared.contracts.notify import LiveMessageAddedV1
from shared.contracts.signals import (
    AlgorithmsListedV1,
    TickerRecoveredV1,
    TickersListedV1,
    TickerStaleV1,
    ViewsChangedV1,
)
from shared.db import outbox


@dataclass(frozen=True)
class Offer:
    """What a person may ask for, and how much of it they have. ``entitlement`` None: not known yet."""

    algorithms: Sequence[CatalogueAlgorithm]
    tickers: Sequence[str]
    entitlement: Entitlement | None
    alerts: int


def welcome(session: Session, user: UserRegisteredV1) -> None:
    """Keep the contact and welcome the person; nothing when the account is deleted already."""
    if people.add_contact(session, user.user_id, user.user_name, user.email):
        deliveries.welcome(session, user.user_id)


def forget(session: Session, user_id: str, deleted_at: datetime) -> None:
    """Forget the person, and remember that they are gone."""
    people.lock_person(session, user_id)
    people.bury_contact(session, user_id, deleted_at)
    people.forget_entitlement(session, user_id)
    wishes.forget(session, user_id)
    deliveries.cancel_all(session, user_id, "account deleted")


def keep_entitlement(session: Session, event: EntitlementChangedV1, version: int) -> None:
    """Keep what the person may do; an older version changes nothing, nor does one of a deleted account."""
    people.lock_person(session, event.user_id)
    known = people.contact(session, event.user_id)
    if known is None or known.deleted_at is None:
        people.put_entitlement(session, event, version)


def list_tickers(session: Session, event: TickersListedV1) -> None:
    """Offer new tickers."""
    catalogue.put_tickers(session, event)


def list_algorithms(session: Session, event: AlgorithmsListedV1, version: int) -> None:
    """Offer the algorithms of the newest list."""
    catalogue.put_algorithms(session, event, version)


def tell(session: Session, event: ViewsChangedV1) -> None:
    """Tell everybody who asked, each once: a fact, so its place among other events does not matter.

    A change that came before, be it under another message id, tells nobody again. A late one moves the
    board and alerts nobody.
    """
    new = changes.record_changes(session, event)
    if not new:
        return
    told = {} if event.late else deliveries.fan_out(session, [change["id"] for change in new])
    moment = {"timeframe": event.timeframe, "close_time": deliveries.iso(event.close_time)}
    views = moment | {"late": event.late, "changes": [_wire(change) for change in new]}
    alerts = [
        (change["id"], moment | _wire(change) | {"algorithm_name": change["algorithm_name"]})
        for change in new
        if LIVE in told.get(change["id"], {})
    ]
    _show(session, "views_changed", views, alerts)


def mark_stale(session: Session, event: TickerStaleV1) -> None:
    """Show tickers as STALE to everybody, unless a newer candle of theirs is known."""
    new = silences.fall_silent(session, event)
    if new:
        data = {
            "timeframe": event.timeframe,
            "as_of": deliveries.iso(event.as_of),
            "tickers": [
                {"ticker": each.ticker, "last_close": deliveries.iso(each.last_close)} for each in new
            ],
        }
        _show(session, "stale", data)


def mark_recovered(session: Session, event: TickerRecoveredV1) -> None:
    """Show tickers as STALE no more to everybody, unless they fell silent anew since."""
    new = silences.recover(session, event)
    if new:
        close_time = deliveries.iso(event.close_time)
        _show(session, "stale", {"timeframe": event.timeframe, "close_time": close_time, "recovered": new})


def offer(session: Session, user_id: str) -> Offer:
    """What the person may ask for."""
    return Offer(
        algorithms=catalogue.algorithms(session),
        tickers=catalogue.tickers(session),
        entitlement=people.entitlement(session, user_id),
        alerts=wishes.count_alerts(session, user_id),
    )


def ask_for_alert(
    session: Session, user_id: str, algorithm: str, ticker: str | None, channels: Iterable[str]
) -> tuple[AlertRow, bool]:
    """Keep a person's wish; returns the alert and whether it is new.

    Asked again for the same algorithm and ticker, the alert gets the new channels. Raises AppError: 400 for
    what is not listed, 409 while account or plan have not reached us, when the channel has no address or
    mails to it were stopped, 403 for what the plan does not include.
    """
    if not catalogue.is_listed_algorithm(session, algorithm):
        raise errors.invalid("algorithm", "There is no such algorithm.")
    if ticker is not None and not catalogue.is_listed_ticker(session, ticker):
        raise errors.invalid("ticker", "There is no such ticker.")
    # One at a time for each person, or the limit would not hold.
    people.lock_person(session, user_id)
    allowed = people.entitlement(session, user_id)
    contact = people.contact(session, user_id)
    if allowed is None or contact is None or contact.deleted_at is not None:
        raise errors.account_being_prepared()
    wanted = _permitted(allowed, channels)
    if MAIL in wanted and contact.mail_stopped_at is not None:
        raise errors.mail_stopped()
    alert = wishes.alert_on(session, user_id, algorithm, ticker)
    if alert is not None:
        alert.channels = wanted
        session.flush()
        return wishes.alert(session, alert.id), False
    if allowed.alerts_max is not None and wishes.count_alerts(session, user_id) >= allowed.alerts_max:
        raise errors.alert_limit_reached(allowed.alerts_max)
    alert = Alert(user_id=user_id, algorithm=algorithm, ticker=ticker, channels=wanted)
    session.add(alert)
    session.flush()
    return wishes.alert(session, alert.id), True


def delete_alert(session: Session, user_id: str, alert_id: uuid.UUID) -> None:
    """Forget a wish. Raises AppError 404 when there is none, or it is somebody else's."""
    if not wishes.delete_alert(session, user_id, alert_id):
        raise errors.alert_not_found()


def unsubscribe(session: Session, subscription: Subscription, *, everything: bool) -> int:
    """Send no more alert mails: about the link's algorithm and ticker, or about anything.

    The alerts stay, without mail. What waits to be sent is cancelled. By the link of the welcome mail there
    are no new ones either, until the same link allows them. Returns how many alerts it changed; none when
    they were off before, which is no error.
    """
    about = (None, None) if everything else (subscription.algorithm, subscription.ticker)
    people.lock_person(session, subscription.user_id)
    if subscription.is_of_mailbox:
        people.stop_mail(session, subscription.user_id, stopped=True)
    changed = wishes.stop_mail(session, subscription.user_id, *about)
    deliveries.cancel_alert_mails(session, subscription.user_id, *about)
    return changed


def allow_mail(session: Session, subscription: Subscription) -> None:
    """Let the person ask for alert mails again, by the link of the welcome mail that stopped them.

    Raises AppError 400 for another mail's link.
    """
    if not subscription.is_of_mailbox:
        raise errors.unsubscribe_link_invalid()
    people.lock_person(session, subscription.user_id)
    people.stop_mail(session, subscription.user_id, stopped=False)


def inbox_item(row: Row[Any]) -> dict[str, Any]:
    """A row of the inbox in its wire shape."""
    return {
        "id": str(row.id),
        "algorithm": row.algorithm,
        "algorithm_name": row.algorithm_name,
        "ticker": row.ticker,
        "timeframe": row.timeframe,
        "close_time": row.close_time,
        "from": row.from_view,
        "to": row.to_view,
        "close": row.close,
        "late": row.late,
        "why": row.why,
        "receipt": {
            "closed_at": row.close_time,
            "released_at": row.released_at,
            "evaluated_at": row.evaluated_at,
            "queued_at": row.queued_at,
        },
        "told": [_told(delivery, row.released_at) for delivery in row.deliveries],
    }


def _show(
    session: Session, kind: str, data: dict[str, Any], alerts: Sequence[tuple[int, dict[str, Any]]] = ()
) -> None:
    n = live_log.append(session, kind, data, alerts)
    outbox.add(session, LiveMessageAddedV1(n=n), aggregate_id="live", aggregate_version=n)


def _wire(change: RowMapping) -> dict[str, Any]:
    return {
        "algorithm": change["algorithm"],
        "ticker": change["ticker"],
        "from": change["from_view"],
        "to": change["to_view"],
        "close": change["close"],
    }


def _told(delivery: dict[str, Any], released_at: datetime) -> dict[str, Any]:
    accepted_at = datetime.fromisoformat(delivery["accepted_at"]) if delivery["accepted_at"] else None
    # Clocks of two machines may differ by more than the way took; less than no time it was not.
    latency = max(0, round((accepted_at - released_at).total_seconds() * 1000)) if accepted_at else None
    return {
        "channel": delivery["channel"],
        "state": delivery["state"],
        "accepted_at": accepted_at,
        "latency_ms": latency,
    }


def _permitted(allowed: Entitlement, channels: Iterable[str]) -> list[str]:
    asked = set(channels)
    wanted = [channel for channel in CHANNELS if channel in asked]
    for channel in wanted:
        if channel not in allowed.channels:
            raise errors.channel_not_in_plan(channel)
        if channel not in WORKING_CHANNELS:
            raise errors.channel_not_set_up(channel)
    return wanted
