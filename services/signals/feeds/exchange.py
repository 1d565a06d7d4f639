"""One exchange through ccxt: its spot markets, its clock, its closed candles. Public data only, no keys.

Every failure of a request becomes a `Trouble`, and the exchange keeps count of them: after a few in a row it
counts as down, and is asked again after growing pauses, or when it has said so itself (Retry-After).
"""

import difflib
import json
import math
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import ccxt.async_support as ccxt

from services.signals.candles import TIMEFRAMES
from services.signals.errors import FeedError
from services.signals.feeds import telling
from services.signals.feeds.clock import Clock
from services.signals.feeds.rows import MILLISECONDS, Row, read
from shared import logs

TIMEOUT_SECONDS = 10
USUAL_PAGE = 500
"""Rows that are asked for at once where ccxt does not know the exchange's limit."""
STRIKES = 3
"""So many failures in a row and the exchange counts as down."""
LONGEST_PAUSE = 60.0
LONGEST_OBEYED = 3600.0
"""An exchange that wants a longer silence than this is asked again after it: a slip must not end a feed."""
MARKETS_OWN = ("symbol", "refused")
"""Kinds of trouble that say nothing of the exchange, only of the market that was asked for."""
REMEMBERED_REFUSALS = 10_000

Answer = TypeVar("Answer")
Client = Any
"""An instance of one of ccxt's exchanges; they share no useful type."""

log = logs.logger(__name__)


