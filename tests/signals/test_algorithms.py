"""The published rules, and the comparisons they are made of."""

import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.signals.algorithms import ALGORITHMS
from services.signals.algorithms.base import (
    Condition,
    Frame,
    Rule,
    Term,
    above,
    all_of,
    any_of,
    at_least,
    at_most,
    below,
    crosses_above,
    crosses_below,
)
from services.signals.algorithms.comparisons import greater, greater_or_equal, less, less_or_equal
from services.signals.indicators import IndicatorSet
from tests.signals.market import markets, run, side_by_side, told
from tests.signals.reference import ge, gt, le, lt, signals_and_views

PUBLISHED = {
    "golden_crossover": ("Moving Average Crossover", "1h"),
    "buy_the_dip": ("Catching the Bottom", "1h"),
    "reversal_rsi": ("Maximized RSI", "1h"),
    "simple_trend_ride": ("Ride the Trend", "4h"),
    "dollar_cost_averaging": ("Dollar Cost Averaging", "1h"),
    "pump_and_dump": ("Pump and Dump", "1h"),
}


def test_registry_holds_the_published_algorithms_under_their_keys():
    assert {key: (each.name, each.timeframe) for key, each in ALGORITHMS.items()} == PUBLISHED
    assert all(key == each.key for key, each in ALGORITHMS.items())


def test_every_algorithm_states_its_numbers_and_known_indicators():
    assert ALGORITHMS["simple_trend_ride"].parameters == {
        "entry_rsi": 70.0,
        "exit_multiple": 1.06,
        "exit_rsi": 55.0,
    }
    assert ALGORITHMS["golden_crossover"].parameters == {"entry_rsi": 55.0}
    for algorithm in ALGORITHMS.values():
        assert IndicatorSet(algorithm.indicators).names == tuple(sorted(algorithm.indicators))


@cache
def reference_of(ticker):
    return signals_and_views(markets()[ticker])


@cache
def told_by(key):
    return told(results_on_markets(), key)


@cache
def results_on_markets():
    return run(side_by_side(markets()), ALGORITHMS.values())


@pytest.mark.parametrize("ticker", markets())
def test_all_say_what_the_slow_reference_says(ticker):
    for key, expected in reference_of(ticker).items():
        assert told_by(key)[ticker] == expected, key


def test_the_markets_make_every_algorithm_buy_and_sell():
    for key in ALGORITHMS:
        views = {view for ticker in markets() for _, view in reference_of(ticker)[key]}
        assert views == {"HOLD", "BUY", "SELL"}


def frame_of(previous=None, entry_price=math.nan, **columns):
    arrays = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    size = len(next(iter(arrays.values())))
    before = {name: np.array(values, dtype=np.float64) for name, values in (previous or {}).items()}
    return Frame(arrays, before, np.full(size, entry_price), frozenset(arrays))


A_LITTLE = 100.0 * (1 + 0.5e-12)
MORE = 100.0 * (1 + 3e-12)


@pytest.mark.parametrize(
    ("a", "b", "is_greater", "is_equal"),
    [
        (MORE, 100.0, True, False),
        (A_LITTLE, 100.0, False, True),
        (100.0, 100.0, False, True),
        (100.0, A_LITTLE, False, True),
        (100.0, MORE, False, False),
        (0.0, 0.0, False, True),
        (5e-324, 0.0, True, False),
        (-100.0, -A_LITTLE, False, True),
        (-100.0, -MORE, True, False),
        (1.0, -1.0, True, False),
        (math.nan, 1.0, False, False),
        (1.0, math.nan, False, False),
        (math.nan, math.nan, False, False),
    ],
)
def test_difference_within_the_tolerance_is_equality(a, b, is_greater, is_equal):
    known = not (math.isnan(a) or math.isnan(b))
    left = np.array([a])
    for right in (b, np.array([b])):
        assert greater(left, right)[0] == is_greater
        assert greater_or_equal(left, right)[0] == (is_greater or is_equal)
        assert less(left, right)[0] == (known and not is_greater and not is_equal)
        assert less_or_equal(left, right)[0] == (known and not is_greater)


sides = st.one_of(
    st.floats(-1e300, 1e300, allow_nan=False),
    st.builds(lambda units: 100.0 * (1 + units * 1e-13), st.integers(-30, 30)),
)


@given(pairs=st.lists(st.tuples(sides, sides), min_size=1, max_size=20))
def test_comparisons_are_those_of_the_definition(pairs):
    a, b = (np.array(column) for column in zip(*pairs, strict=True))
    for ours, definition in ((greater, gt), (greater_or_equal, ge), (less, lt), (less_or_equal, le)):
        assert ours(a, b).tolist() == [definition(x, y) for x, y in pairs]
        assert ours(a, float(b[0])).tolist() == [definition(x, float(b[0])) for x in a.tolist()]


