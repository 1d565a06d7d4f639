"""Wire shapes of the API of signals: what may be asked, and what is answered."""

from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from services.signals.offered import lineup
from shared.contracts.signals import Condition, LedgerPosition, Ticker, Timeframe, View
from shared.web.paging import PageQuery

MAX_TICKERS = 100


def _known(key: str) -> str:
    offered = lineup().algorithms
    if key not in offered:
        raise ValueError(f"there is no such algorithm; there are {', '.join(sorted(offered))}")
    return key


AlgorithmKey = Annotated[
    str, AfterValidator(_known), Field(description="Key of an algorithm, as `GET algorithms` lists them.")
]


def _moment(given: Any) -> Any:
    """A query's text as an aware moment, in UTC unless it says else; anything but ISO 8601 is refused."""
    if not isinstance(given, str):
        return given
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise ValueError("a time is ISO 8601, such as 2026-11-20T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _flag(given: Any) -> Any:
    """A query's text as a truth value; pydantic would take "yes", "on" and "1" too."""
    flags = {"true": True, "false": False}
    if isinstance(given, str) and given not in flags:
        raise ValueError("it is true or false")
    return flags.get(given, given) if isinstance(given, str) else given


def _parts(given: Any) -> Any:
    return given.split(",") if isinstance(given, str) else given


Moment = Annotated[datetime, BeforeValidator(_moment)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Tickers = Annotated[
    list[Ticker],
    BeforeValidator(_parts),
    Field(min_length=1, max_length=MAX_TICKERS, description="Only these tickers, at most 100."),
]
Since = Annotated[Moment | None, Field(description="Nothing from before this time.")]
Until = Annotated[Moment | None, Field(description="Nothing from this time on.")]
Stale = Annotated[Flag | None, Field(description="Only what is STALE, or only what is not.")]


class TickersQuery(PageQuery):
    """What `GET tickers` takes."""

    ticker: Tickers | None = None
    timeframe: Timeframe | None = None
    stale: Stale = None


class CandlesQuery(PageQuery):
    """What `GET candles` takes. Without a timeframe it is the one in which the ticker was first seen."""

    ticker: Ticker
    timeframe: Timeframe | None = None
    since: Since = None
    until: Until = None


class ViewsQuery(PageQuery):
    """What `GET views` takes."""

    ticker: Tickers | None = None
    algorithm: AlgorithmKey | None = None
    timeframe: Timeframe | None = None
    view: View | None = None
    stale: Stale = None


class SignalsQuery(PageQuery):
    """What `GET signals` takes."""

    ticker: Tickers | None = None
    algorithm: AlgorithmKey | None = None
    timeframe: Timeframe | None = None
    signal: Literal["BUY", "SELL"] | None = None
    since: Since = None
    until: Until = None


class ChangesQuery(PageQuery):
    """What `GET changes` takes."""

    ticker: Tickers | None = None
    algorithm: AlgorithmKey | None = None
    timeframe: Timeframe | None = None
    view: View | None = Field(default=None, description="The view that was turned to.")
    late: Flag | None = Field(default=None, description="Only what was decided late, or only what was not.")
    since: Since = None
    until: Until = None


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
    """A ticker; `time` and `close` are of its newest closed candle, `first_time` is of its first.

    Both are null when that candle is so old that it was let go. `stale_since` is when it was found that no
    candle had come for two timeframes; null while candles come.
    """

    ticker: Ticker
    timeframe: Timeframe
    first_time: datetime
    time: datetime | None
    close: float | None
    stale_since: datetime | None


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
    """The view of a pair, the close since which it holds, and the price of that close.

    While `stale_since` is not null no candle comes: the view stands as it was decided before.
    """

    algorithm: str
    ticker: Ticker
    timeframe: Timeframe
    view: View
    since: datetime
    close: float
    stale_since: datetime | None


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


class ChangeOut(BaseModel):
    """A view that turned at a close, why, and where the ledger records it.

    `why` holds the conditions of the rule that turned it: the entry's for BUY, the exit's for SELL. A `late`
    change was decided so long after its close that nobody was alerted of it.
    """

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    algorithm: str
    algorithm_version: str
    parameters: dict[str, float]
    ticker: Ticker
    timeframe: Timeframe
    close_time: datetime
    from_view: View = Field(alias="from")
    to_view: View = Field(alias="to")
    close: float
    why: list[Condition]
    ledger: LedgerPosition
    late: bool


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


class ChangesPage(BaseModel):
    """Some changes, newest first."""

    items: list[ChangeOut]
    next: str | None = Field(description="cursor of the next page")