class Trouble(Exception):
    """A request gave nothing usable. `kind` is a word for metrics."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def public_client(name: str) -> Client:
    """The client of an exchange, without keys. Raises FeedError for an exchange that ccxt doesn't know."""
    if name not in ccxt.exchanges:
        near = difflib.get_close_matches(name, ccxt.exchanges, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise FeedError(f"FEED: ccxt knows no exchange {name!r}{hint}")
    make: Callable[[Mapping[str, Any]], Client] = getattr(ccxt, name)
    plain = make({})
    kinds = plain.options.get("fetchMarkets")
    spot_only = isinstance(kinds, dict) and "spot" in kinds.get("types", ())
    return make(
        {
            "enableRateLimit": True,
            "timeout": TIMEOUT_SECONDS * MILLISECONDS,
            # the list of currencies costs a request, on some exchanges one with a key, and nobody reads it
            "has": {"fetchCurrencies": False},
            "options": {
                "defaultType": "spot",
                **({"fetchMarkets": {"types": ["spot"]}} if spot_only else {}),
            },
        }
    )


class Exchange:
    """An exchange as a feed uses it, for candles of one timeframe.

    Raises FeedError when it offers no such candles.
    """

    def __init__(self, client: Client, timeframe: str, clock: Clock) -> None:
        self.name: str = client.id
        self.title: str = client.name
        self.step = TIMEFRAMES[timeframe]
        self.strikes = 0
        self.is_down = False
        self.resume_at = 0.0
        """When it may be asked again, by the steady clock."""
        self.answered_at = clock.steady()
        self._timeframe = timeframe
        self._client = client
        self._clock = clock
        self._ahead: float | None = None
        self._struck_at = -math.inf
        self._retry_after: float | None = None
        self._refused: set[tuple[str, str, Any]] = set()
        if client.has.get("fetchOHLCV") is not True:
            raise FeedError(f"FEED: {self.name} offers no candles")
        if timeframe not in (client.timeframes or {}):
            offered = ", ".join(each for each in TIMEFRAMES if each in (client.timeframes or {}))
            raise FeedError(f"FEED: {self.name} offers no candles of {timeframe}, only of {offered}")
        self.spacing = client.rateLimit / MILLISECONDS
        """Seconds that ccxt lets pass between two requests in the long run."""
        client.on_rest_response = self._on_answer
        self.page = self._page()

    def now(self) -> float:
        """What time it is by the exchange's own clock, or by ours where it tells none; never ahead of it."""
        return self._clock.now() if self._ahead is None else self._clock.steady() + self._ahead

    def last_close(self, patience: float = 0.0) -> int:
        """The newest close on the grid that is at least `patience` seconds past."""
        return int((self.now() - patience) // self.step) * self.step

    async def markets(self) -> list[str]:
        """Its spot markets that are traded, as `BASE/QUOTE`; also sets the clock. Raises Trouble."""
        markets = await self._call(lambda: self._client.load_markets(True))  # noqa: FBT003 - ccxt's name is `reload`
        await self.set_clock()
        return sorted(
            symbol
            for symbol, market in markets.items()
            if market.get("spot") is True and market.get("active") is not False
        )

    async def set_clock(self) -> None:
        """Compare the clocks. Raises Trouble.

        The answer's time counts as that of its arrival, so an exchange's clock is never taken for ahead.
        """
        if self._client.has.get("fetchTime") is not True:
            return
        told = await self._call(self._client.fetch_time)
        if not isinstance(told, int | float):
            raise self._trouble(Trouble("malformed", f"{self.name} tells no time"), self._clock.steady())
        self._ahead = told / MILLISECONDS - self._clock.steady()

    async def probe(self) -> None:
        """Find out whether it is back. Raises Trouble."""
        asked = self.set_clock if self._client.has.get("fetchTime") is True else self.markets
        try:
            await asked()
        except Trouble:
            # whatever it says, also a refusal that elsewhere would be of one market: it is not back
            self.resume_at = max(self.resume_at, self._clock.steady() + LONGEST_PAUSE * _jitter(0.5, 1.0))
            raise
        self.is_down = False
        log.info("exchange answers again", exchange=self.name)

    async def candles(self, symbol: str, since: int, limit: int) -> list[Row]:
        """Candles of a market from the one that opens at `since` (seconds since 1970) on, oldest first.

        Only those that had closed by the exchange's clock when they were asked for. It may tell fewer than
        `limit`, or more. Raises Trouble.
        """
        now, began = self.now(), self._clock.steady()
        answer = await self._call(
            lambda: self._client.fetch_ohlcv(symbol, self._timeframe, since * MILLISECONDS, limit)
        )
        try:
            rows, refused = read(answer, self.step, now)
        except (TypeError, ValueError) as error:
            raise self._trouble(Trouble("malformed", f"{self.name} {symbol}: {error}"), began) from None
        self.tell_refused(symbol, refused)
        self.strikes = 0
        self.answered_at = self._clock.steady()
        return [row for row in rows if row.open_time >= since]

    def tell_refused(self, symbol: str, refused: Sequence[tuple[str, Any]]) -> None:
        """Count and log, each once, rows of a market that can't be taken: reason and time of each."""
        if len(self._refused) > REMEMBERED_REFUSALS:
            self._refused.clear()
        for reason, when in refused:
            if (symbol, reason, when) not in self._refused:
                self._refused.add((symbol, reason, when))
                telling.REFUSED_ROWS.labels(self.name, reason).inc()
                log.warning("row refused", exchange=self.name, market=symbol, reason=reason, time=when)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def _call(self, request: Callable[[], Awaitable[Answer]]) -> Answer:
        telling.REQUESTS.labels(self.name).inc()
        began = self._clock.steady()
        try:
            return await request()
        except ccxt.BaseError as error:
            raise self._trouble(Trouble(_kind(error), _one_line(error)), began) from error
        except (
            Exception
        ) as error:  # a foreign answer can break ccxt's parsers in any way; asked again, as others
            raise self._trouble(Trouble("malformed", _one_line(error)), began) from error

    def _trouble(self, trouble: Trouble, began: float) -> Trouble:
        """Count the failure of a request that began then, and decide when to ask again."""
        telling.ERRORS.labels(self.name, trouble.kind).inc()
        if trouble.kind in MARKETS_OWN:
            return trouble
        steady = self._clock.steady()
        if began >= self._struck_at:  # those that were under way together fail for one reason
            self.strikes += 1
            self._struck_at = steady
        told, self._retry_after = self._retry_after, None
        if told is not None:
            # never before the exchange said, and not everybody at that very moment
            self.resume_at = max(self.resume_at, steady + told * _jitter(1.0, 1.1))
        elif trouble.kind == "rate_limit" or self.strikes >= STRIKES:
            pause = min(LONGEST_PAUSE, 2.0 ** min(self.strikes, 10))
            self.resume_at = max(self.resume_at, steady + pause * _jitter(0.5, 1.0))
        if self.strikes >= STRIKES and not self.is_down:
            self.is_down = True
            log.warning("exchange is down", exchange=self.name, kind=trouble.kind, error=str(trouble))
        return trouble

    def _on_answer(
        self, code: int, _reason: str, url: str, _method: str, headers: Any, body: str, *_: Any
    ) -> str:
        """The hook of ccxt for each answer: an answer that is no JSON must not pass for an empty one."""
        if code in (418, 429, 503):
            self._retry_after = self._seconds(headers)
        text = body.strip()
        if code < 400:
            try:
                json.loads(text)
            except ValueError:
                raise ccxt.BadResponse(f"{self.name}: no JSON from {url}") from None
        return text

    def _seconds(self, headers: Mapping[str, str]) -> float | None:
        """What Retry-After says, in seconds from now, an hour at the most; None where it says nothing."""
        told = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
        if told.isascii() and told.isdigit():
            return min(LONGEST_OBEYED, float(told))
        try:
            until = parsedate_to_datetime(told).timestamp()
        except (ValueError, OverflowError):
            return None
        return min(LONGEST_OBEYED, max(0.0, until - self._clock.now()))

    def _page(self) -> int:
        spot = (self._client.features or {}).get("spot") or {}
        limit = (spot.get("fetchOHLCV") or {}).get("limit")
        return int(limit) if limit else USUAL_PAGE


def _kind(error: ccxt.BaseError) -> str:
    if isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded):
        return "rate_limit"
    if isinstance(error, ccxt.RequestTimeout):
        return "timeout"
    if isinstance(error, ccxt.BadSymbol):
        return "symbol"
    if isinstance(error, ccxt.BadResponse):
        return "malformed"
    if isinstance(error, ccxt.NetworkError):
        return "unreachable" if error.__cause__ is not None else "server_error"
    return "refused"


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _jitter(least: float, most: float) -> float:
    return random.uniform(least, most)  # noqa: S311 - jitter, no secret
