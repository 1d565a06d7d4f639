"""Where a live feed stands: which candles it has released, evaluated or still on their way to a runner."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from services.signals.candles import CandleBatch
from services.signals.feeds.batching import Batching
from services.signals.feeds.candle_time import moment, seconds_of
from services.signals.feeds.plan import Plan
from services.signals.feeds.position import OVERLAP, Position
from services.signals.feeds.rows import Row
from services.signals.repository import positions
from services.signals.repository.positions import StoredRow


class Standing(NamedTuple):
    """How far each ticker is, and the batches of longer timeframes that a kill has left out."""

    positions: dict[str, Position]
    owed: list[CandleBatch]

    @classmethod
    def read(cls, connection: Connection, plan: Plan, batching: Batching) -> "Standing":
        """Read where the feed stands, and let `batching` go on from there."""
        prefixes = tuple(f"{name}:" for name in plan.exchanges)
        # read first: what is evaluated meanwhile is found among the stored ones then
        flying: dict[str, dict[str, list[StoredRow]]] = {each: {} for each in (plan.base, *plan.made)}
        for timeframe, row in positions.in_flight(connection):
            if timeframe in flying and row.ticker.startswith(prefixes):
                flying[timeframe].setdefault(row.ticker, []).append(row)
        known = {
            ticker: Position(seconds_of(first), seconds_of(newest) + plan.step)
            for ticker, first, newest in positions.spans(connection, plan.base, prefixes)
        }
        for ticker, rows in flying[plan.base].items():
            told = _rows(rows)
            first = told[0].open_time
            known.setdefault(ticker, Position(first, first)).note(told, plan.step)
        since = {ticker: moment(_since(position, plan)) for ticker, position in known.items()}

        def released(timeframe: str) -> Iterator[tuple[str, list[Row]]]:
            return _joined(positions.candles_since(connection, timeframe, since), flying[timeframe])

        def noted() -> Iterator[tuple[str, list[Row]]]:
            for ticker, rows in released(plan.base):
                known[ticker].note(rows, plan.step)
                yield ticker, rows

        made = {
            timeframe: {ticker: {row.open_time for row in rows} for ticker, rows in released(timeframe)}
            for timeframe in plan.made
        }
        return cls(known, list(batching.resume(noted(), made)))


def _since(position: Position, plan: Plan) -> int:
    """From which open time on candles matter: for the overlap, and for groups that are not complete yet."""
    oldest = position.next_open - max(OVERLAP * plan.step, plan.grid)
    return oldest // plan.grid * plan.grid


def _joined(
    stored: Iterable[tuple[str, Sequence[StoredRow]]], flying: Mapping[str, Sequence[StoredRow]]
) -> Iterator[tuple[str, list[Row]]]:
    """The candles of each ticker, oldest first, each once: those that are stored, and those in flight."""
    unseen = dict(flying)
    for ticker, rows in stored:
        yield ticker, _rows((*unseen.pop(ticker, ()), *rows))
    for ticker, rows in unseen.items():
        yield ticker, _rows(rows)


def _rows(known: Iterable[StoredRow]) -> list[Row]:
    rows = {each.open_time: Row(seconds_of(each.open_time), *each[2:]) for each in known}
    return [rows[opened] for opened in sorted(rows)]
