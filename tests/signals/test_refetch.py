from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from services.signals.feeds.refetch import DayOfCandles, candles_of_day
from tests.signals.exchanges import HOUR, START, HandClock, quick
from tests.signals.local_market import settings
from tests.signals.test_feed import write
from tests.support.exchange_server import ExchangeServer, Fault, candle

AAA, BBB, CCC = "kraken:AAA/USDT", "kraken:BBB/USDT", "binance:CCC/USDT"
DAY = date(2023, 11, 16)
BEGIN = datetime(2023, 11, 16, tzinfo=UTC)


@pytest.fixture
def servers() -> Iterator[dict[str, ExchangeServer]]:
    clock = HandClock(START + 60 * HOUR)
    with ExitStack() as parts:
        found = {
            "kraken": ExchangeServer("kraken", clock.now, ("AAA/USDT", "BBB/USDT")),
            "binance": ExchangeServer("binance", clock.now, ("CCC/USDT",)),
        }
        for server in found.values():
            parts.callback(server.close)
        yield found


def refetched(servers: dict[str, ExchangeServer], *tickers: str) -> DayOfCandles:
    from services.signals.feeds.exchange import public_client

    return candles_of_day(
        settings("postgresql+psycopg://nowhere/x", feed="ccxt:kraken,binance"),
        DAY,
        tickers,
        clients=lambda name: quick(servers[name].point(public_client(name))),
    )


def test_a_day_is_every_close_from_its_first_moment_to_before_the_next_day(
    servers: dict[str, ExchangeServer],
) -> None:
    servers["kraken"].fault = (faults := [Fault(500)]) and (lambda _asked: faults.pop() if faults else None)
    day = refetched(servers, AAA, CCC, "kraken:GONE/USDT")
    assert day.missing == ("kraken:GONE/USDT",)
    hourly = [each for each in day.batches if each.timeframe == "1h"]
    assert [each.close_time for each in hourly] == [BEGIN + timedelta(hours=hour) for hour in range(24)]
    assert {each.tickers for each in day.batches} == {(CCC, AAA)}
    first = hourly[0].candle(1)
    assert first.values == candle("AAA/USDT", START + 23 * HOUR)
    four = [each.close_time for each in day.batches if each.timeframe == "4h"]
    assert four == [BEGIN + timedelta(hours=hour) for hour in range(0, 24, 4)]


def test_a_recorded_day_is_read_again_from_its_directory(tmp_path: Path) -> None:
    write(tmp_path, "AAA", 80)
    write(tmp_path, "BBB", 80)
    chosen = settings("postgresql+psycopg://nowhere/x", feed=f"replay:{tmp_path}")
    day = candles_of_day(chosen, date(1970, 1, 2), ["AAA", "ZZZ"])
    assert day.missing == ("ZZZ",)
    assert [each.tickers for each in day.batches] == [("AAA",)] * 24
    assert day.batches[0].close_time == datetime(1970, 1, 2, tzinfo=UTC)
