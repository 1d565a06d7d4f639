"""What a live feed tells its operators."""

from prometheus_client import Counter, Gauge

REQUESTS = Counter("signals_feed_requests", "Requests to an exchange.", ["exchange"])
ERRORS = Counter("signals_feed_errors", "Requests that gave nothing usable, by kind.", ["exchange", "kind"])
REFUSED_ROWS = Counter(
    "signals_feed_refused_rows",
    "Rows of exchanges that could not be taken, by reason.",
    ["exchange", "reason"],
)
TICKERS = Gauge("signals_feed_tickers", "Tickers of an exchange that are watched.", ["exchange"])
LAST_CLOSE = Gauge(
    "signals_feed_last_close_seconds", "Close of the newest candle taken, seconds since 1970.", ["exchange"]
)
BACKFILL = Gauge("signals_feed_backfill_candles", "Candles of the backfill at work.", ["feed", "state"])
