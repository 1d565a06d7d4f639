"""Indicators against TA-Lib, against published values, and where TA-Lib itself is not the reference.

TA-Lib is not the reference where its running sums keep something of values that have left the window:
after a price of 1e12, and where volumes or %K fall to 0. `DRIFTS` lists those; `math.fsum` over each window
is the reference there. And TA-Lib prints an RSI of 0 where nothing moved (`rsi14` of `flat`): 50 by
definition, `test_rsi_is_50_where_nothing_moved`.
"""

import csv
from functools import cache

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from services.signals.algorithms.base import Algorithm, above, all_of
from services.signals.engine import Engine
from services.signals.indicators import IndicatorSet, Name
from tests.signals.agreement import (
    NAMES,
    TOLERANCE,
    by_fsum,
    by_talib,
    deviation,
    indicators_of,
    means,
)
from tests.signals.market import (
    DATA,
    batches,
    candles,
    demo,
    in_parts,
    indicator,
    one_ticker,
    random_walk,
    recorded,
)

FURTHER = (
    *("sma1", "ema1", "sma200", "rsi2", "volume_sma5", "atr2", "macd3_10_16", "macd_histogram3_10_1"),
    *("bollinger_upper5_0_5", "bollinger_lower50_2_25", "stochastic_k5_1", "stochastic_d9_2_4"),
)


def with_spike(values, at, price):
    spiked = values.copy()
    spiked[at, 3] = spiked[at, 1] = price
    return spiked


def scaled(values, factor):
    return values * np.array([factor, factor, factor, factor, 1.0])


GENERATED = {
    "walk": candles(700, 1),
    "tiny": scaled(candles(700, 2), 1e-10),
    "huge": scaled(candles(700, 3), 1e10),
    "flat": np.tile([0.1, 0.1, 0.1, 0.1, 7.0], (300, 1)),
    "standstill": np.concatenate([candles(150, 4), np.tile([80.0, 80.0, 80.0, 80.0, 0.0], (200, 1))]),
    "spike": with_spike(candles(400, 5), 150, 1e12),
    "spike of 5000": with_spike(candles(400, 6), 150, 5e5),
    "calm": scaled(1 + candles(500, 7) * 1e-8, 1.0),
}

STOCHASTIC = {"stochastic_k14_3", "stochastic_d14_3_3"}
DRIFTS = {
    "BTC-USD-1": {"stochastic_k14_3"},
    "standstill": {"volume_sma20"} | STOCHASTIC,
    "spike": {
        *("sma9", "sma100", "bollinger_upper20_2", "bollinger_middle20_2", "bollinger_lower20_2"),
        *STOCHASTIC,
    },
}
"""Where TA-Lib is off by more than 1e-9 from what `math.fsum` gives, by ticker."""


@cache
def series():
    """Every bundled and generated series by ticker."""
    bundled = (part for each in (*recorded(), *demo()) for part in in_parts(each).items())
    return {**dict(bundled), **GENERATED}


@cache
def ours():
    return indicators_of(series(), NAMES)


def agrees(ticker, name, values):
    """That an indicator is TA-Lib's, or where that drifts the one of exact sums."""
    reference, tolerance = by_talib(name, series()[ticker]), TOLERANCE
    if name in DRIFTS.get(ticker, ()):
        exact = by_fsum(name, series()[ticker])
        assert deviation(reference, exact) > TOLERANCE, f"TA-Lib no longer drifts in {name} of {ticker}"
        reference, tolerance = exact, TOLERANCE / 10
    assert deviation(values, reference) <= tolerance, name


def assert_agree(ours, reference, tolerance=1e-9):
    assert deviation(ours, reference) <= tolerance


@pytest.mark.parametrize("ticker", series())
def test_all_agree_with_talib_on_every_candle(ticker):
    for name, values in ours()[ticker].items():
        if (ticker, name) != ("flat", "rsi14"):
            agrees(ticker, name, values)


def test_any_periods_agree_with_talib():
    few = {ticker: series()[ticker] for ticker in ("FB-0", "walk", "huge", "calm")}
    for ticker, found in indicators_of(few, FURTHER).items():
        for name, values in found.items():
            agrees(ticker, name, values)


def test_sma_is_exact_while_the_price_collapses():
    closes = (1e12 * 0.5 ** np.arange(130.0))[:, np.newaxis]
    ours = indicator(batches(closes), "sma9")[:, 0]
    assert_agree(ours, means(closes[:, 0], 9), tolerance=1e-10)


def test_sma_forgets_all_rounding_within_64_candles():
    closes = random_walk(400, 1, seed=3)
    closes[100] *= 5000  # a sum that falls back by less than the factor that is mended at once
    ours = indicator(batches(closes), "sma9")[192:, 0]
    assert_agree(ours, means(closes[:, 0], 9)[192:], tolerance=2e-15)


def test_rsi_is_50_where_nothing_moved():
    closes = np.full((40, 1), 7.0)
    ours = indicator(batches(closes), "rsi14")[:, 0]
    assert np.isnan(ours[:14]).all()
    assert (ours[14:] == 50.0).all()
    assert (talib.RSI(closes[:, 0].copy(), 14)[14:] == 0.0).all(), "the one documented difference is gone"


