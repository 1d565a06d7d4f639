"""The parts of a live feed that need no exchange: patterns, rows, groups, settings."""

import math

import pytest
from sqlalchemy import text

from services.signals.algorithms import ALGORITHMS
from services.signals.errors import FeedError
from services.signals.feeds import require_exchanges
from services.signals.feeds.assembly import Assembly
from services.signals.feeds.batching import Batching
from services.signals.feeds.clock import SystemClock
from services.signals.feeds.exchange import Exchange, public_client
from services.signals.feeds.plan import Plan
from services.signals.feeds.rows import Row, read
from services.signals.feeds.universe import Universe
from services.signals.ledger.records import PARTITIONS
from tests.signals.closing import close_all
from tests.signals.local_market import settings
from tests.signals.test_runner import MakeDatabase

NOWHERE = "postgresql+psycopg://nowhere/x"
HOUR = 3600


def row(hour: int, *, price: float = 1.0, volume: float = 1.0) -> Row:
    return Row(hour * HOUR, price, price, price, price, volume)


@pytest.mark.parametrize(
    ("patterns", "exchange", "symbol", "held"),
    [
        ("*/USDT", "kraken", "BTC/USDT", True),
        ("*/USDT", "kraken", "BTC/USD", False),
        ("*/usdt, btc/eur", "kraken", "BTC/EUR", True),
        ("*/USDT,!*UP/USDT", "binance", "BTCUP/USDT", False),
        ("kraken:*/USD,binance:*/USDT", "kraken", "BTC/USD", True),
        ("kraken:*/USD,binance:*/USDT", "binance", "BTC/USD", False),
        ("*/USDT,!kraken:BTC/*", "kraken", "BTC/USDT", False),
    ],
)
def test_a_universe_holds_what_a_pattern_fits_and_none_leaves_out(
    patterns: str, exchange: str, symbol: str, held: bool
) -> None:
    assert Universe.of(patterns).holds(exchange, symbol) is held


def test_rows_are_taken_once_and_closed_and_in_order() -> None:
    good = [HOUR * 1000, 1, 2, 0.5, 1.5, 3]
    answer = [
        [2 * HOUR * 1000, 1, 1, 1, 1, 1],
        good,
        good,
        [HOUR * 1000, 9, 9, 9, 9, 9],
        [HOUR * 1000 + 1000, 1, 1, 1, 1, 1],
        [0, 1, 1, None, 1, 1],
        [0, 1, 1],
        [0, 1, 0.5, 1, 1, 1],
        [0, 0, 1, 0, 1, 1],
        [0, 1, 1, 1, 1, -1],
        [3 * HOUR * 1000, 1, 1, 1, 1, 1],
    ]
    rows, refused = read(answer, HOUR, now=4 * HOUR - 0.001)
    assert rows == [Row(HOUR, 1, 2, 0.5, 1.5, 3), Row(2 * HOUR, 1, 1, 1, 1, 1)]
    assert [reason for reason, _ in refused] == [
        "contradiction",
        "off_grid",
        "incomplete",
        "incomplete",
        "broken_range",
        "zero_price",
        "negative",
    ]
    assert len(read(answer, HOUR, now=4 * HOUR).rows) == 3


def test_a_group_that_lacks_a_candle_gives_none() -> None:
    hours = [row(hour) for hour in (1, 2, 3, 4, 5, 6, 7, 8)]
    assert [each.open_time for each in Assembly("1h", ("4h",)).add(hours)["4h"]] == [4 * HOUR]
    more = [row(hour) for hour in (8, 10, 11, 12, 13, 14, 15)]
    assert [each.open_time for each in Assembly("1h", ("4h",)).add(more)["4h"]] == [12 * HOUR]


def test_a_made_volume_is_the_exact_sum_rounded_once() -> None:
    volumes = [1e16, 1.0, 1.0, 1.0]
    made = Assembly("1h", ("4h",)).add([row(hour, volume=volume) for hour, volume in enumerate(volumes)])
    assert made["4h"][0].volume == math.fsum(volumes) == 1e16 + 4  # the tie goes to the even one


def test_a_close_of_very_many_tickers_is_one_cycle_of_each_chain(migrated: MakeDatabase) -> None:
    database = migrated("signals")
    names = [f"x:{number:05}/USDT" for number in range(10_100)]
    close_all(database, Batching("1h", ()).batches((name, [row(1)]) for name in names))
    with database.read() as connection:
        cycles = connection.execute(text("SELECT partition FROM ledger WHERE NOT late ORDER BY 1")).scalars()
        assert cycles.all() == list(range(PARTITIONS))
        assert connection.execute(text("SELECT count(*) FROM ledger WHERE late")).scalar_one() == 0
        assert connection.execute(text("SELECT count(evaluated_in) FROM candle")).scalar_one() == len(names)
        assert connection.execute(text("SELECT count(*) FROM view")).scalar_one() == len(names) * len(
            ALGORITHMS
        )


def test_the_base_is_the_shortest_timeframe_that_an_algorithm_runs_on_unless_a_shorter_is_chosen() -> None:
    plan = Plan.of(settings(NOWHERE, feed="ccxt:kraken,binance,kraken"))
    assert plan.exchanges == ("kraken", "binance")
    assert (plan.base, plan.made, plan.history) == ("1h", ("4h",), 2000)
    plan = Plan.of(settings(NOWHERE, feed="ccxt:kraken", feed_timeframe="15m", warmup_candles=100))
    assert (plan.base, plan.made, plan.history) == ("15m", ("1h", "4h"), 1600)
    plan = Plan.of(settings(NOWHERE, feed="ccxt:kraken", algorithm_timeframes="feed", feed_timeframe="1d"))
    assert (plan.base, plan.made) == ("1d", ())
    with pytest.raises(FeedError, match="FEED_TIMEFRAME 4h is longer than 1h"):
        Plan.of(settings(NOWHERE, feed="ccxt:kraken", feed_timeframe="4h"))


def test_a_history_begins_with_a_complete_group() -> None:
    plan = Plan.of(settings(NOWHERE, feed="ccxt:kraken", warmup_candles=3))
    assert plan.first_open(32 * HOUR + 5) == 20 * HOUR
    assert plan.first_open(33 * HOUR) == 20 * HOUR


@pytest.mark.parametrize(
    "wrong",
    [{"universe": "BTC"}, {"universe": "!*/USDT"}, {"feed_timeframe": "2h"}, {"cycle_deadline": 0}],
)
def test_settings_of_a_live_feed_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"(?i)universe|feed_timeframe|cycle_deadline"):
        settings(NOWHERE, **wrong)


def test_an_exchange_that_gives_no_such_candles_is_refused_in_one_line() -> None:
    with pytest.raises(FeedError, match="ccxt knows no exchange 'krakn'; did you mean kraken"):
        require_exchanges(["krakn"])
    with pytest.raises(FeedError, match=r"FEED: coincheck offers no candles$"):
        Exchange(public_client("coincheck"), "1h", SystemClock())
    with pytest.raises(FeedError, match="coinbase offers no candles of 4h, only of 1m, 5m, 15m, 1h, 1d"):
        Exchange(public_client("coinbase"), "4h", SystemClock())


def test_no_key_and_no_list_of_currencies_is_ever_sent() -> None:
    client = public_client("binance")
    assert client.has["fetchCurrencies"] is False
    assert client.options["fetchMarkets"]["types"] == ["spot"]
    assert not client.apiKey
