"""The pages of signals: the board of all views, and one ticker with its chart."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, render_template, request

from services.signals.errors import unknown_ticker
from services.signals.offered import lineup
from services.signals.repository import board, feeds
from services.signals.repository.board import ViewItem
from services.signals.repository.changes import changes
from services.signals.repository.versions import failing_since
from shared.web.identity import login_required
from shared.web.paging import decode_cursor, encode_cursor
from shared.web.unit_of_work import read

TICKERS_A_PAGE = 50
CHANGES_SHOWN = 100
LONGEST_SEARCH = 40
CHANGES_OPEN = 6
STALE = "STALE"
ABBREVIATIONS = ("sma", "ema", "rsi", "macd", "atr")
VIEWS = ("BUY", "SELL", "HOLD", STALE)
"""What the board is filtered by: a view, or STALE, which stands over one."""

pages = Blueprint("signals_pages", __name__)


@pages.app_template_filter("figure")
def figure(number: float) -> str:
    """An indicator or a threshold, to six significant digits or all before the point."""
    if abs(number) >= 100_000:
        return f"{number:,.0f}"
    return f"{number:.6g}" if abs(number) >= 1e-4 or number == 0 else f"{number:.3e}"


@pages.app_template_filter("parameter")
def parameter(name: str) -> str:
    """The name of a rule's number as people read it: `entry_rsi_fall` is `Entry RSI fall`."""
    first, *others = (each.upper() if each in ABBREVIATIONS else each for each in name.split("_"))
    return " ".join((first[:1].upper() + first[1:], *others))


@dataclass(frozen=True)
class BoardFilter:
    """What of the board is asked for; what makes no sense in a query string is left out, not refused."""

    search: str
    view: str
    algorithm: str

    @classmethod
    def of_request(cls) -> "BoardFilter":
        """The filter in the query string."""
        search = request.args.get("q", "").replace("\x00", "").strip()[:LONGEST_SEARCH]
        view, algorithm = request.args.get("view", ""), request.args.get("algorithm", "")
        known = lineup().algorithms
        return cls(search, view if view in VIEWS else "", algorithm if algorithm in known else "")

    @property
    def query(self) -> dict[str, str]:
        """The filter as query parameters; those that filter nothing are not there."""
        chosen = {"q": self.search, "view": self.view, "algorithm": self.algorithm}
        return {name: value for name, value in chosen.items() if value}


@pages.get("/dashboard")
@login_required
def dashboard() -> str:
    """Every ticker under every algorithm, as many as fit on a page."""
    chosen = BoardFilter.of_request()
    cursor = request.args.get("cursor") or None
    after = decode_cursor(cursor, str)
    offered = lineup().algorithms.values()
    shown = [each for each in offered if chosen.algorithm in ("", each.key)]
    with read() as connection:
        names = board.board_tickers(
            connection,
            search=chosen.search,
            view=chosen.view or None,
            algorithm=chosen.algorithm or None,
            after=after[0] if after else "",
            limit=TICKERS_A_PAGE + 1,
        )
        more = len(names) > TICKERS_A_PAGE
        names = names[:TICKERS_A_PAGE]
        return render_template(
            "signals/dashboard.html",
            filter=chosen,
            algorithms=shown,
            view_options=[("", "Any view"), *((view, view) for view in VIEWS)],
            algorithm_options=[("", "All algorithms"), *((each.key, each.name) for each in offered)],
            tickers=names,
            cells=board.views_of(connection, names),
            failing=failing_since(connection),
            ticker_count=board.ticker_count(connection),
            newest_change=board.newest_change(connection),
            feed=feeds.feed_in_use(connection),
            now=datetime.now(UTC),
            cursor=cursor,
            next_cursor=encode_cursor((names[-1],)) if more else None,
        )


@pages.get("/tickers/<path:ticker>")
@login_required
def ticker_page(ticker: str) -> str:
    """One ticker: its views, its candles with an algorithm's entries and exits, the why of each change."""
    with read() as connection:
        timeframes = board.timeframes_of(connection, ticker) if "\x00" not in ticker else []
        if not timeframes:
            raise unknown_ticker()
        views = {key: item for (_, key), item in board.views_of(connection, [ticker]).items()}
        algorithm = _chosen_algorithm(views)
        timeframe = views[algorithm].timeframe if algorithm in views else timeframes[0]
        return render_template(
            "signals/ticker.html",
            ticker=ticker,
            timeframe=timeframe,
            algorithms=lineup().algorithms.values(),
            algorithm=lineup().algorithms[algorithm],
            views=views,
            failing=failing_since(connection),
            newest=next(iter(board.candles(connection, ticker, timeframe, limit=1)), None),
            changes=changes(connection, tickers=[ticker], algorithm=algorithm, limit=CHANGES_SHOWN),
            changes_shown=CHANGES_SHOWN,
            changes_open=CHANGES_OPEN,
            feed=feeds.feed_in_use(connection),
            now=datetime.now(UTC),
        )


def _chosen_algorithm(views: dict[str, ViewItem]) -> str:
    """The algorithm in the query string, else the one that turned last."""
    asked = request.args.get("algorithm", "")
    if asked in lineup().algorithms:
        return asked
    turned: Any = [
        item for item in views.values() if item.view != "HOLD" and item.algorithm in lineup().algorithms
    ]
    if turned:
        return str(max(turned, key=lambda item: (item.since, item.algorithm)).algorithm)
    return next(iter(lineup().algorithms))
