"""The JSON API of signals: algorithms, tickers, candles, views, signals, for everybody with a session."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from apiflask import APIBlueprint
from flask import Response

from services.signals import track_record as record
from services.signals import windows
from services.signals.errors import nothing_to_test, unknown_ticker
from services.signals.offered import lineup
from services.signals.record_schemas import BacktestOut, BacktestQuery, StatisticsOut, TrackRecordOut
from services.signals.repository import board
from services.signals.repository.changes import ChangeItem
from services.signals.repository.changes import changes as stored_changes
from services.signals.repository.versions import failing_since
from services.signals.schemas import (
    AlgorithmsPage,
    CandlesPage,
    CandlesQuery,
    ChangesPage,
    ChangesQuery,
    SignalsPage,
    SignalsQuery,
    TickersPage,
    TickersQuery,
    ViewsPage,
    ViewsQuery,
)
from shared.web.api_docs import CONDITIONAL
from shared.web.etags import conditional_json
from shared.web.identity import login_required
from shared.web.paging import Page, Position, cursor_time, decode_cursor, page
from shared.web.unit_of_work import read

MOST_TRADES = 500

api = APIBlueprint("signals_api", __name__, url_prefix="/api/v1", tag="Signals")


@api.get("/algorithms")
@login_required
@api.output(AlgorithmsPage)
@api.doc(responses=CONDITIONAL)
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
@api.doc(responses=CONDITIONAL)
def tickers(query_data: TickersQuery) -> Response:
    """All tickers, each with its newest candle."""
    after = decode_cursor(query_data.cursor, str, str)
    with read() as connection:
        rows = board.tickers(
            connection,
            tickers=query_data.ticker,
            timeframe=query_data.timeframe,
            stale=query_data.stale,
            after=cast("tuple[str, str] | None", after),
            limit=query_data.limit + 1,
        )
    return _answer(rows, query_data.limit, lambda row: (row.ticker, row.timeframe))


@api.get("/candles")
@login_required
@api.input(CandlesQuery, location="query")
@api.output(CandlesPage)
@api.doc(responses=CONDITIONAL | {404: "There is no such ticker here."})
def candles(query_data: CandlesQuery) -> Response:
    """The candles of a ticker, newest first."""
    position = decode_cursor(query_data.cursor, str)
    until = _earliest(query_data.until, None if position is None else cursor_time(position[0]))
    with read() as connection:
        known = board.timeframes_of(connection, query_data.ticker)
        if not known:
            raise unknown_ticker()
        timeframe = query_data.timeframe or known[0]
        rows = board.candles(
            connection,
            query_data.ticker,
            timeframe,
            since=query_data.since,
            until=until,
            limit=query_data.limit + 1,
        )
    return _answer(rows, query_data.limit, lambda row: (row.time.isoformat(),))


@api.get("/views")
@login_required
@api.input(ViewsQuery, location="query")
@api.output(ViewsPage)
@api.doc(responses=CONDITIONAL)
def views(query_data: ViewsQuery) -> Response:
    """The view of each (algorithm, ticker), in order of ticker and algorithm."""
    after = decode_cursor(query_data.cursor, str, str)
    with read() as connection:
        rows = board.views(
            connection,
            tickers=query_data.ticker,
            algorithm=query_data.algorithm,
            timeframe=query_data.timeframe,
            view=query_data.view,
            stale=query_data.stale,
            after=cast("tuple[str, str] | None", after),
            limit=query_data.limit + 1,
        )
    return _answer(rows, query_data.limit, lambda row: (row.ticker, row.algorithm))


@api.get("/signals")
@login_required
@api.input(SignalsQuery, location="query")
@api.output(SignalsPage)
@api.doc(responses=CONDITIONAL)
def signals(query_data: SignalsQuery) -> Response:
    """Candles on which a signal was not HOLD, newest first, then by ticker, algorithm and timeframe."""
    before = _position(query_data.cursor)
    with read() as connection:
        rows = board.signals(
            connection,
            tickers=query_data.ticker,
            algorithm=query_data.algorithm,
            timeframe=query_data.timeframe,
            signal=query_data.signal,
            since=query_data.since,
            until=query_data.until,
            before=before,
            limit=query_data.limit + 1,
        )
    return _answer(
        rows,
        query_data.limit,
        lambda row: (row.time.isoformat(), row.ticker, row.algorithm, row.timeframe),
    )


@api.get("/backtest")
@login_required
@api.input(BacktestQuery, location="query")
@api.output(BacktestOut)
@api.doc(responses=CONDITIONAL | {404: "There is no such ticker here, or no candle in these days."})
def backtest(query_data: BacktestQuery) -> Response:
    """What an algorithm made of a ticker in the last days, trade by trade and as curves."""
    days = int(query_data.days)
    with read() as connection:
        timeframes = board.views_of(connection, [query_data.ticker])
        view = timeframes.get((query_data.ticker, query_data.algorithm))
        if view is None:
            raise unknown_ticker()
        found = windows.window(connection, query_data.algorithm, query_data.ticker, view.timeframe, days)
    if found is None:
        raise nothing_to_test()
    statistics = found.result.statistics._asdict()
    return conditional_json(
        {
            "algorithm": query_data.algorithm,
            "ticker": query_data.ticker,
            "timeframe": found.timeframe,
            "days": days,
            "fee": windows.FEE,
            "evaluated_since": found.evaluated_since,
            "since": found.since,
            "until": found.until,
            "is_cut": found.is_cut,
            "statistics": {name: statistics[name] for name in StatisticsOut.model_fields},
            "trades": windows.trades(found)[:MOST_TRADES],
            "points": [point._asdict() for point in windows.points(found)],
        }
    )


@api.get("/track-record")
@api.output(TrackRecordOut)
@api.doc(responses=CONDITIONAL)
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
            "untold": told.untold,
            "next": None,
        }
    )


@api.get("/changes")
@login_required
@api.input(ChangesQuery, location="query")
@api.output(ChangesPage)
@api.doc(responses=CONDITIONAL)
def changes(query_data: ChangesQuery) -> Response:
    """Turns of views with their why, newest close first, then by ticker, algorithm and timeframe."""
    with read() as connection:
        rows = stored_changes(
            connection,
            tickers=query_data.ticker,
            algorithm=query_data.algorithm,
            timeframe=query_data.timeframe,
            to_view=query_data.view,
            late=query_data.late,
            since=query_data.since,
            until=query_data.until,
            before=_position(query_data.cursor),
            limit=query_data.limit + 1,
        )
    listed: Page = page(
        rows,
        query_data.limit,
        lambda row: (row.close_time.isoformat(), row.ticker, row.algorithm, row.timeframe),
    )
    listed["items"] = [change_out(row) for row in listed["items"]]
    return conditional_json(listed)


def change_out(change: ChangeItem) -> dict[str, Any]:
    """A change in its wire shape."""
    values = change._asdict()
    turned = {"from": values.pop("from_view"), "to": values.pop("to_view")}
    ledger = {"partition": values.pop("ledger_partition"), "sequence": values.pop("ledger_sequence")}
    return values | turned | {"ledger": ledger}


def _position(cursor: str | None) -> tuple[datetime, str, str, str] | None:
    """The place in a list ordered by time, ticker, algorithm and timeframe that a cursor holds."""
    position = decode_cursor(cursor, str, str, str, str)
    return None if position is None else (cursor_time(position[0]), position[1], position[2], position[3])


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _answer(
    rows: Sequence[NamedTuple], limit: int, position: Callable[[Any], tuple[Position, ...]]
) -> Response:
    listed: Page = page(rows, limit, position)
    listed["items"] = [row._asdict() for row in listed["items"]]
    return conditional_json(listed)
