"""Stop losses attached to algorithms."""

import re
from fractions import Fraction

import numpy as np
import pytest

from services.signals.algorithms import ALGORITHMS
from services.signals.algorithms.base import Algorithm
from services.signals.algorithms.overlays import UnknownOverlay, overlaid, overlaid_by_key
from services.signals.engine import Engine, Signal, View
from tests.signals import reference
from tests.signals.market import batches, markets, one_ticker, run, side_by_side, told

OVERLAYS = {
    "stop_loss_5": (reference.stop_loss, 0.05),
    "trailing_stop_loss_7.5": (reference.trailing_stop_loss, 0.075),
}
PAIRS = {f"{key}+{suffix}": overlaid(each, suffix) for key, each in ALGORITHMS.items() for suffix in OVERLAYS}
MARKETS = {ticker: values[:1500] for ticker, values in markets().items()}


class Scripted(Algorithm):
    """Says what the volume spells: 1 entry, 2 exit."""

    key = "scripted"
    name = "Scripted"
    version = "7"
    timeframe = "1h"

    def entry(self, frame):
        return frame.volume == 1

    def exit(self, frame):
        return frame.volume == 2


def play(suffix, closes, script=None):
    """The results of the scripted algorithm with an overlay; it gives entries all along unless told."""
    volumes = np.array(script if script is not None else [1.0] * len(closes))[:, np.newaxis]
    stream = batches(np.array(closes)[:, np.newaxis], volumes=volumes)
    return run(stream, [Scripted(), overlaid(Scripted(), suffix)])


def words(results, key, which="signals"):
    return [str(Signal.of(int(getattr(result, which)[key][0]))) for result in results]


def test_pairs_say_what_the_slow_reference_says():
    results = run(side_by_side(MARKETS), PAIRS.values())
    ours = {pair: told(results, pair) for pair in PAIRS}
    for ticker, values in MARKETS.items():
        candles = reference.Candles(values)
        for pair in PAIRS:
            key, suffix = pair.split("+")
            rule, p = OVERLAYS[suffix]
            assert ours[pair][ticker] == reference.follow(reference.RULES[key], candles, rule, p), pair


def test_the_markets_make_every_overlay_stop_every_algorithm():
    for pair in PAIRS:
        key, suffix = pair.split("+")
        rule, p = OVERLAYS[suffix]
        alone, stopped = (
            [
                reference.follow(reference.RULES[key], reference.Candles(MARKETS[ticker]), *overlay)
                for ticker in ("AAPL-0", "generated")
            ]
            for overlay in ((), (rule, p))
        )
        assert alone != stopped, pair


def test_stop_loss_ends_the_view_at_p_below_the_entry_though_entries_go_on():
    results = play("stop_loss_5", [100.0, 120.0, 95.1, 95.0, 90.0, 86.0, 85.5])
    assert words(results, "scripted+stop_loss_5") == ["BUY", "BUY", "BUY", "SELL", "BUY", "BUY", "SELL"]
    assert words(results, "scripted", "views") == ["BUY"] * 7


def test_trailing_stop_loss_ends_the_view_at_p_below_the_highest_close_since_entry():
    results = play("trailing_stop_loss_10", [300.0, 100.0, 200.0, 181.0, 180.0, 100.0, 90.0])
    assert words(results, "scripted+trailing_stop_loss_10") == [
        *("BUY", "SELL", "BUY", "BUY", "SELL", "BUY", "SELL")
    ]


def test_without_an_entry_an_overlay_says_nothing():
    for suffix in ("stop_loss_5", "trailing_stop_loss_5"):
        results = play(suffix, [100.0, 50.0, 25.0, 10.0], [0.0, 2.0, 0.0, 0.0])
        assert words(results, f"scripted+{suffix}") == ["HOLD", "SELL", "HOLD", "HOLD"]


def test_the_algorithms_own_exit_counts_beside_the_overlay():
    results = play("stop_loss_50", [100.0, 99.0], [1.0, 2.0])
    assert words(results, "scripted+stop_loss_50") == ["BUY", "SELL"]


def test_overlay_explains_the_change_it_made_and_no_other():
    pair = overlaid(ALGORITHMS["dollar_cost_averaging"], "trailing_stop_loss_7.5")
    changes = [
        change for result in run(one_ticker(MARKETS["generated"][:600]), [pair]) for change in result.changes
    ]
    bought = next(change for change in changes if change.to_view is View.BUY)
    assert [condition.text for condition in bought.why] == ["RSI14 < 50", "close < SMA50"]
    sold = next(change for change in changes if change.to_view is View.SELL)
    assert [(condition.side, condition.text, condition.holds) for condition in sold.why] == [
        ("exit", "close >= 2 x entry price", False),
        ("exit", "close <= 0.925 x highest close since entry", True),
    ]
    assert sold.why[1].value == sold.close
    assert (sold.algorithm, sold.algorithm_version) == (pair.key, "1+1")


