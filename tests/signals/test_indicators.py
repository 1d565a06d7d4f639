"""Indicators against TA-Lib, against published values, and where TA-Lib itself is not the reference.

TA-Lib is not the reference in two places: its SMA drifts once a large value has passed through the
window (`test_sma_is_exact_after_a_spike`: math.fsum is), and it prints an RSI of 0 where nothing moved
(`test_rsi_is_50_where_nothing_moved`: 50 by definition).
"""

import csv
import math

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from services.signals.engine import Engine
from services.signals.indicators import IndicatorSet
from tests.signals.market import DATA, INDICATORS, batches, indicator, one_ticker, random_walk, recorded, run

TALIB = {"sma": talib.SMA, "ema": talib.EMA, "rsi": talib.RSI}


def by_talib(name, closes):
    return TALIB[name[:3]](closes, int(name[3:]))


def assert_agree(ours, reference, tolerance=1e-9):
    assert np.array_equal(np.isnan(ours), np.isnan(reference)), "warm-ups differ"
    known = ~np.isnan(ours)
    assert np.all(np.abs(ours[known] - reference[known]) <= tolerance * np.abs(reference[known]))


def exact_means(closes, period):
    means = [math.fsum(closes[end - period : end]) / period for end in range(period, len(closes) + 1)]
    return np.array([math.nan] * (period - 1) + means)


@pytest.mark.parametrize("series", recorded(), ids=lambda series: series.ticker)
def test_all_agree_with_talib_on_recorded_candles(series):
    results = run(one_ticker(series.values), indicators=INDICATORS)
    closes = series.values[:, 3].copy()
    for name in INDICATORS:
        ours = np.array([result.indicators[name][0] for result in results])
        assert_agree(ours, by_talib(name, closes))


@pytest.mark.parametrize("name", [*INDICATORS, "sma1", "ema1", "sma200", "rsi2"])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e12])
def test_all_agree_with_talib_at_every_price_level(name, scale):
    closes = random_walk(700, 3, seed=5) * scale
    ours = indicator(batches(closes), name)
    for ticker in range(3):
        reference = closes[:, ticker] if name == "ema1" else by_talib(name, closes[:, ticker].copy())
        if name == "sma1":
            reference = closes[:, ticker]
        assert_agree(ours[:, ticker], reference)


@pytest.mark.parametrize("name", ["sma9", "sma50", "sma100"])
def test_sma_is_exact_after_a_spike(name):
    closes = random_walk(400, 1, seed=2)
    closes[150] = 1e12
    period = int(name[3:])
    reference = exact_means(closes[:, 0].tolist(), period)
    assert_agree(indicator(batches(closes), name)[:, 0], reference, tolerance=1e-10)
    drifted = np.abs(talib.SMA(closes[:, 0].copy(), period) / reference - 1)[150 + period :]
    assert drifted.max() > 1e-9, "TA-Lib no longer drifts: it can be the reference here too"


def test_sma_is_exact_while_the_price_collapses():
    closes = (1e12 * 0.5 ** np.arange(130.0))[:, np.newaxis]
    ours = indicator(batches(closes), "sma9")[:, 0]
    assert_agree(ours, exact_means(closes[:, 0].tolist(), 9), tolerance=1e-10)


def test_sma_forgets_all_rounding_within_64_candles():
    closes = random_walk(400, 1, seed=3)
    closes[100] *= 5000  # a sum that falls back by less than the factor that is mended at once
    ours = indicator(batches(closes), "sma9")[192:, 0]
    assert_agree(ours, exact_means(closes[:, 0].tolist(), 9)[192:], tolerance=2e-15)


def test_ema_and_rsi_after_a_spike_agree_with_talib():
    closes = random_walk(400, 1, seed=2)
    closes[150] = 1e12
    for name in ("ema50", "ema100", "rsi14"):
        assert_agree(indicator(batches(closes), name)[:, 0], by_talib(name, closes[:, 0].copy()))


def test_averages_of_a_flat_price_are_that_price():
    closes = np.full((300, 1), 0.1)
    for name in ("sma9", "sma100", "ema50"):
        ours = indicator(batches(closes), name)[:, 0]
        assert_agree(ours, by_talib(name, closes[:, 0].copy()), tolerance=1e-12)


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


def test_sma_of_chartschool_closes_is_as_published():
    rows = list(csv.DictReader((DATA / "reference/chartschool_sma20.csv").read_text().splitlines()))
    ours = indicator(batches(np.array([[float(row["Close"])] for row in rows])), "sma20")[:, 0]
    published = np.array([float(row["MiddleBand"] or "nan") for row in rows])
    assert_agree(ours, published, tolerance=1e-6)


def test_values_do_not_depend_on_the_tickers_beside():
    closes = random_walk(400, 7, seed=4)
    together = {name: indicator(batches(closes), name) for name in INDICATORS}
    for ticker in range(7):
        for name in INDICATORS:
            alone = indicator(batches(closes[:, ticker : ticker + 1]), name)
            assert together[name][:, ticker].tobytes() == alone[:, 0].tobytes()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_missing_and_added_tickers_have_the_values_of_their_own_candles(data):
    steps, tickers = 240, 4
    seed = data.draw(st.integers(0, 2**31))
    gaps = data.draw(st.sampled_from([0.0, 0.02, 0.5]))
    starts = np.array(data.draw(st.lists(st.integers(0, 100), min_size=tickers, max_size=tickers)))
    closes = random_walk(steps, tickers, seed)
    present = (np.random.default_rng(seed).random((steps, tickers)) >= gaps) & (
        np.arange(steps)[:, np.newaxis] >= starts
    )
    seen = {f"T{ticker}": {name: [] for name in INDICATORS} for ticker in range(tickers)}
    for result in run(batches(closes, present=present), indicators=INDICATORS):
        for place, ticker in enumerate(result.batch.tickers):
            for name in INDICATORS:
                seen[ticker][name].append(result.indicators[name][place])
    for number in range(tickers):
        own = closes[present[:, number], number][:, np.newaxis]
        for name in INDICATORS:
            assert np.array(seen[f"T{number}"][name]).tobytes() == indicator(batches(own), name).tobytes()


def test_tickers_in_another_order_keep_their_values():
    closes = random_walk(150, 5, seed=6)
    straight = indicator(batches(closes), "sma50")
    engine = Engine("1h", [], ["sma50"])
    rng = np.random.default_rng(1)
    for number, batch in enumerate(batches(closes)):
        order = rng.permutation(5)
        shuffled = engine.step(batch.take(order)).indicators["sma50"]
        assert shuffled.tobytes() == straight[number][order].tobytes()


@pytest.mark.parametrize("name", ["sma", "sma0", "macd9", "rsi14x", "SMA9"])
def test_unknown_indicator_is_an_error(name):
    with pytest.raises(ValueError, match="unknown indicators"):
        IndicatorSet([name])
