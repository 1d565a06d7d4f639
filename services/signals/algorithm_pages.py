"""The page of an algorithm: its rule in words, and what it would have made of the last days."""

import inspect
import re
from collections.abc import Iterable
from typing import NamedTuple, cast

import orjson
from flask import Blueprint, render_template, request

from services.signals import windows
from services.signals.algorithms.base import Algorithm
from services.signals.algorithms.overlays import Overlaid
from services.signals.errors import unknown_algorithm
from services.signals.offered import lineup
from services.signals.repository import feeds, performance
from services.signals.repository.performance import ORDERS, Order
from services.signals.windows import Point
from shared.web.identity import login_required
from shared.web.unit_of_work import read

TICKERS_A_PAGE = 50
MOST_IN_A_LIST = 500
"""Of more tickers than this one is typed, not picked from a list."""
TRADES_SHOWN = 100
ROWS_OF_CURVE = 13
DIGITS = 6
"""Of a share of 1, as the curves show it: a hundredth of a basis point."""
LAST_PAGE = 10_000

algorithm_pages = Blueprint("signals_algorithm_pages", __name__)


class Words(NamedTuple):
    """A rule in words; `exit` is empty where the algorithm does not say entry and exit apart."""

    entry: str
    exit: str


def words_of(algorithm: Algorithm) -> Words:
    """What the class says of its rule: `Entry: ... Exit: ...`, else its whole description."""
    if isinstance(algorithm, Overlaid):
        rule, overlay = words_of(algorithm.base), inspect.getdoc(type(algorithm.overlay)) or ""
        left = overlay.removeprefix("Exit: ").replace("(1 - p)", f"{1 - algorithm.overlay.p:g}")
        return Words(rule.entry, f"{rule.exit} Or, before any entry: {left}".strip())
    text = " ".join((inspect.getdoc(type(algorithm)) or "").split())
    stated = re.fullmatch(r"Entry: (.*?) Exit: (.*)", text)
    return Words(*stated.groups()) if stated else Words(text, "")


@algorithm_pages.get("/algorithms/<key>")
@login_required
def algorithm_page(key: str) -> str:
    """One algorithm on one ticker for 30, 90 or 365 days, and on all tickers beside each other."""
    algorithm = lineup().algorithms.get(key)
    if algorithm is None:
        raise unknown_algorithm()
    days = _chosen("days", windows.DAYS, windows.DAYS[1])
    order = cast("Order", request.args.get("sort")) if request.args.get("sort") in ORDERS else "total"
    number = min(LAST_PAGE, max(1, request.args.get("page", 1, type=int)))
    with read() as connection:
        timeframes = performance.tickers_of(connection, key)
        ticker = _ticker(timeframes) or (performance.last_turned(connection, key) or ("", ""))[0]
        found = (
            windows.window(connection, key, ticker, timeframes[ticker], days)
            if ticker in timeframes
            else None
        )
        rows = performance.page(
            connection,
            key,
            days,
            order,
            offset=(number - 1) * TICKERS_A_PAGE,
            limit=TICKERS_A_PAGE + 1,
        )
        return render_template(
            "signals/algorithm.html",
            algorithm=algorithm,
            algorithms=lineup().algorithms.values(),
            words=words_of(algorithm),
            timeframe=lineup().timeframe_of(key),
            days=days,
            all_days=windows.DAYS,
            fee=windows.FEE,
            ticker=ticker,
            tickers=timeframes if len(timeframes) <= MOST_IN_A_LIST else [],
            ticker_options=[(name, name) for name in timeframes],
            window=found,
            figures=found.result.statistics if found else None,
            points=_compact(windows.points(found)) if found else "",
            curve=windows.points(found, ROWS_OF_CURVE) if found else [],
            trades=windows.trades(found) if found else [],
            trades_shown=TRADES_SHOWN,
            order=order,
            page=number,
            rows=rows[:TICKERS_A_PAGE],
            more=len(rows) > TICKERS_A_PAGE,
            summary=performance.summary(connection, key, days),
            feed=feeds.feed_in_use(connection),
        )


def _compact(points: Iterable[Point]) -> str:
    """The curves as JSON: seconds since 1970, equity, holding and drawdown of each point.

    They stand in the page, not in an answer of their own, so that curve and figures end at the same candle.
    """
    return orjson.dumps(
        [(int(point.time.timestamp()), *(round(value, DIGITS) for value in point[1:])) for point in points]
    ).decode()


def _ticker(timeframes: dict[str, str]) -> str | None:
    """The ticker in the query string, if the algorithm has been evaluated on it."""
    asked = request.args.get("ticker", "").strip()
    return asked if asked in timeframes else None


def _chosen(name: str, offered: tuple[int, ...], default: int) -> int:
    asked = request.args.get(name, "")
    return int(asked) if asked in map(str, offered) else default
