"""The ledger in the API: its daily heads, and what days gave when they were evaluated again."""

from datetime import date
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from services.signals.repository import heads, repaints
from services.signals.schemas import HeadsPage, HeadsQuery, RepaintChecksPage, RepaintChecksQuery
from shared.web.api_docs import CONDITIONAL
from shared.web.etags import conditional_json
from shared.web.identity import login_required
from shared.web.paging import Page, decode_cursor, invalid_cursor, page
from shared.web.unit_of_work import read

ledger_api = APIBlueprint("signals_ledger_api", __name__, url_prefix="/api/v1/ledger", tag="Ledger")


@ledger_api.get("/heads")
@login_required
@ledger_api.input(HeadsQuery, location="query")
@ledger_api.output(HeadsPage)
@ledger_api.doc(responses=CONDITIONAL)
def ledger_heads(query_data: HeadsQuery) -> Response:
    """Where every chain of the ledger ended, day by day, newest first."""
    position = decode_cursor(query_data.cursor, str)
    before = None if position is None else _day(position[0])
    with read() as connection:
        rows = heads.page(connection, before, query_data.limit + 1)
    listed: Page = page(rows, query_data.limit, lambda ends: (ends.day.isoformat(),))
    listed["items"] = [
        {
            "date": ends.day,
            "chains": [{"partition": p, "sequence": s, "hash": h} for p, s, h in ends.chains],
            "previous": ends.previous,
            "document": ends.document,
            "hash": ends.hash,
        }
        for ends in listed["items"]
    ]
    return conditional_json(listed)


@ledger_api.get("/repaint-checks")
@login_required
@ledger_api.input(RepaintChecksQuery, location="query")
@ledger_api.output(RepaintChecksPage)
@ledger_api.doc(responses=CONDITIONAL)
def repaint_checks(query_data: RepaintChecksQuery) -> Response:
    """Days that were evaluated again with candles fetched again, newest first, then by timeframe."""
    position = decode_cursor(query_data.cursor, str, str)
    before: tuple[Any, ...] | None = None if position is None else (_day(position[0]), position[1])
    with read() as connection:
        rows = repaints.page(connection, before, query_data.limit + 1)
    listed: Page = page(rows, query_data.limit, lambda row: (row.day.isoformat(), row.timeframe))
    listed["items"] = [row._asdict() for row in listed["items"]]
    return conditional_json(listed)


def _day(text: str) -> date:
    """A day that a cursor holds. Raises invalid_cursor."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise invalid_cursor() from None
