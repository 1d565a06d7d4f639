"""A local HTTP server that speaks the public REST shapes of an exchange, Kraken's or Binance's.

Its markets and candles are of our own making; its clock is the caller's. A test can let requests fail, hang
or answer anything. By hand, `python -m tests.support.exchange_server kraken FOLDER` serves the payloads of a
folder instead (`*asset_pairs*.json`, `*ohlc*.json`, `*server_time*.json`; `*exchange_info*`, `*klines*`).
"""

import http.server
import json
import sys
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

MINUTE = 60
KRAKEN_ROWS = 720
BINANCE_ROWS = 1000
BINANCE_STEPS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400}
HANG_SECONDS = 30.0
RECORDED = {
    "kraken": {"AssetPairs": "*asset_pairs*.json", "OHLC": "http_ohlc*.json", "Time": "*server_time*.json"},
    "binance": {
        "exchangeInfo": "*exchange_info*.json",
        "klines": "klines*.json",
        "time": "*server_time*.json",
    },
}


class Fault(NamedTuple):
    """What a request gets instead of its answer; with `hold` only once that is set."""

    status: int = 200
    body: str = "{}"
    headers: tuple[tuple[str, str], ...] = ()
    hold: threading.Event | None = None


class Asked(NamedTuple):
    """A request that came in: which endpoint, and for which market (empty: for none)."""

    endpoint: str
    symbol: str


@dataclass
class Market:
    """A market `BASE/QUOTE`; `first` is when its first candle opens."""

    symbol: str
    first: int = 0
    is_traded: bool = True
    missing: set[int] = field(default_factory=set)
    """Open times without a candle."""
    raw: dict[int, list[Any]] = field(default_factory=dict)
    """Values that are told of a candle instead of its own."""


def candle(symbol: str, open_time: int) -> tuple[float, float, float, float, float]:
    """Open, high, low, close, volume of our own making, the same for ever."""
    seed = zlib.crc32(f"{symbol} {open_time}".encode())
    opened = 100 + seed % 1000 / 100
    close = 100 + seed // 1000 % 1000 / 100
    return opened, max(opened, close) + 0.5, min(opened, close) - 0.25, close, 1 + seed % 7 / 8


def pointed(client: Any, url: str) -> Any:
    """The client of ccxt, which asks the server at `url` from now on."""
    path = "" if client.id == "kraken" else "/api/v3"
    client.urls["api"] = dict.fromkeys(client.urls["api"], url + path)
    return client


