"""The live feed against local exchanges that speak Kraken's and Binance's REST shapes."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import REGISTRY

from services.signals.feeds.plan import Plan
from services.signals.feeds.source import GRACE_SECONDS, SETTLE_SECONDS
from tests.signals.closing import events
from tests.signals.exchanges import HOUR, START, HandClock, Stage
from tests.signals.local_market import running, settings, wait_until
from tests.signals.test_feed import Publisher
from tests.signals.test_runner import MakeDatabase
from tests.support.exchange_server import Asked, ExchangeServer, Fault, Market, candle

NOW = START + 10 * HOUR + 60
AAA, BBB, CCC = "kraken:AAA/USDT", "kraken:BBB/USDT", "binance:CCC/USDT"
KRAKEN = ("AAA/USDT", "BBB/USDT")


def counted(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(metric, labels) or 0.0


@pytest.fixture
def parts() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def stage(migrated: MakeDatabase, parts: ExitStack) -> Stage:
    """Kraken with two markets; the clock says a minute past a close."""
    clock = HandClock(NOW)
    server = ExchangeServer("kraken", clock.now, KRAKEN)
    parts.callback(server.close)
    return Stage(migrated("signals"), clock, {"kraken": server})


@pytest.fixture
def both(stage: Stage, parts: ExitStack) -> Stage:
    """Binance, with a market, beside Kraken."""
    stage.servers["binance"] = ExchangeServer("binance", stage.clock.now, ("CCC/USDT",))
    parts.callback(stage.servers["binance"].close)
    return stage


def close(stage: Stage, hour: int) -> None:
    """Let an hour close, and the exchanges settle."""
    stage.clock.move_to(START + hour * HOUR + SETTLE_SECONDS)


def tickers_at(stage: Stage, hour: int) -> set[str]:
    """The tickers of which the candle of a close has been released."""
    return {ticker for _, at, tickers in stage.released() if at == hour for ticker in tickers}


def test_history_comes_first_and_then_each_close_as_it_happens(stage: Stage) -> None:
    with running([stage.feed(), Publisher(stage.database)]):
        stage.wait_for(("1h", 9, (AAA, BBB)), ("1h", 10, (AAA, BBB)))
        close(stage, 11)
        stage.wait_for(("1h", 9, (AAA, BBB)), ("1h", 10, (AAA, BBB)), ("1h", 11, (AAA, BBB)))
    last = events(stage.database, "market.candles_closed.v1")[-1]
    columns = [last[name] for name in ("open", "high", "low", "close", "volume")]
    assert list(zip(*columns, strict=True)) == [candle(symbol, START + 10 * HOUR) for symbol in KRAKEN]
    assert last["recorded"] is False
    assert counted("signals_feed_tickers", exchange="kraken") == 2
    assert counted("signals_feed_last_close_seconds", exchange="kraken") == START + 11 * HOUR


def test_exchanges_are_merged_into_one_batch_for_each_close(both: Stage) -> None:
    with running([both.feed(), Publisher(both.database)]):
        both.wait_for(("1h", 9, (CCC, AAA, BBB)), ("1h", 10, (CCC, AAA, BBB)))
        close(both, 11)
        wait_until(lambda: both.released()[2:] == [("1h", 11, (CCC, AAA, BBB))], "the next close")


def test_an_exchange_that_hangs_holds_up_nobody_beyond_the_deadline_and_follows_later(both: Stage) -> None:
    hold = threading.Event()
    with running([both.feed(), Publisher(both.database)]):
        both.wait_for(("1h", 9, (CCC, AAA, BBB)), ("1h", 10, (CCC, AAA, BBB)))
        binance = both.servers["binance"]
        binance.fault = lambda asked: Fault(body="[]", hold=hold) if asked.endpoint == "klines" else None
        close(both, 11)
        wait_until(lambda: binance.count("klines", "CCC/USDT") == 2, "the request that hangs")
        taken = "signals_feed_last_close_seconds"
        wait_until(lambda: counted(taken, exchange="kraken") == START + 11 * HOUR, "the others' candles")
        both.clock.move(29)
        assert len(both.released()) == 2, "the deadline is not over"
        both.clock.move(2)
        both.move_until(lambda: tickers_at(both, 11) == {AAA, BBB}, "those that have answered")
        binance.fault = lambda _asked: None
        hold.set()
        both.move_until(lambda: both.released()[-1] == ("1h", 11, (CCC,)), "the straggler")
        close(both, 12)
        wait_until(lambda: both.released()[-1] == ("1h", 12, (CCC, AAA, BBB)), "all together again")


def test_a_candle_is_closed_when_the_exchanges_own_clock_says_so(stage: Stage, parts: ExitStack) -> None:
    behind = ExchangeServer("kraken", lambda: stage.clock.now() - 120, KRAKEN)
    parts.callback(behind.close)
    stage.servers["kraken"] = behind
    with running([stage.feed(history=1), Publisher(stage.database)]):
        stage.wait_for(("1h", 9, (AAA, BBB)))
        stage.clock.move_to(START + 10 * HOUR + 120 + SETTLE_SECONDS)
        stage.wait_for(("1h", 9, (AAA, BBB)), ("1h", 10, (AAA, BBB)))
        close(stage, 11)
        stage.clock.move(60)
        assert len(stage.released()) == 2, "by its own clock the exchange's candle is open"
        stage.clock.move(60)
        wait_until(lambda: len(stage.released()) == 3, "it has closed")


def test_failures_are_counted_by_kind_and_asked_again_until_all_is_there(stage: Stage) -> None:
    faults = iter([Fault(500, "oops"), Fault(502, "<html>"), Fault(200, '{"error":[],"res'), Fault(200, "")])
    kinds = ("server_error", "malformed", "rate_limit", "timeout")
    before = {kind: counted("signals_feed_errors_total", exchange="kraken", kind=kind) for kind in kinds}
    stage.servers["kraken"].fault = lambda asked: next(faults, None) if asked.endpoint == "OHLC" else None
    with running([stage.feed(), Publisher(stage.database)]):
        stage.move_until(lambda: len(stage.released()) == 2, "history in spite of failures")
    assert stage.released() == [("1h", 9, (AAA, BBB)), ("1h", 10, (AAA, BBB))]
    after = {kind: counted("signals_feed_errors_total", exchange="kraken", kind=kind) for kind in kinds}
    assert [after[kind] - before[kind] for kind in kinds] == [2, 2, 0, 0]


def test_an_exchange_is_not_asked_before_the_time_that_it_names(stage: Stage) -> None:
    limited = [Fault(429, "slow down", (("Retry-After", "40"),))]
    server = stage.servers["kraken"]
    with running([stage.feed(), Publisher(stage.database)]):
        stage.wait_for(("1h", 9, (AAA, BBB)), ("1h", 10, (AAA, BBB)))
        server.fault = lambda asked: limited.pop() if limited and asked == Asked("OHLC", KRAKEN[0]) else None
        close(stage, 11)
        wait_until(lambda: stage.released()[2:] == [("1h", 11, (BBB,))], "the other market")
        stage.move_until(lambda: stage.released()[3:] == [("1h", 11, (AAA,))], "it goes on")
    times = [
        when for when, asked in zip(server.times, server.asked, strict=True) if asked.symbol == KRAKEN[0]
    ]
    assert times[2] - times[1] >= 40


def test_a_market_without_a_trade_delays_a_close_by_the_grace_only(stage: Stage) -> None:
    stage.servers["kraken"].markets[KRAKEN[0]].missing.add(START + 10 * HOUR)
    with running([stage.feed(), Publisher(stage.database)]):
        stage.wait_for(("1h", 9, (AAA, BBB)), ("1h", 10, (AAA, BBB)))
        close(stage, 11)
        began = stage.clock.now()
        stage.move_until(lambda: len(stage.released()) == 3, "the close")
        assert stage.clock.now() - began < 25
        assert stage.clock.now() >= START + 11 * HOUR + GRACE_SECONDS
        close(stage, 12)
        wait_until(lambda: len(stage.released()) == 4, "the next close")
    assert stage.released()[2:] == [("1h", 11, (BBB,)), ("1h", 12, (AAA, BBB))]


def test_a_row_without_a_value_is_refused_and_taken_once_it_has_one(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    market = stage.servers["kraken"].markets[KRAKEN[0]]
    opened, before = (
        START + 10 * HOUR,
        counted("signals_feed_refused_rows_total", exchange="kraken", reason="incomplete"),
    )
    market.raw[opened] = [1.0, None, 1.0, 1.0, 1.0]
    with running([stage.feed(), Publisher(stage.database)]):
        stage.wait_for(("1h", 9, (AAA, BBB)), ("1h", 10, (AAA, BBB)))
        close(stage, 11)
        stage.move_until(lambda: len(stage.released()) == 3, "the close")
        assert stage.released()[2:] == [("1h", 11, (BBB,))]
        del market.raw[opened]
        stage.move_until(lambda: len(stage.released()) == 4, "the candle")
    assert stage.released()[3:] == [("1h", 11, (AAA,))]
    assert caplog.text.count("row refused") == 1
    after = counted("signals_feed_refused_rows_total", exchange="kraken", reason="incomplete")
    assert after - before == 1


def refused(reason: str) -> float:
    return counted("signals_feed_refused_rows_total", exchange="kraken", reason=reason)


def test_a_broken_candle_is_taken_once_corrected_and_refused_once_when_told_again_with_other_values(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    told, opened = stage.servers["kraken"].markets[KRAKEN[0]].raw, START + 10 * HOUR
    before = [refused("broken_range"), refused("repeated_with_other_values")]
    told[opened] = [2.0, 1.0, 1.0, 1.0, 1.0]
    with running([stage.feed(), Publisher(stage.database)]):
        stage.wait_for(("1h", 9, (AAA, BBB)), ("1h", 10, (AAA, BBB)))
        close(stage, 11)
        stage.move_until(lambda: tickers_at(stage, 11) == {BBB}, "the close")
        close(stage, 12)
        stage.move_until(lambda: tickers_at(stage, 12) == {AAA, BBB}, "the next close")
        del told[opened]
        close(stage, 13)
        stage.move_until(lambda: tickers_at(stage, 11) == {AAA, BBB}, "the corrected candle")
        for hour, price in ((14, 2.0), (15, 2.0), (16, 3.0)):
            told[opened] = [price] * 5
            close(stage, hour)
            stage.move_until(lambda at=hour: tickers_at(stage, at) == {AAA, BBB}, "one more")  # type: ignore[misc]
    assert [each for each in stage.released() if each[1] == 11] == [("1h", 11, (BBB,)), ("1h", 11, (AAA,))]
    assert [refused("broken_range") - before[0], refused("repeated_with_other_values") - before[1]] == [1, 1]
    assert caplog.text.count("row refused") == 2


def test_a_candle_told_with_other_values_after_a_restart_is_refused(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    before = refused("repeated_with_other_values")
    with running([stage.feed(), Publisher(stage.database)]):
        stage.wait_for(("1h", 9, (AAA, BBB)), ("1h", 10, (AAA, BBB)))
    stage.servers["kraken"].markets[KRAKEN[0]].raw[START + 9 * HOUR] = [2.0] * 5
    stage.clock.move_to(START + 11 * HOUR + 60)
    with running([stage.feed(), Publisher(stage.database)]):
        stage.wait_for(*(("1h", hour, (AAA, BBB)) for hour in (9, 10, 11)))
    assert refused("repeated_with_other_values") - before == 1
    assert caplog.text.count("row refused") == 1


def test_longer_timeframes_are_made_of_complete_groups_and_follow_their_close(stage: Stage) -> None:
    stage.servers["kraken"].markets[KRAKEN[0]].missing.add(START + 5 * HOUR)
    with running([stage.feed(made=("4h",), history=10), Publisher(stage.database)]):
        wait_until(lambda: len(stage.released()) == 12, "history")
        close(stage, 11)
        close_12 = [("1h", 12, (AAA, BBB)), ("4h", 12, (AAA, BBB))]
        wait_until(lambda: len(stage.released()) == 13, "a close within a group")
        close(stage, 12)
        wait_until(lambda: len(stage.released()) == 15, "the end of a group")
    told = stage.released()
    assert [each for each in told if each[0] == "4h"] == [
        ("4h", 4, (AAA, BBB)),
        ("4h", 8, (BBB,)),
        close_12[1],
    ]
    assert told[13:] == close_12
    assert [each[:2] for each in told[:6]] == [
        ("1h", 1),
        ("1h", 2),
        ("1h", 3),
        ("1h", 4),
        ("4h", 4),
        ("1h", 5),
    ]
    made = next(
        each for each in events(stage.database, "market.candles_closed.v1") if each["timeframe"] == "4h"
    )
    parts = [candle(KRAKEN[0], START + hour * HOUR) for hour in range(4)]
    opens, highs, lows, closes, volumes = zip(*parts, strict=True)
    assert [made[name][0] for name in ("open", "high", "low", "close", "volume")] == [
        opens[0],
        max(highs),
        min(lows),
        closes[-1],
        sum(volumes),
    ]


def test_markets_come_and_go(stage: Stage) -> None:
    server = stage.servers["kraken"]
    with running([stage.feed(refresh=HOUR), Publisher(stage.database)]):
        stage.wait_for(("1h", 9, (AAA, BBB)), ("1h", 10, (AAA, BBB)))
        server.markets[KRAKEN[1]].is_traded = False
        server.markets["NEW/USDT"] = Market("NEW/USDT", first=START + 10 * HOUR)
        close(stage, 11)
        wait_until(lambda: ("1h", 11, (AAA, BBB)) in stage.released(), "the close before the refresh")
        stage.move_until(lambda: server.count("AssetPairs") == 2, "the refresh")
        stage.move_until(
            lambda: ("1h", 11, ("kraken:NEW/USDT",)) in stage.released(), "the new one's history"
        )
        asked = server.count("OHLC", KRAKEN[1])
        close(stage, 12)
        stage.move_until(lambda: ("1h", 12, (AAA, "kraken:NEW/USDT")) in stage.released(), "both")
        assert server.count("OHLC", KRAKEN[1]) == asked


def test_a_long_history_is_paged_and_comes_oldest_first(both: Stage) -> None:
    both.servers["kraken"].rows, both.servers["binance"].rows = 72, 40
    with running([both.feed(history=110, window=50), Publisher(both.database)]):
        wait_until(lambda: len(both.released()) == 110, "history")
    told = both.released()
    assert [at for _, at, _ in told] == list(range(-99, 11))
    # Kraken tells its last 72 candles only, whatever is asked for, and one of them is open
    assert [tickers for _, _, tickers in told] == [(CCC,)] * 39 + [(CCC, AAA, BBB)] * 71
    assert both.servers["binance"].count("klines", "CCC/USDT") == 5


def test_a_history_is_long_enough_for_the_longest_timeframe_in_use(stage: Stage) -> None:
    plan = Plan.of(
        settings(
            "postgresql+psycopg://nowhere/x",
            feed="ccxt:kraken",
            algorithms="golden_crossover,reversal_rsi",
            algorithm_timeframes='{"golden_crossover": "1d"}',
            warmup_candles=3,
        )
    )
    with running([stage.feed(made=plan.made, history=plan.history), Publisher(stage.database)]):
        wait_until(lambda: ("1h", 10, (AAA, BBB)) in stage.released(), "history")
    days = [each for each in stage.released() if each[0] == "1d"]
    assert days == [("1d", close, (AAA, BBB)) for close in (-48, -24, 0)]


def test_a_name_that_makes_no_ticker_is_left_out_with_one_line(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.servers["kraken"].markets["我踏马来了/USDT"] = Market("我踏马来了/USDT")
    with running([stage.feed(refresh=60), Publisher(stage.database)]):
        stage.wait_for(("1h", 9, (AAA, BBB)), ("1h", 10, (AAA, BBB)))
        stage.move_until(lambda: stage.servers["kraken"].count("AssetPairs") >= 2, "a refresh")
    assert caplog.text.count("its name makes no ticker") == 1


def test_an_exchange_that_is_away_at_the_start_is_asked_until_it_is_there(both: Stage) -> None:
    both.servers["binance"].fault = lambda _asked: Fault(503, "maintenance")
    with running([both.feed(), Publisher(both.database)]):
        both.move_until(lambda: len(both.released()) == 2, "the other exchange's history")
        assert {tickers for _, _, tickers in both.released()} == {(AAA, BBB)}
        both.servers["binance"].fault = lambda _asked: None
        both.move_until(lambda: ("1h", 10, (CCC,)) in both.released(), "its history")
        close(both, 11)
        both.move_until(lambda: ("1h", 11, (CCC, AAA, BBB)) in both.released(), "all together")


def test_what_an_exchange_missed_during_an_outage_comes_oldest_first(both: Stage) -> None:
    with running([both.feed(), Publisher(both.database)]):
        both.wait_for(("1h", 9, (CCC, AAA, BBB)), ("1h", 10, (CCC, AAA, BBB)))
        both.servers["binance"].fault = lambda _asked: Fault(502, "bad gateway")
        for hour in (11, 12, 13):
            close(both, hour)
            both.move_until(lambda at=hour: ("1h", at, (AAA, BBB)) in both.released(), "the others")  # type: ignore[misc]
        both.servers["binance"].fault = lambda _asked: None
        both.move_until(lambda: ("1h", 13, (CCC,)) in both.released(), "what was missed")
    of_binance = [close for _, close, tickers in both.released() if CCC in tickers]
    assert of_binance == [9, 10, 11, 12, 13]
