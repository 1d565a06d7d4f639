"""The pages of notify: alerts, inbox, and the way out of alert mails."""

import uuid
from typing import Any

from flask import Blueprint, Response, current_app, flash, make_response, redirect, render_template, request
from pydantic import ValidationError

from services.notify import api, service
from services.notify.constants import CHANNEL_NAMES, CHANNELS, WORKING_CHANNELS
from services.notify.errors import invalid, unsubscribe_link_invalid
from services.notify.repository import catalogue
from services.notify.schemas import AlertIn
from services.notify.unsubscribing import Subscription, UnsubscribeTokens
from shared.web.csrf import csrf_exempt
from shared.web.errors import AppError
from shared.web.identity import current_identity, login_required
from shared.web.limits import limiter
from shared.web.paging import PageQuery
from shared.web.unit_of_work import read, transaction

TOKENS = "notify_unsubscribe_tokens"
UNSUBSCRIBE_LIMIT = "60 per minute"
_ALERT_FIELDS = frozenset({"csrf_token", "algorithm", "ticker", "channels"})
_TICKERS_SUGGESTED = 1000

pages = Blueprint("notify_pages", __name__)


@pages.get("/alerts")
@login_required
def alerts() -> Response:
    """One's alerts, and the form for another; ``?algorithm=&ticker=`` fills it in."""
    wanted = {
        "algorithm": request.args.get("algorithm", ""),
        "ticker": request.args.get("ticker", ""),
        "channels": ["mail"],
    }
    return _alerts_page(200, wanted, {}, [])


@pages.post("/alerts")
@login_required
def ask_for_alert() -> Response:
    """Ask to be told, by the form."""
    form = request.form
    wanted = {
        "algorithm": form.get("algorithm", ""),
        "ticker": form.get("ticker", "").strip(),
        "channels": form.getlist("channels"),
    }
    try:
        _only_known(form.keys())
        asked = AlertIn.model_validate(wanted | {"ticker": wanted["ticker"] or None})
        with transaction() as session:
            alert, new = service.ask_for_alert(
                session, current_identity().user_id, asked.algorithm, asked.ticker, asked.channels
            )
    except ValidationError as error:
        return _alerts_page(400, wanted, _faults(error), [])
    except AppError as refusal:
        faults = {fault["field"]: refusal.message for fault in refusal.errors}
        return _alerts_page(refusal.status, wanted, faults, [] if faults else [refusal.message])
    about = f"{alert.algorithm_name} on {alert.ticker or 'all tickers'}"
    flash(f"You will be told: {about}." if new else f"Changed: {about}.", "success")
    return make_response(redirect("/alerts", 303))


@pages.post("/alerts/<uuid:alert_id>/delete")
@login_required
def delete_alert(alert_id: uuid.UUID) -> Response:
    """Take an alert back, by the form."""
    with transaction() as session:
        service.delete_alert(session, current_identity().user_id, alert_id)
    flash("The alert is deleted.", "success")
    return make_response(redirect("/alerts", 303))


@pages.get("/inbox")
@login_required
def inbox() -> str:
    """What one was told."""
    query = _page_query()
    listed = api.inbox_page(current_identity().user_id, query)
    return render_template(
        "notify/inbox.html", items=listed["items"], next_cursor=listed["next"], cursor=query.cursor
    )


@pages.get("/unsubscribe/<token>")
@limiter.limit(UNSUBSCRIBE_LIMIT)
def unsubscribing(token: str) -> str:
    """Ask whether mails shall stop. Changes nothing: programs that scan mails follow links."""
    subscription = _subscription(token)
    return render_template(
        "notify/unsubscribe.html", subscription=subscription, name=_name(subscription), done=None
    )


@pages.post("/unsubscribe/<token>")
@csrf_exempt
@limiter.limit(UNSUBSCRIBE_LIMIT)
def unsubscribe(token: str) -> str:
    """Stop the mails, by the page's button or a mail program's one click (RFC 8058). The token authorises."""
    subscription = _subscription(token)
    scope = request.form.get("scope")
    everything = scope == "all" or subscription.is_of_mailbox
    with transaction() as session:
        if scope == "allow":
            service.allow_mail(session, subscription)
        else:
            service.unsubscribe(session, subscription, everything=everything)
    done = "allowed" if scope == "allow" else "all" if everything else "one"
    return render_template(
        "notify/unsubscribe.html", subscription=subscription, name=_name(subscription), done=done
    )


def _alerts_page(status: int, wanted: dict[str, Any], faults: dict[str, str], summary: list[str]) -> Response:
    user_id = current_identity().user_id
    query = _page_query() if request.method == "GET" else PageQuery()
    listed = api.alerts_page(user_id, query)
    with transaction() as session:
        offer = service.offer(session, user_id)
    page = render_template(
        "notify/alerts.html",
        alerts=listed["items"],
        next_cursor=listed["next"],
        cursor=query.cursor,
        offer=offer,
        tickers=offer.tickers[:_TICKERS_SUGGESTED],
        channels=[channel for channel in CHANNELS if channel in WORKING_CHANNELS],
        channel_names=CHANNEL_NAMES,
        wanted=wanted,
        faults=faults,
        summary=summary,
    )
    return make_response(page, status)


def _page_query() -> PageQuery:
    cursor = request.args.get("cursor")
    return PageQuery(cursor=cursor[:500] if cursor else None)


def _only_known(fields: Any) -> None:
    for field in fields:
        if field not in _ALERT_FIELDS:
            raise invalid(field[:100], "There is no such field.")


def _faults(error: ValidationError) -> dict[str, str]:
    words = {
        "algorithm": "Choose an algorithm.",
        "ticker": "There is no such ticker.",
        "channels": "Choose at least one way to be told.",
    }
    fields = [str(fault["loc"][0]) for fault in error.errors(include_input=False, include_url=False)]
    return {field: words[field] for field in fields}


def _subscription(token: str) -> Subscription:
    tokens: UnsubscribeTokens = current_app.extensions[TOKENS]
    subscription = tokens.read(token)
    if subscription is None:
        raise unsubscribe_link_invalid()
    return subscription


def _name(subscription: Subscription) -> str:
    if subscription.algorithm is None:
        return ""
    with read() as connection:
        return catalogue.algorithm_name(connection, subscription.algorithm)
