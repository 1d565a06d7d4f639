"""Wire shapes of the API of signals: what may be asked, and what is answered."""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from services.signals.offered import lineup
from shared.contracts.signals import Ticker, Timeframe, View
from shared.web.paging import PageQuery


def _known(key: str) -> str:
    offered = lineup().algorithms
    if key not in offered:
        raise ValueError(f"there is no such algorithm; there are {', '.join(sorted(offered))}")
    return key


AlgorithmKey = Annotated[str, AfterValidator(_known)]


class TickersQuery(PageQuery):
    """What `GET tickers` takes."""


class CandlesQuery(PageQuery):
    """What `GET candles` takes. Without a timeframe it is the one in which the ticker was first seen."""

    ticker: Ticker
    timeframe: Timeframe | None = None


class ViewsQuery(PageQuery):
    """What `GET views` takes."""

    ticker: Ticker | None = None
    algorithm: AlgorithmKey | None = None


class SignalsQuery(PageQuery):
    """What `GET signals` takes."""

    ticker: Ticker | None = None
    algorithm: AlgorithmKey | None = None


class AlgorithmOut(BaseModel):
    """An algorithm of the deployment, with the rule's numbers by name.

    `timeframe` null means that it runs on whatever the feed delivers. `failing_since` is the close since
    which the algorithm raises and is set aside, so that its views stand still; null for one that works.
    """

    key: str
    name: str
    version: str
    parameters: dict[str, float]
    timeframe: Timeframe | None
    failing_since: datetime | None


class TickerOut(BaseModel):
    """A ticker; `time` and `close` are of its newest closed candle, `first_time` is of its first."""

    ticker: Ticker
    timeframe: Timeframe
    first_time: datetime
    time: datetime
    close: float


class CandleOut(BaseModel):
    """A closed candle; `time` is its open. A late one filled a gap and was never evaluated."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    late: bool


class ViewOut(BaseModel):
    """The view of a pair, the close since which it holds, and the price of that close."""

    algorithm: str
    ticker: Ticker
    timeframe: Timeframe
    view: View
    since: datetime
    close: float


class SignalOut(BaseModel):
    """A candle on which an algorithm's signal was not HOLD, and the view after it; `time` is its open.

    Version and parameters are those with which the algorithm decided.
    """

    time: datetime
    ticker: Ticker
    algorithm: str
    algorithm_version: str
    parameters: dict[str, float]
    timeframe: Timeframe
    signal: Literal["BUY", "SELL"]
    view: View
    close: float


class AlgorithmsPage(BaseModel):
    """All algorithms."""

    items: list[AlgorithmOut]
    next: None


class TickersPage(BaseModel):
    """Some tickers."""

    items: list[TickerOut]
    next: str | None = Field(description="cursor of the next page")


class CandlesPage(BaseModel):
    """Some candles, newest first."""

    items: list[CandleOut]
    next: str | None = Field(description="cursor of the next page")


class ViewsPage(BaseModel):
    """Some views."""

    items: list[ViewOut]
    next: str | None = Field(description="cursor of the next page")


class SignalsPage(BaseModel):
    """Some signals, newest first."""

    items: list[SignalOut]
    next: str | None = Field(description="cursor of the next page")


class HeadsQuery(PageQuery):
    """What `GET ledger/heads` takes."""


class RepaintChecksQuery(PageQuery):
    """What `GET ledger/repaint-checks` takes."""


class ChainEndOut(BaseModel):
    """The last record of a chain: its sequence from 1, and its SHA-256; 0 and zeros before the first."""

    partition: int
    sequence: int
    hash: str


class HeadOut(BaseModel):
    """The ends of all chains on a UTC day.

    `document` is canonical JSON of `chains`, `date`, `format` and `previous`, and `hash` its SHA-256;
    `previous` is the hash of the document before.
    """

    date: date
    chains: list[ChainEndOut]
    previous: str
    document: str
    hash: str


class RepaintDetailsOut(BaseModel):
    """Some differences in words, and what could not be compared."""

    candles: list[str]
    changes: list[str]
    left_out: list[str]


class RepaintCheckOut(BaseModel):
    """A UTC day evaluated again with candles fetched again: how many were compared, and are otherwise now."""

    day: date
    timeframe: Timeframe
    candles: int
    candle_differences: int
    changes: int
    change_differences: int
    details: RepaintDetailsOut
    checked_at: datetime


class HeadsPage(BaseModel):
    """Some heads, newest first."""

    items: list[HeadOut]
    next: str | None = Field(description="cursor of the next page")


class RepaintChecksPage(BaseModel):
    """Some checks, newest first."""

    items: list[RepaintCheckOut]
    next: str | None = Field(description="cursor of the next page")


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

    `late` changes stand in supplementary records of the ledger; they are among the others, as are changes
    that alerted nobody. `since` and `until` are the closes of the first and the last change.
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
    """The figures of everything that is in the ledger up to a close, the newest that any of them knows of."""

    through: datetime | None
    overall: ScoreOut | None
    items: list[ScoreOut]
    ledger: LedgerReadOut
    next: None
