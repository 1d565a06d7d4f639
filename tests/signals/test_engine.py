"""Signals, views and entry prices of the one engine, whatever the tickers and whoever fails."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from services.signals.algorithms import ALGORITHMS
from services.signals.algorithms.base import Algorithm, Check, Rule, above, all_of, any_of, at_least, below
from services.signals.algorithms.base import Term as Computed
from services.signals.candles import CandleBatch, read_only
from services.signals.engine import Engine, Signal, View
from tests.signals.market import batches, one_ticker, random_walk, recorded, run


class Scripted(Algorithm):
    """Says what the volume spells: 1 entry, 2 exit, 3 both, and exits at twice the entry price."""

    key = "scripted"
    name = "Scripted"
    version = "7"
    timeframe = "1h"

    def entry(self, frame):
        return (frame.volume == 1) | (frame.volume == 3)

    def exit(self, frame):
        asked = (frame.volume == 2) | (frame.volume == 3)
        return asked | (frame.close >= 2 * frame.entry_price)


class Raising(Scripted):
    key = "raising"

    def exit(self, frame):
        if (frame.close > 15).any():
            raise ZeroDivisionError("on purpose")
        return super().exit(frame)


@dataclass(frozen=True)
class Explained(Algorithm):
    """Buys below a price and sells at a multiple of the entry price or above it anyway."""

    key = "explained"
    name = "Explained"
    version = "2"
    timeframe = "1h"
    price: float = 10.0

    def entry(self, frame):
        return all_of(below(frame, "close", self.price), below(frame, "volume", 5.0))

    def exit(self, frame):
        target = Computed("2 x entry price", 2 * frame.entry_price)
        return any_of(at_least(frame, "close", target), at_least(frame, "close", 100.0))


def play(script, closes=None, algorithms=None):
    """The results of one ticker whose volumes are the script."""
    closes = np.array(closes if closes is not None else [10.0] * len(script))[:, np.newaxis]
    volumes = np.array(script, dtype=np.float64)[:, np.newaxis]
    return run(batches(closes, volumes=volumes), algorithms or [Scripted()])


def words(results, which, key="scripted"):
    return [str(Signal.of(int(getattr(result, which)[key][0]))) for result in results]


def test_entry_gives_buy_exit_gives_sell_entry_wins_and_else_hold():
    assert words(play([0, 1, 2, 3]), "signals") == ["HOLD", "BUY", "SELL", "BUY"]


def test_view_is_the_last_signal_that_was_not_hold():
    assert words(play([0, 1, 0, 1, 2, 0, 2, 1]), "views") == [
        *("HOLD", "BUY", "BUY", "BUY", "SELL", "SELL", "SELL", "BUY")
    ]


def test_a_change_is_told_once_each_time_the_view_turns():
    results = play([0, 1, 1, 0, 2, 2, 1])
    turns = [[(change.from_view, change.to_view) for change in result.changes] for result in results]
    assert turns == [
        *([], [(View.HOLD, View.BUY)], [], [], [(View.BUY, View.SELL)], [], [(View.SELL, View.BUY)])
    ]


def test_first_change_may_be_to_sell():
    (change,) = play([2])[0].changes
    assert (change.from_view, change.to_view) == (View.HOLD, View.SELL)


def test_entry_price_is_the_close_that_turned_the_view_and_later_entries_leave_it():
    closes = [10.0, 15.0, 19.0, 20.0]
    assert words(play([1, 1, 0, 0], closes), "signals") == ["BUY", "BUY", "HOLD", "SELL"]


def test_sell_ends_the_entry_price_and_the_next_buy_sets_another():
    closes = [10.0, 10.0, 30.0, 30.0, 40.0, 60.0]
    assert words(play([1, 2, 0, 1, 0, 0], closes), "signals") == [
        "BUY",
        "SELL",
        "HOLD",
        "BUY",
        "HOLD",
        "SELL",
    ]


def test_condition_on_an_entry_price_is_false_without_one():
    assert words(play([0, 0], [10.0, 1e9]), "signals") == ["HOLD", "HOLD"]


def test_entry_wins_over_an_exit_while_the_view_is_buy():
    assert words(play([1, 1], [10.0, 20.0]), "views") == ["BUY", "BUY"]


def test_change_names_algorithm_version_ticker_close_and_why():
    results = play([1, 9], [8.0, 16.0], [Explained()])
    (bought,), (sold,) = results[0].changes, results[1].changes
    assert bought[:6] == ("explained", "2", "T0", View.HOLD, View.BUY, 8.0)
    assert [tuple(each) for each in bought.why] == [
        ("entry", "close < 10", 8.0, "<", 10.0, True),
        ("entry", "volume < 5", 1.0, "<", 5.0, True),
    ]
    assert [tuple(each) for each in sold.why] == [
        ("exit", "close >= 2 x entry price", 16.0, ">=", 16.0, True),
        ("exit", "close >= 100", 16.0, ">=", 100.0, False),
    ]


def test_why_stays_what_it_was_when_the_engine_has_gone_on():
    (sold,) = play([9, 9, 9], [8.0, 100.0, 300.0], [Explained(price=0.0)])[1].changes
    assert [(each.value, each.threshold, each.holds) for each in sold.why] == [
        (100.0, None, False),
        (100.0, 100.0, True),
    ]


def test_changes_follow_the_algorithms_then_the_batch():
    closes = np.full((1, 3), 8.0)
    volumes = np.array([[1.0, 0.0, 2.0]])
    result = run(batches(closes, volumes=volumes), [Scripted(), Explained()])[0]
    assert [(change.algorithm, change.ticker) for change in result.changes] == [
        *(
            ("scripted", "T0"),
            ("scripted", "T2"),
            ("explained", "T0"),
            ("explained", "T1"),
            ("explained", "T2"),
        )
    ]


def test_published_change_is_explained_by_conditions_that_hold():
    closes = random_walk(600, 20, seed=11)
    changes = [change for result in run(batches(closes), ALGORITHMS.values()) for change in result.changes]
    assert {change.algorithm for change in changes} >= {"reversal_rsi", "golden_crossover"}
    for change in changes:
        sides = {condition.side for condition in change.why}
        assert sides == ({"entry"} if change.to_view is View.BUY else {"exit"})
        holding = [condition.holds for condition in change.why]
        any_is_enough = change.to_view is View.SELL and change.algorithm in (
            "simple_trend_ride",
            "pump_and_dump",
        )
        assert any(holding) if any_is_enough else all(holding)
        for condition in change.why:
            assert all(number is None or math.isfinite(number) for number in condition[2:5:2])


def test_algorithm_that_raises_is_set_aside_for_that_step_and_harms_no_other():
    results = play([1, 2, 2], [10.0, 20.0, 10.0], [Raising(), Scripted()])
    assert [[failure.algorithm for failure in result.failures] for result in results] == [[], ["raising"], []]
    assert isinstance(results[1].failures[0].error, ZeroDivisionError)
    assert words(results, "signals", "raising") == ["BUY", "HOLD", "SELL"]
    assert words(results, "views", "raising") == ["BUY", "BUY", "SELL"]
    assert words(results, "views") == ["BUY", "SELL", "SELL"]


def test_algorithm_that_exits_is_set_aside():
    class Leaving(Scripted):
        key = "leaving"

        def entry(self, frame):
            raise SystemExit(3)

    [result] = play([1], algorithms=[Leaving(), Scripted()])
    assert [failure.algorithm for failure in result.failures] == ["leaving"]
    assert words([result], "signals") == ["BUY"]


@pytest.mark.parametrize(
    "stated",
    [
        lambda frame: all_of(below(frame, "close", Computed("a price", np.array([20.0])))),
        lambda frame: all_of(above(frame, Computed("a price", 20.0), "close")),
        lambda frame: all_of(below(frame, "close", Computed("a \x00 price", 2 * frame.close))),
        lambda frame: Rule(frame.close < 20, (Check("low", frame.close, "<", None, frame.close < 20),)),
        lambda frame: Rule(frame.close < 20, (Check("low", frame.close, "<", 20.0, True),)),
        lambda frame: Rule([True, True], ()),
    ],
)
def test_algorithm_whose_conditions_could_not_be_told_is_set_aside(stated):
    class Untold(Scripted):
        key = "untold"

        def entry(self, frame):
            return stated(frame)

    [result] = run(batches(np.array([[10.0, 10.0]]), volumes=np.ones((1, 2))), [Untold(), Scripted()])
    assert [failure.algorithm for failure in result.failures] == ["untold"]
    assert [change.algorithm for change in result.changes] == ["scripted", "scripted"]


def test_while_one_of_its_indicators_warms_up_an_algorithm_says_hold():
    class Early(Scripted):
        key = "early"
        indicators = ("sma3", "rsi4")

        def entry(self, frame):
            return frame.volume == 1

    script = [1, 2, 1, 2, 1, 2]
    results = play(script, algorithms=[Early(), Scripted()])
    assert words(results, "signals", "early") == ["HOLD"] * 4 + ["BUY", "SELL"]
    assert words(results, "signals") == ["BUY", "SELL"] * 3
    present = np.array([[True, number > 2] for number in range(8)])
    both = run(batches(np.full((8, 2), 10.0), volumes=np.ones((8, 2)), present=present), [Early()])
    said = [dict(zip(each.batch.tickers, each.signals["early"].tolist(), strict=True)) for each in both]
    assert [each["T0"] for each in said] == [0] * 4 + [1] * 4
    assert [each["T1"] for each in said[3:]] == [0] * 4 + [1]


def test_algorithm_that_writes_into_the_market_is_set_aside():
    class Writing(Scripted):
        key = "writing"

        def entry(self, frame):
            frame.close[:] = 0
            return frame.close > 0

    result = play([1], None, [Writing(), Scripted()])[0]
    assert [failure.algorithm for failure in result.failures] == ["writing"]
    assert result.batch.close.tolist() == [10.0]
    assert words([result], "signals") == ["BUY"]


def test_algorithm_sees_only_what_it_declares_whoever_runs_beside_it():
    class Peeking(Scripted):
        key = "peeking"

        def entry(self, frame):
            return frame.rsi14 > 0

    result = play([1], None, [ALGORITHMS["reversal_rsi"], Peeking()])[0]
    assert [failure.algorithm for failure in result.failures] == ["peeking"]


def test_warm_up_gives_no_signal():
    values = recorded()[0].values[:14]
    for result in run(one_ticker(values), ALGORITHMS.values()):
        assert not any(signals.any() for signals in result.signals.values())


def test_indicators_asked_for_beside_the_algorithms_are_in_the_result():
    result = run(batches(random_walk(1, 1, seed=1)), [ALGORITHMS["reversal_rsi"]], ["ema50"])[0]
    assert set(result.indicators) == {"rsi14", "sma100", "ema50"}


def test_missing_ticker_stands_still_and_its_previous_candle_is_the_last_there_was():
    seen = []

    class Watching(Scripted):
        def entry(self, frame):
            seen.append(frame.previous.close.tolist())
            return frame.volume == 1

    closes = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    present = np.array([[True, True], [False, True], [True, True]])
    run(batches(closes, present=present), [Watching()])
    assert str(seen) == "[[nan, nan], [10.0], [1.0, 20.0]]"


@pytest.mark.parametrize("lent", ["arrays", "read-only views"])
def test_caller_may_write_the_next_candles_into_the_same_arrays(lent):
    seen = []

    class Watching(Scripted):
        def entry(self, frame):
            seen.append(frame.previous.close.tolist())
            return frame.volume == 1

    engine, arrays = Engine("1h", [Watching()], ["rsi14"]), [np.ones(2) for _ in range(5)]
    given = arrays if lent == "arrays" else [read_only(array[:]) for array in arrays]
    for number, batch in enumerate(batches(np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))):
        for array, column in zip(arrays, batch.columns, strict=True):
            array[:] = column
        result = engine.step(CandleBatch("1h", batch.close_time, batch.tickers, *given))
        with pytest.raises(ValueError, match="read-only"):
            result.indicators["rsi14"][0] = number
    assert str(seen) == "[[nan, nan], [1.0, 10.0], [2.0, 20.0]]"


def test_results_stay_what_they_were_when_the_engine_has_gone_on():
    stream = list(batches(random_walk(60, 4, seed=3)))
    engine = Engine("1h", ALGORITHMS.values())
    for batch in stream[:40]:
        result = engine.step(batch)
    kept = [array.copy() for array in (*result.views.values(), *result.indicators.values())]
    for batch in stream[40:]:
        engine.step(batch.take(np.array([0, 2])))
    now = (*result.views.values(), *result.indicators.values())
    assert all(before.tobytes() == after.tobytes() for before, after in zip(kept, now, strict=True))


def test_why_a_view_changed_stays_what_it_was_when_the_engine_has_gone_on():
    class Followed(Scripted):
        def entry(self, frame):
            return all_of(below(frame, "close", Computed("close before", frame.previous.close)))

        def exit(self, frame):
            return all_of(at_least(frame, "close", Computed("entry price", frame.entry_price)))

    stream = list(batches(random_walk(60, 4, seed=3)))
    algorithms = [Followed(), *ALGORITHMS.values()]
    engine = Engine("1h", algorithms)
    asked_at_once = [engine.step(batch).changes for batch in stream]
    asked_later = [result.changes for result in run(stream, algorithms)]
    assert asked_later == asked_at_once
    assert len({change.algorithm for changes in asked_later for change in changes}) > 3


def test_engine_knows_its_tickers_in_the_order_in_which_they_came():
    present = np.array([[False, True], [True, True]])
    engine = Engine("1h", [])
    for batch in batches(np.ones((2, 2)), present=present):
        engine.step(batch)
    assert engine.tickers == ("T1", "T0")


def test_views_that_people_were_told_go_on_after_a_restart():
    engine = Engine("1h", [Scripted()])
    stream = list(batches(np.array([[10.0, 10.0], [10.0, 19.9], [10.0, 20.0]]), volumes=np.zeros((3, 2))))
    engine.step(stream[0])
    engine.resume_views("scripted", {"T1": (View.BUY, 10.0), "gone": (View.SELL, 1.0)})
    engine.resume_views("not_run_here", {"T1": (View.SELL, 1.0)})
    assert engine.step(stream[1]).views["scripted"].tolist() == [0, 1]
    assert [change.to_view for change in engine.step(stream[2]).changes] == [View.SELL]


def test_empty_batch_changes_nothing():
    empty = CandleBatch("1h", next(batches(np.ones((1, 1)))).close_time, (), *(np.zeros(0) for _ in range(5)))
    result = Engine("1h", ALGORITHMS.values()).step(empty)
    assert result.changes == []
    assert all(signals.size == 0 for signals in result.signals.values())


def test_wrong_use_is_an_error():
    with pytest.raises(ValueError, match="unknown timeframe"):
        Engine("2h", [])
    with pytest.raises(ValueError, match="stands twice in scripted, scripted"):
        Engine("1h", [Scripted(), Scripted()])
    batch = next(batches(np.ones((1, 1))))
    with pytest.raises(ValueError, match="a batch of 1h in an engine of 4h"):
        Engine("4h", []).step(batch)
    with pytest.raises(ValueError, match="a ticker stands twice in the batch"):
        Engine("1h", []).step(batch.take(np.array([0, 0])))