def test_highest_close_is_followed_while_the_algorithm_is_set_aside():
    class Raising(Scripted):
        def exit(self, frame):
            if (frame.close == 200.0).any():
                raise ZeroDivisionError("on purpose")
            return super().exit(frame)

    stream = batches(np.array([[100.0], [200.0], [179.0]]), volumes=np.array([[1.0], [0.0], [0.0]]))
    results = run(stream, [overlaid(Raising(), "trailing_stop_loss_10")])
    assert [len(result.failures) for result in results] == [0, 1, 0]
    assert words(results, "scripted+trailing_stop_loss_10") == ["BUY", "HOLD", "SELL"]


def test_highest_close_is_seen_by_those_that_follow_it_only():
    class Peeking(Scripted):
        key = "peeking"

        def entry(self, frame):
            return frame.highest_close > 0

    seen = []

    class Following(Scripted):
        key = "following"
        follows_highest_close = True

        def entry(self, frame):
            seen.append(frame.highest_close.tolist())
            return super().entry(frame)

    stream = batches(np.array([[10.0], [8.0], [12.0], [11.0]]), volumes=np.array([[1.0], [0], [2], [0]]))
    results = run(stream, [Peeking(), Following()])
    assert [failure.algorithm for result in results for failure in result.failures] == ["peeking"] * 4
    assert str(seen) == "[[nan], [10.0], [12.0], [nan]]"


def test_views_that_people_were_told_keep_the_highest_close_of_the_same_entry():
    pair = overlaid(Scripted(), "trailing_stop_loss_10")
    closes = np.array([[100.0, 100.0], [200.0, 150.0], [181.0, 136.0], [179.0, 134.0]])
    stream = list(batches(closes, volumes=np.array([[1.0, 0.0], [0, 0], [0, 0], [0, 0]])))
    engine = Engine("1h", [pair])
    engine.step(stream[0])
    engine.step(stream[1])
    engine.resume_views(pair.key, {"T0": (View.BUY, 100.0), "T1": (View.BUY, 140.0)})
    assert engine.step(stream[2]).signals[pair.key].tolist() == [0, 0]
    assert engine.step(stream[3]).signals[pair.key].tolist() == [-1, -1]


def test_views_that_people_were_told_follow_the_highest_close_of_a_ticker_without_a_candle():
    pair = overlaid(Scripted(), "trailing_stop_loss_10")
    stream = list(batches(np.array([[110.0, 110.0], [98.0, 98.0]]), volumes=np.zeros((2, 2))))
    engine = Engine("1h", [pair])
    engine.resume_views(pair.key, {"T0": (View.BUY, 100.0), "T1": (View.SELL, 120.0)})
    assert engine.step(stream[0]).views[pair.key].tolist() == [1, -1]
    assert engine.step(stream[1]).signals[pair.key].tolist() == [-1, 0]


def test_pair_has_a_key_name_version_and_numbers_of_its_own():
    pair = overlaid_by_key("simple_trend_ride+trailing_stop_loss_0.07", ALGORITHMS)
    base = ALGORITHMS["simple_trend_ride"]
    assert pair.key == "simple_trend_ride+trailing_stop_loss_0.07"
    assert pair.name == "Ride the Trend, Trailing Stop Loss 0.07 %"
    assert (pair.timeframe, pair.indicators, pair.version) == ("4h", base.indicators, "1+1")
    assert pair.parameters == {**base.parameters, "trailing_stop_loss": 0.0007}


@pytest.mark.parametrize("percent", ["1", "5", "10", "99", "0.5", "0.01", "7.5", "99.99", "10.05"])
def test_every_percentage_above_0_and_below_100_is_taken(percent):
    assert overlaid(Scripted(), f"stop_loss_{percent}").overlay.p == float(Fraction(percent) / 100)


@pytest.mark.parametrize(
    "percent",
    [
        *("", "0", "0.0", "0.00", "100", "5.0", "5.10", "05", "-5", "+5", "1e1", "5.", ".5", "5.123"),
        *("nan", "inf", "5 ", "5%", "\N{ARABIC-INDIC DIGIT FIVE}"),
    ],
)
def test_percentage_written_otherwise_is_an_error(percent):
    with pytest.raises(UnknownOverlay, match=re.escape(f"{percent!r} in 'stop_loss_{percent}' is no perc")):
        overlaid(Scripted(), f"stop_loss_{percent}")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("golden_crossover", "'golden_crossover' names no overlay: write it as algorithm[+]stop_loss_5"),
        ("gold+stop_loss_5", "'gold[+]stop_loss_5' names no algorithm of ours; there are buy_the_dip, "),
        ("golden_crossover+stop_los_5", "'stop_los_5' is no overlay; there are stop_loss_P and trailing"),
        ("golden_crossover+5", "'5' is no overlay"),
        ("golden_crossover+", "'' is no overlay"),
        ("golden_crossover+stop_loss_5+stop_loss_6", "'5[+]stop_loss_6' is no overlay|'stop_loss_5"),
        ("golden_crossover+stop_loss_5", "has an overlay already"),
    ],
)
def test_malformed_key_is_an_error_that_says_why(key, reason):
    among = {**ALGORITHMS, "golden_crossover": overlaid(ALGORITHMS["golden_crossover"], "stop_loss_9")}
    with pytest.raises(UnknownOverlay, match=reason):
        overlaid_by_key(key, among if "already" in reason else ALGORITHMS)
