"""The JSON API of signals: algorithms, tickers, candles, views, signals, for everybody with a session."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from apiflask import APIBlueprint
from flask import Response

from services.signals import track_record as record
from services.signals.errors import unknown_ticker
from services.signals.offered import lineup
from services.signals.repository import board
from services.signals.repository.versions import failing_since
from services.signals.schemas import (
    AlgorithmsPage,
    CandlesPage,
    CandlesQuery,
    SignalsPage,
    SignalsQuery,
    TickersPage,
    TickersQuery,
    TrackRecordOut,
    ViewsPage,
    ViewsQuery,
)
from shared.web.etags import conditional_json
from shared.web.identity import login_required
from shared.web.paging import Page, Position, cursor_time, decode_cursor, page
from shared.web.unit_of_work import read

api = APIBlueprint("signals_api", __name__, url_prefix="/api/v1", tag="Signals")


@api.get("/algorithms")
@login_required
@api.output(AlgorithmsPage)
def algorithms() -> Response:
    """All algorithms with version, parameters, and the timeframe that each runs on."""
    chosen = lineup()
    with read() as connection:
        failing = failing_since(connection)
    items = [
        {
            "key": each.key,
            "name": each.name,
            "version": each.version,
            "parameters": each.parameters,
            "timeframe": chosen.timeframe_of(each.key),
            "failing_since": failing.get(each.key),
        }
        for each in chosen.algorithms.values()
    ]
    return conditional_json({"items": items, "next": None})


@api.get("/tickers")
@login_required
@api.input(TickersQuery, location="query")
@api.output(TickersPage)
def tickers(query_data: TickersQuery) -> Response:
    """All tickers, each with its newest candle."""
    after = decode_cursor(query_data.cursor, str, str)
    with read() as connection:
        rows = board.tickers(connection, cast("tuple[str, str] | None", after), query_data.limit + 1)
    return _answer(rows, query_data.limit, lambda row: (row.ticker, row.timeframe))


@api.get("/candles")
@login_required
@api.input(CandlesQuery, location="query")
@api.output(CandlesPage)
def candles(query_data: CandlesQuery) -> Response:
    """The candles of a ticker, newest first."""
    position = decode_cursor(query_data.cursor, str)
    before = None if position is None else cursor_time(position[0])
    with read() as connection:
        known = board.timeframes_of(connection, query_data.ticker)
        if not known:
            raise unknown_ticker()
        timeframe = query_data.timeframe or known[0]
        rows = board.candles(connection, query_data.ticker, timeframe, before, query_data.limit + 1)
    return _answer(rows, query_data.limit, lambda row: (row.time.isoformat(),))


@api.get("/views")
@login_required
@api.input(ViewsQuery, location="query")
@api.output(ViewsPage)
def views(query_data: ViewsQuery) -> Response:
    """The view of each (algorithm, ticker), in order of ticker and algorithm."""
    after = decode_cursor(query_data.cursor, str, str)
    with read() as connection:
        rows = board.views(
            connection,
            ticker=query_data.ticker,
            algorithm=query_data.algorithm,
            after=cast("tuple[str, str] | None", after),
            limit=query_data.limit + 1,
        )
    return _answer(rows, query_data.limit, lambda row: (row.ticker, row.algorithm))


@api.get("/signals")
@login_required
@api.input(SignalsQuery, location="query")
@api.output(SignalsPage)
def signals(query_data: SignalsQuery) -> Response:
    """Candles on which a signal was not HOLD, newest first, then by ticker, algorithm and timeframe."""
    position = decode_cursor(query_data.cursor, str, str, str, str)
    before = None if position is None else (cursor_time(position[0]), position[1], position[2], position[3])
    with read() as connection:
        rows = board.signals(
            connection,
            ticker=query_data.ticker,
            algorithm=query_data.algorithm,
            before=before,
            limit=query_data.limit + 1,
        )
    return _answer(
        rows,
        query_data.limit,
        lambda row: (row.time.isoformat(), row.ticker, row.algorithm, row.timeframe),
    )


@api.get("/track-record")
@api.output(TrackRecordOut)
def track_record() -> Response:
    """What became of every change in the ledger, overall and by algorithm, for everybody."""
    with read() as connection:
        told = record.told(connection)
    return conditional_json(
        {
            "through": told.through,
            "overall": told.overall,
            "items": told.algorithms,
            "ledger": {"records": told.records, "problems": told.problems},
            "next": None,
        }
    )


def _answer(
    rows: Sequence[NamedTuple], limit: int, position: Callable[[Any], tuple[Position, ...]]
) -> Response:
    listed: Page = page(rows, limit, position)
    listed["items"] = [row._asdict() for row in listed["items"]]
    return conditional_json(listed)
