from dataclasses import replace

from services.signals import service
from services.signals.algorithms import ALGORITHMS
from services.signals.lineup import Lineup
from tests.signals import local_market
from tests.signals.closing import events
from tests.signals.test_runner import MakeDatabase

KEY = "signals.algorithms_listed.v1"


def test_the_list_of_algorithms_is_told_when_it_differs_from_the_one_told_last(
    migrated: MakeDatabase,
) -> None:
    database = migrated("signals")
    first = Lineup(ALGORITHMS, None)
    told = []
    for lineup in (first, first, replace(first, timeframes=dict.fromkeys(ALGORITHMS, "4h")), first):
        with database.transaction() as session:
            told.append(service.publish_algorithms(session, lineup))
    assert told == [True, False, True, True]
    lists = events(database, KEY)
    assert [{each["timeframe"] for each in event["algorithms"]} for event in lists] == [
        {None},
        {"4h"},
        {None},
    ]
    assert [each["key"] for each in lists[0]["algorithms"]] == list(ALGORITHMS)


def test_the_lineup_follows_the_settings() -> None:
    url = "postgresql+psycopg://nowhere/x"
    chosen = Lineup.of(local_market.settings(url, algorithm_timeframes='{"reversal_rsi": "15m"}'))
    assert [each.key for each in chosen.on("15m")] == ["reversal_rsi"]
    assert [each.key for each in chosen.on("4h")] == ["simple_trend_ride"]
    assert chosen.on("1d") == ()
    assert chosen.timeframe_of("golden_crossover") == "1h"
    followed = Lineup.of(local_market.settings(url))
    assert [each.key for each in followed.on("1d")] == sorted(ALGORITHMS)
    live = Lineup.of(local_market.settings(url, feed="ccxt:kraken"))
    assert live.timeframe_of("simple_trend_ride") == "4h"
    assert (
        Lineup.of(local_market.settings(url, feed="ccxt:kraken", algorithm_timeframes="feed")).timeframes
        is None
    )
