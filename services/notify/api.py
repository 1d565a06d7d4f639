"""The JSON API of notify: one's own alerts, and what one was told."""

import uuid
from typing import Any

from apiflask import APIBlueprint

from services.notify import service
from services.notify.repository import changes, wishes
from services.notify.schemas import AlertIn, AlertOut, AlertsPage, InboxPage
from shared.web.identity import current_identity, login_required
from shared.web.paging import Page, PageQuery, cursor_time, decode_cursor, invalid_cursor, page
from shared.web.unit_of_work import read, transaction

api = APIBlueprint("notify_api", __name__, url_prefix="/api/v1", tag="Notify")


@api.get("/alerts")
@login_required
@api.input(PageQuery, location="query")
@api.output(AlertsPage)
def alerts(query_data: PageQuery) -> Page:
    """One's own alerts, oldest first."""
    return alerts_page(current_identity().user_id, query_data)


@api.post("/alerts")
@login_required
@api.input(AlertIn)
@api.output(AlertOut, status_code=201)
def ask_for_alert(json_data: AlertIn) -> tuple[dict[str, Any], int]:
    """Ask to be told.

    201 for a new alert; 200 when there was one on this algorithm and ticker, which gets the channels.
    """
    with transaction() as session:
        alert, new = service.ask_for_alert(
            session, current_identity().user_id, json_data.algorithm, json_data.ticker, json_data.channels
        )
    return alert._asdict(), 201 if new else 200


@api.delete("/alerts/<uuid:alert_id>")
@login_required
@api.output({}, status_code=204)
def delete_alert(alert_id: uuid.UUID) -> tuple[str, int]:
    """Take an alert back."""
    with transaction() as session:
        service.delete_alert(session, current_identity().user_id, alert_id)
    return "", 204


@api.get("/inbox")
@login_required
@api.input(PageQuery, location="query")
@api.output(InboxPage)
def inbox(query_data: PageQuery) -> Page:
    """What one was told, newest first, each change with its why and its receipt."""
    return inbox_page(current_identity().user_id, query_data)


def alerts_page(user_id: str, query: PageQuery) -> Page:
    """A page of a person's alerts."""
    position = decode_cursor(query.cursor, str, str)
    after = None if position is None else (cursor_time(position[0]), _uuid(position[1]))
    with read() as connection:
        rows = wishes.alerts(connection, user_id, after=after, limit=query.limit + 1)
    found = page(rows, query.limit, lambda row: (row.created_at.isoformat(), str(row.id)))
    found["items"] = [row._asdict() for row in found["items"]]
    return found


def inbox_page(user_id: str, query: PageQuery) -> Page:
    """A page of what a person was told."""
    position = decode_cursor(query.cursor, int)
    before = None if position is None else int(position[0])
    with read() as connection:
        rows = changes.inbox(connection, user_id, before=before, limit=query.limit + 1)
    found = page(rows, query.limit, lambda row: (row.id,))
    found["items"] = [service.inbox_item(row) for row in found["items"]]
    return found


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise invalid_cursor() from None