def test_boundary_of_the_tolerance_is_where_exact_arithmetic_puts_it():
    for step in range(40):
        a = 100.0 + step * 2**-45
        exact = Fraction(a) - 100 > Fraction(1e-12) * Fraction(a)
        assert greater(np.array([a]), 100.0)[0] == exact


@pytest.mark.parametrize(
    ("before", "now", "above_", "below_"),
    [
        ((1.0, 2.0), (3.0, 2.0), True, False),
        ((2.0, 2.0), (3.0, 2.0), True, False),
        ((2.0 * (1 + 5e-13), 2.0), (3.0, 2.0), True, False),
        ((2.5, 2.0), (3.0, 2.0), False, False),
        ((1.0, 2.0), (2.0, 2.0), False, False),
        ((1.0, 2.0), (2.0 * (1 + 5e-13), 2.0), False, False),
        ((3.0, 2.0), (1.0, 2.0), False, True),
        ((2.0, 2.0), (1.0, 2.0), False, True),
        ((3.0, 2.0), (2.0, 2.0), False, False),
        ((math.nan, 2.0), (3.0, 2.0), False, False),
        ((math.nan, 2.0), (1.0, 2.0), False, False),
        ((1.0, math.nan), (3.0, 2.0), False, False),
    ],
)
def test_a_cross_needs_the_other_side_or_equality_before_and_a_clear_side_now(before, now, above_, below_):
    frame = frame_of({"sma9": [before[0]], "sma50": [before[1]]}, sma9=[now[0]], sma50=[now[1]])
    assert crosses_above(frame, "sma9", "sma50").holds.tolist() == [above_]
    assert crosses_below(frame, "sma9", "sma50").holds.tolist() == [below_]


def test_rules_join_conditions_and_other_rules():
    frame = frame_of(rsi14=[10.0, 50.0, 90.0], close=[1.0, 1.0, 9.0])
    low, high = below(frame, "rsi14", 20.0), above(frame, "rsi14", 80.0)
    assert any_of(low, high).holds.tolist() == [True, False, True]
    assert all_of(any_of(low, high), at_most(frame, "close", 5.0)).holds.tolist() == [True, False, False]
    assert len(all_of(any_of(low, high), low).checks) == 3


def test_why_gives_text_value_operator_threshold_and_outcome():
    frame = frame_of({"volume": [2.0, math.nan]}, rsi14=[71.5, 30.0], close=[8.0, 9.0], sma9=[7.0, math.nan])
    rule = any_of(
        above(frame, "rsi14", 70.0),
        at_least(frame, "close", "sma9"),
        below(frame, Term("volume one candle ago", frame_of(volume=[2.0, math.nan]).volume), 1.5),
    )
    first, second = rule.why("exit", np.array([0, 1])).conditions()
    assert first == (
        Condition("exit", "RSI14 > 70", 71.5, ">", 70.0, True),
        Condition("exit", "close >= SMA9", 8.0, ">=", 7.0, True),
        Condition("exit", "volume one candle ago < 1.5", 2.0, "<", 1.5, False),
    )
    assert second == (
        Condition("exit", "RSI14 > 70", 30.0, ">", 70.0, False),
        Condition("exit", "close >= SMA9", 9.0, ">=", None, False),
        Condition("exit", "volume one candle ago < 1.5", None, "<", 1.5, False),
    )


def test_whole_numbers_are_thresholds_too():
    check = below(frame_of(rsi14=[34.0, 36.0]), "rsi14", 35)
    assert (check.text, check.threshold, check.holds.tolist()) == ("RSI14 < 35", 35.0, [True, False])


def test_bare_array_is_a_rule_without_conditions():
    rule = Rule.of(np.array([True, False]), 2)
    assert rule.why("entry", np.array([0])).conditions() == [()]


@pytest.mark.parametrize("stated", [None, np.array([True]), np.array([1.0, 2.0]), [[True, False]], True])
def test_rule_that_is_not_one_boolean_per_ticker_is_an_error(stated):
    with pytest.raises(TypeError, match="each of 2 tickers"):
        Rule.of(stated, 2)


def test_frame_gives_declared_columns_only():
    frame = Frame({"close": np.ones(1), "sma9": np.ones(1)}, {}, np.ones(1), frozenset({"close"}))
    assert frame.close.tolist() == [1.0]
    with pytest.raises(AttributeError, match="'sma9' is not a column of the candle or a declared indicator"):
        frame.sma9  # noqa: B018 - asking is what fails
