"""The use cases of notify: asking for alerts, taking them back, reading what one was told."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from services.notify import deliveries, errors, repository
from services.notify.constants import CHANNELS, WORKING_CHANNELS
from services.notify.models import Alert, CatalogueAlgorithm, Entitlement
from services.notify.unsubscribing import Subscription


@dataclass(frozen=True)
class Offer:
    """What a person may ask for, and how much of it they have. ``entitlement`` None: not known yet."""

    algorithms: Sequence[CatalogueAlgorithm]
    tickers: Sequence[str]
    entitlement: Entitlement | None
    alerts: int


def offer(session: Session, user_id: str) -> Offer:
    """What the person may ask for."""
    return Offer(
        algorithms=repository.algorithms(session),
        tickers=repository.tickers(session),
        entitlement=repository.entitlement(session, user_id),
        alerts=repository.count_alerts(session, user_id),
    )


def ask_for_alert(
    session: Session, user_id: str, algorithm: str, ticker: str | None, channels: Iterable[str]
) -> tuple[repository.AlertRow, bool]:
    """Keep a person's wish; returns the alert and whether it is new.

    Asked again for the same algorithm and ticker, the alert gets the new channels. Raises AppError: 400 for
    what is not listed, 409 while account or plan have not reached us, or the channel has no address, 403 for
    what the plan does not include.
    """
    if not repository.is_listed_algorithm(session, algorithm):
        raise errors.invalid("algorithm", "There is no such algorithm.")
    if ticker is not None and not repository.is_listed_ticker(session, ticker):
        raise errors.invalid("ticker", "There is no such ticker.")
    # One at a time for each person, or the limit would not hold.
    repository.lock_person(session, user_id)
    allowed = repository.entitlement(session, user_id)
    contact = repository.contact(session, user_id)
    if allowed is None or contact is None or contact.deleted_at is not None:
        raise errors.account_being_prepared()
    wanted = _permitted(allowed, channels)
    alert = repository.alert_on(session, user_id, algorithm, ticker)
    if alert is not None:
        alert.channels = wanted
        session.flush()
        return repository.alert(session, alert.id), False
    if allowed.alerts_max is not None and repository.count_alerts(session, user_id) >= allowed.alerts_max:
        raise errors.alert_limit_reached(allowed.alerts_max)
    alert = Alert(user_id=user_id, algorithm=algorithm, ticker=ticker, channels=wanted)
    session.add(alert)
    session.flush()
    return repository.alert(session, alert.id), True


def delete_alert(session: Session, user_id: str, alert_id: uuid.UUID) -> None:
    """Forget a wish. Raises AppError 404 when there is none, or it is somebody else's."""
    if not repository.delete_alert(session, user_id, alert_id):
        raise errors.alert_not_found()


def unsubscribe(session: Session, subscription: Subscription, *, everything: bool) -> int:
    """Send no more alert mails: about the link's algorithm and ticker, or about anything.

    The alerts stay, without mail. What waits to be sent is cancelled. Returns how many alerts it changed;
    none when they were off before, which is no error.
    """
    about = (None, None) if everything else (subscription.algorithm, subscription.ticker)
    repository.lock_person(session, subscription.user_id)
    changed = repository.stop_mail(session, subscription.user_id, *about)
    deliveries.cancel_alert_mails(session, subscription.user_id, *about)
    return changed


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
        "why": row.why,
        "receipt": {
            "closed_at": row.close_time,
            "released_at": row.released_at,
            "evaluated_at": row.evaluated_at,
            "queued_at": row.queued_at,
        },
        "told": [_told(delivery, row.released_at) for delivery in row.deliveries],
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
