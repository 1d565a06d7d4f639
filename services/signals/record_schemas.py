"""Wire shapes of the track record and of backtests."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from services.signals.schemas import AlgorithmKey
from shared.contracts.signals import Ticker, Timeframe


class MovesOut(BaseModel):
    """What changes had become after some candles, as shares of 1.

    `changes` counts those that have had as many candles. `average` and `median` are of moves in the
    direction of the change: of a SELL a fall counts as a gain. A hit is a move above 0; `hold` is the average
    move of the price itself over the same candles. No costs are taken off.
    """

    changes: int
    hits: int
    hit_rate: float
    average: float
    median: float
    hold: float


class AfterOut(BaseModel):
    """The moves after as many candles of each ticker: of all changes, and of those to BUY and to SELL."""

    candles: int
    all: MovesOut | None
    buy: MovesOut | None
    sell: MovesOut | None


class FollowingOut(BaseModel):
    """Following every change of a ticker, averaged over tickers, beside holding it; shares of 1, no costs.

    From the ticker's first candle in the ledger to its last one: all in at BUY, out at SELL. `ahead` counts
    the tickers with which that gave more than holding. `drawdown` is the average of the tickers' largest
    drawdowns, `deepest` the largest of them, `hold_drawdown` the average one of holding.
    """

    tickers: int
    average: float
    median: float
    hold: float
    ahead: int
    drawdown: float
    deepest: float
    hold_drawdown: float


class ScoreOut(BaseModel):
    """The track record of an algorithm; `algorithm` null is all of them.

    `late` changes stand in supplementary records of the ledger, those of candles that came when a later close
    had been evaluated; they are among the others, as are changes that alerted nobody. `since` and `until`
    are the closes of the first and the last change.
    """

    algorithm: str | None
    changes: int
    buys: int
    sells: int
    late: int
    tickers: int
    since: datetime
    until: datetime
    following: FollowingOut | None
    after: list[AfterOut]


class LedgerReadOut(BaseModel):
    """What the figures were made of: records whose hashes were checked, and why chains were left."""

    records: int
    problems: list[str]


class TrackRecordOut(BaseModel):
    """The figures of everything that is in the ledger up to a close, the newest that any of them knows of.

    `untold` counts the changes that were decided so long after their close that nobody was told of them. It
    is not from the ledger, which knows no clock.
    """

    through: datetime | None
    overall: ScoreOut | None
    items: list[ScoreOut]
    ledger: LedgerReadOut
    untold: int
    next: None


class BacktestQuery(BaseModel):
    """What `GET backtest` takes: one algorithm on one ticker for the last 30, 90 or 365 days."""

    model_config = ConfigDict(extra="forbid")

    algorithm: AlgorithmKey
    ticker: Ticker
    days: Literal["30", "90", "365"] = "90"


class TradeOut(BaseModel):
    """A position from the close of its entry to that of its exit; `gain` is a share of 1, after both fees.

    `is_open` marks one that no SELL ended: it is counted at the last close. `held_before` marks one that was
    there when the days began: it is counted from their first close on.
    """

    entry: datetime
    exit: datetime
    entry_price: float
    exit_price: float
    gain: float
    is_open: bool
    held_before: bool


class StatisticsOut(BaseModel):
    """The figures of a backtest, shares of 1; null where there is no such figure."""

    trades: int
    win_rate: float | None
    best: float | None
    worst: float | None
    average: float | None
    total: float
    hold: float
    drawdown: float
    drawdown_seconds: int
    hold_drawdown: float
    exposure: float


class PointOut(BaseModel):
    """The curves at a close: worth of 1 by the algorithm and by holding, and the algorithm's drawdown."""

    time: datetime
    equity: float
    hold: float
    drawdown: float


class BacktestOut(BaseModel):
    """What an algorithm made of a ticker; `fee` is the share that each side costs.

    `since` and `until` are the first and the last close; `is_cut` says that the days have more candles than
    are looked at. `evaluated_since` is the first close at which the algorithm was evaluated on the ticker:
    the figures begin there when it lies in these days. `trades` are the newest 500, newest first; `points`
    are evenly thinned out, oldest first.
    """

    algorithm: str
    ticker: Ticker
    timeframe: Timeframe
    days: int
    fee: float
    evaluated_since: datetime
    since: datetime
    until: datetime
    is_cut: bool
    statistics: StatisticsOut
    trades: list[TradeOut]
    points: list[PointOut]