def test_rsi_is_100_without_losses_and_0_without_gains():
    rising = np.arange(1.0, 41.0)[:, np.newaxis]
    assert (indicator(batches(rising), "rsi14")[14:] == 100.0).all()
    assert (indicator(batches(rising[::-1].copy()), "rsi14")[14:] == 0.0).all()


def test_rsi_keeps_its_value_through_a_standstill():
    closes = np.concatenate([random_walk(60, 1, seed=9), np.full((600, 1), 80.0)])
    ours = indicator(batches(closes), "rsi14")[:, 0]
    assert np.allclose(ours[61:], ours[60], rtol=1e-9)


def test_rsi_of_jesse_candles_is_as_published():
    rows = list(csv.DictReader((DATA / "reference/jesse_candles_14.csv").read_text().splitlines()))
    closes = np.array([[float(row["close"])] for row in rows])
    assert round(float(indicator(batches(closes), "rsi14")[-1, 0]), 2) == 57.84


def test_indicators_of_jesse_candles_are_as_published():
    values = np.loadtxt(
        DATA / "reference/jesse_candles_19.csv", delimiter=",", skiprows=1, usecols=range(1, 6)
    )
    expected = {
        "macd12_26_9": -15.32,
        "macd_signal12_26_9": -4.1,
        "macd_histogram12_26_9": -11.22,
        "stochastic_k5_1": 4.87,
        "stochastic_d5_1_3": 13.5,
    }
    found = indicators_of({"T0": values}, [*expected, "atr14"])["T0"]
    assert {name: round(float(found[name][-1]), 2) for name in expected} == expected
    assert round(float(100 * found["atr14"][-1] / values[-1, 3]), 2) == 22.55


def test_sma_of_chartschool_closes_is_as_published():
    rows = list(csv.DictReader((DATA / "reference/chartschool_sma20.csv").read_text().splitlines()))
    ours = indicator(batches(np.array([[float(row["Close"])] for row in rows])), "sma20")[:, 0]
    published = np.array([float(row["MiddleBand"] or "nan") for row in rows])
    assert_agree(ours, published, tolerance=1e-6)


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    gaps=st.sampled_from([0.0, 0.02, 0.5]),
    starts=st.lists(st.integers(0, 100), min_size=3, max_size=3),
)
def test_missing_and_added_tickers_have_the_values_of_their_own_candles(seed, gaps, starts):
    market = {f"T{number}": candles(200, seed + number) for number in range(3)}
    rng = np.random.default_rng(seed)
    there = {
        ticker: (rng.random(200) >= gaps) & (np.arange(200) >= start)
        for ticker, start in zip(market, starts, strict=True)
    }
    together = indicators_of(market, NAMES, there)
    for ticker, values in market.items():
        alone = indicators_of({ticker: values[there[ticker]]}, NAMES)[ticker]
        for name in NAMES:
            assert together[ticker][name][there[ticker]].tobytes() == alone[name].tobytes(), name


def test_tickers_in_another_order_keep_their_values():
    closes = random_walk(150, 5, seed=6)
    straight = indicator(batches(closes), "sma50")
    engine = Engine("1h", [], ["sma50"])
    rng = np.random.default_rng(1)
    for number, batch in enumerate(batches(closes)):
        order = rng.permutation(5)
        shuffled = engine.step(batch.take(order)).indicators["sma50"]
        assert shuffled.tobytes() == straight[number][order].tobytes()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rsi14", "RSI14"),
        ("volume_sma20", "volume SMA20"),
        ("macd_signal12_26_9", "MACD signal(12, 26, 9)"),
        ("bollinger_upper20_2", "Bollinger upper(20, 2)"),
        ("bollinger_lower20_0_25", "Bollinger lower(20, 0.25)"),
        ("stochastic_d14_3_3", "stochastic %D(14, 3, 3)"),
    ],
)
def test_conditions_call_an_indicator_what_people_call_it(name, words):
    engine = Engine("1h", [Above(name)])
    changes = [change for batch in one_ticker(candles(40, 3)) for change in engine.step(batch).changes]
    assert {change.why[0].text for change in changes} == {f"{words} > -1e+06"}


class Above(Algorithm):
    key = "above"
    name = "Above"
    version = "1"
    timeframe = "1h"

    def __init__(self, name):
        self.indicators = (name,)

    def entry(self, frame):
        return all_of(above(frame, self.indicators[0], -1e6))

    def exit(self, frame):
        return frame.close < 0


@pytest.mark.parametrize(
    "name",
    [
        *("sma", "sma0", "sma01", "sma12345", "rsi14x", "SMA9", "sma9_9", "volume9", "_sma9", "sma_9"),
        *("macd9", "macd12_26", "macd26_12_9", "macd1_26_9", "macd12_12_9", "stochastic_k14"),
        *("stochastic_d14_3", "bollinger_upper20", "bollinger_upper20_0", "bollinger_upper1_2"),
        *("bollinger_upper20_2_50", "bollinger20_2", "bollinger_upper20_100", "macd_histogram12_26_9_1"),
    ],
)
def test_unknown_indicator_is_an_error(name):
    with pytest.raises(ValueError, match="unknown indicators"):
        IndicatorSet([name])


@pytest.mark.parametrize("name", [*NAMES, *FURTHER])
def test_an_indicator_is_known_from_the_candle_that_its_name_says(name):
    known = ~np.isnan(indicator(batches(random_walk(260, 1, seed=5)), name))
    assert known.argmax() == Name.parse(name).first
    assert known.any()