class ExchangeServer:
    """The server; it listens on a free port of the loopback address until `close`."""

    def __init__(self, shape: str, now: Callable[[], float], symbols: tuple[str, ...] = ()) -> None:
        self.shape = shape
        self.markets = {symbol: Market(symbol) for symbol in symbols}
        self.fault: Callable[[Asked], Fault | None] = lambda _asked: None
        self.rows = KRAKEN_ROWS if shape == "kraken" else BINANCE_ROWS
        """How many candles one answer holds at most."""
        self.asked: list[Asked] = []
        self.times: list[float] = []
        """When each of `asked` came, by the exchange's clock."""
        self.recorded: Path | None = None
        self._now = now
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def point(self, client: Any) -> Any:
        """Let ccxt's client of this exchange ask here."""
        return pointed(client, self.url)

    def note(self, asked: Asked) -> None:
        """Remember a request."""
        with self._lock:
            self.times.append(self._now())
            self.asked.append(asked)

    def count(self, endpoint: str, symbol: str = "") -> int:
        """How many requests of a kind came in."""
        return sum(1 for asked in self.asked if asked == (endpoint, symbol))

    def answer(self, endpoint: str, query: dict[str, str]) -> tuple[Asked, Any]:
        """The answer to a request, as an object of JSON."""
        if self.recorded is not None:
            path = next(self.recorded.glob(RECORDED[self.shape][endpoint]))
            return Asked(endpoint, ""), json.loads(path.read_text())
        if endpoint in ("Time", "time"):
            return Asked(endpoint, ""), self._time()
        if endpoint in ("AssetPairs", "exchangeInfo"):
            return Asked(endpoint, ""), self._pairs()
        name = query.get("pair") or query["symbol"]
        symbol = next((each for each in self.markets if each.replace("/", "") == name), "")
        if not symbol:
            unknown = {"kraken": {"error": ["EQuery:Unknown asset pair"]}}
            return Asked(endpoint, name), unknown.get(self.shape, {"code": -1121, "msg": "Invalid symbol."})
        return Asked(endpoint, symbol), self._candles(symbol, query)

    def _time(self) -> dict[str, Any]:
        now = self._now()
        if self.shape == "kraken":
            return {"error": [], "result": {"unixtime": int(now), "rfc1123": ""}}
        return {"serverTime": int(now * 1000)}

    def _pairs(self) -> dict[str, Any]:
        described = map(_kraken_pair if self.shape == "kraken" else _binance_symbol, self.markets.values())
        if self.shape == "kraken":
            return {"error": [], "result": {each["altname"]: each for each in described}}
        return {"timezone": "UTC", "serverTime": int(self._now() * 1000), "symbols": list(described)}

    def _candles(self, symbol: str, query: dict[str, str]) -> Any:
        if self.shape == "kraken":
            step = int(query.get("interval", "1")) * MINUTE
            since = int(float(query.get("since", "0"))) + 1
            rows = [self._kraken_row(symbol, each) for each in self._opened(symbol, step, since)]
            last = rows[-2][0] if len(rows) > 1 else 0
            return {"error": [], "result": {symbol.replace("/", ""): rows[-self.rows :], "last": last}}
        step = BINANCE_STEPS[query["interval"]]
        limit = min(int(query.get("limit", "500")), self.rows)
        since = -(-int(query.get("startTime", "0")) // 1000)
        until = int(query.get("endTime", str(10**15))) // 1000
        opened = list(takewhile(lambda each: each <= until, self._opened(symbol, step, since)))
        chosen = opened[:limit] if "startTime" in query else opened[-limit:]
        return [self._binance_row(symbol, each, step) for each in chosen]

    def _opened(self, symbol: str, step: int, since: int) -> list[int]:
        """When the candles of a market opened, from a moment on; the last one is open still."""
        market, now = self.markets[symbol], int(self._now())
        oldest = max(since, market.first, now - 5000 * step)
        return [
            each for each in range(-(-oldest // step) * step, now + 1, step) if each not in market.missing
        ]

    def _kraken_row(self, symbol: str, opened: int) -> list[Any]:
        values = self._values(symbol, opened)
        prices = [None if each is None else str(each) for each in values]
        return [opened, *prices[:4], prices[3], prices[4], 7]

    def _binance_row(self, symbol: str, opened: int, step: int) -> list[Any]:
        prices = [None if each is None else str(each) for each in self._values(symbol, opened)]
        return [opened * 1000, *prices, (opened + step) * 1000 - 1, "1.0", 7, "0.5", "0.5", "0"]

    def _values(self, symbol: str, opened: int) -> list[Any]:
        return self.markets[symbol].raw.get(opened) or list(candle(symbol, opened))


def _kraken_pair(market: Market) -> dict[str, Any]:
    base, quote = market.symbol.split("/")
    return {
        "altname": base + quote,
        "wsname": market.symbol,
        "aclass_base": "currency",
        "base": base,
        "aclass_quote": "currency",
        "quote": quote,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": 2,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "ordermin": "0.1",
        "status": "online" if market.is_traded else "cancel_only",
    }


def _binance_symbol(market: Market) -> dict[str, Any]:
    base, quote = market.symbol.split("/")
    return {
        "symbol": base + quote,
        "status": "TRADING" if market.is_traded else "BREAK",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _handler(exchange: ExchangeServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = HANG_SECONDS

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            asked, told = exchange.answer(parts.path.rpartition("/")[2], query)
            exchange.note(asked)
            fault = exchange.fault(asked)
            if fault is None:
                refused = isinstance(told, dict) and "code" in told
                self._send(400 if refused else 200, json.dumps(told), ())
                return
            if fault.hold is not None and not fault.hold.wait(HANG_SECONDS):
                return
            self._send(fault.status, fault.body, fault.headers)

        def _send(self, status: int, text: str, headers: tuple[tuple[str, str], ...]) -> None:
            body = text.encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
            except ConnectionError:
                self.close_connection = True  # whoever asked has given up

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def main() -> None:
    """Serve a folder of payloads until Ctrl-C."""
    shape, folder = sys.argv[1:]
    server = ExchangeServer(shape, lambda: 0.0)
    server.recorded = Path(folder)
    print(server.url, flush=True)  # noqa: T201 - for the person who started it
    try:
        threading.Event().wait()
    finally:
        server.close()


if __name__ == "__main__":
    main()
