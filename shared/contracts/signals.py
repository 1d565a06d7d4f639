"""Events that signals publishes: what the market did, and what the algorithms now think of it."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shared.contracts.envelope import Event, Part, UtcTime

View = Literal["BUY", "SELL", "HOLD"]
Timeframe = Literal["1m", "5m", "15m", "1h", "4h", "1d"]
Ticker = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")]
MAX_CHANGES = 100
MAX_TICKERS = 1000


class CandlesClosedV1(Event):
    """One close of one timeframe: the candles of all tickers of a feed, in columns of equal length.

    Prices and volumes are float64 in shortest round-trip form. ``sequence`` counts the batches of the
    feed. ``released_at`` is when the feed let the batch go, the start of every receipt. ``recorded`` says
    that it is a replay of recorded data, which brings its own clock: its candles count as live.
    """

    type: ClassVar[str] = "market.candles_closed"
    version: ClassVar[int] = 1

    feed: str
    sequence: int = Field(ge=1)
    timeframe: Timeframe
    close_time: UtcTime
    released_at: UtcTime
    recorded: bool
    tickers: tuple[Ticker, ...]
    open: tuple[float, ...]
    high: tuple[float, ...]
    low: tuple[float, ...]
    close: tuple[float, ...]
    volume: tuple[float, ...]

    @model_validator(mode="after")
    def _columns_are_of_equal_length(self) -> Self:
        for name in ("open", "high", "low", "close", "volume"):
            if len(getattr(self, name)) != len(self.tickers):
                raise ValueError(
                    f"column {name} has {len(getattr(self, name))} rows, tickers {len(self.tickers)}"
                )
        if len(set(self.tickers)) != len(self.tickers):
            raise ValueError("a ticker stands twice in the batch")
        return self


class Condition(Part):
    """One condition of a rule at the candle that decided it: ``value operator threshold``.

    ``side`` says whose rule it belongs to, ``text`` is the condition in the field's words. A value is
    None while its indicator warms up, or without an entry price.
    """

    side: Literal["entry", "exit"]
    text: str
    value: float | None
    operator: str
    threshold: float | None
    holds: bool


class LedgerPosition(Part):
    """Where the ledger records the change: the record ``sequence`` of the chain ``partition``."""

    partition: int = Field(ge=0)
    sequence: int = Field(ge=1)


class ViewChange(Part):
    """One (algorithm, ticker) whose view turned at this close."""

    algorithm: str
    algorithm_version: str
    ticker: Ticker
    from_view: View = Field(alias="from")
    to_view: View = Field(alias="to")
    close: float
    why: tuple[Condition, ...]
    ledger: LedgerPosition


class ViewsChangedV1(Event):
    """Views that changed at one close of one timeframe, at most 100 in one event.

    ``recorded`` is that of the candles. A ``late`` change was decided so long after its close (catching up,
    warming up a new ticker) that nobody is alerted of it; boards show it all the same.
    """

    type: ClassVar[str] = "signals.views_changed"
    version: ClassVar[int] = 1

    timeframe: Timeframe
    close_time: UtcTime
    released_at: UtcTime
    evaluated_at: UtcTime
    recorded: bool
    late: bool
    changes: tuple[ViewChange, ...] = Field(min_length=1, max_length=MAX_CHANGES)


class SilentTicker(Part):
    """A ticker of which no candle came, and the close of its last one."""

    ticker: Ticker
    last_close: UtcTime


class TickerStaleV1(Event):
    """No candle of these tickers came for two timeframes: their views stand, but nobody evaluates them."""

    type: ClassVar[str] = "signals.ticker_stale"
    version: ClassVar[int] = 1

    timeframe: Timeframe
    as_of: UtcTime
    tickers: tuple[SilentTicker, ...] = Field(min_length=1, max_length=MAX_TICKERS)


class TickerRecoveredV1(Event):
    """Candles of these stale tickers come again, from the one that closed at ``close_time`` on."""

    type: ClassVar[str] = "signals.ticker_recovered"
    version: ClassVar[int] = 1

    timeframe: Timeframe
    close_time: UtcTime
    tickers: tuple[Ticker, ...] = Field(min_length=1, max_length=MAX_TICKERS)


class ListedTicker(Part):
    """A ticker that is evaluated, and the timeframe of its candles in the feed."""

    ticker: Ticker
    timeframe: Timeframe


class TickersListedV1(Event):
    """Tickers that the runner has begun to evaluate."""

    type: ClassVar[str] = "signals.tickers_listed"
    version: ClassVar[int] = 1

    tickers: tuple[ListedTicker, ...] = Field(min_length=1, max_length=MAX_TICKERS)


class ListedAlgorithm(Part):
    """An algorithm of the deployment. ``timeframe`` None: it runs on whatever the feed delivers."""

    key: str
    name: str
    version: str
    timeframe: Timeframe | None


class AlgorithmsListedV1(Event):
    """All algorithms of the deployment, whenever the list has changed."""

    type: ClassVar[str] = "signals.algorithms_listed"
    version: ClassVar[int] = 1

    algorithms: tuple[ListedAlgorithm, ...]
