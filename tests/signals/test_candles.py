"""What is let in as a candle, and why the rest is not."""

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.signals.candles import (
    TIMEFRAMES,
    Candle,
    CandleBatch,
    CandleValidator,
    Outcome,
    Refusal,
    Verdict,
    length_of,
)
from tests.signals.market import START

GOOD = Candle("BTC", START, 10.0, 12.0, 9.0, 11.0, 5.0)
HOUR = timedelta(hours=1)


def nothing_earlier(ticker, open_time):
    return None


def validator(*, backfill=False, earlier=nothing_earlier, timeframe="1h"):
    return CandleValidator(timeframe, backfill=backfill, earlier=earlier)


def refused(reason):
    return Verdict(Outcome.REFUSED, reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"close": math.nan}, Refusal.NON_FINITE),
        ({"high": math.inf}, Refusal.NON_FINITE),
        ({"volume": math.nan}, Refusal.NON_FINITE),
        ({"low": -9.0}, Refusal.NEGATIVE),
        ({"volume": -1.0}, Refusal.NEGATIVE),
        ({"low": 0.0}, Refusal.ZERO_PRICE),
        ({"open": 0.0, "low": 0.0}, Refusal.ZERO_PRICE),
        ({"high": 10.5}, Refusal.BROKEN_RANGE),
        ({"low": 10.5}, Refusal.BROKEN_RANGE),
        ({"close": 12.5}, Refusal.BROKEN_RANGE),
        ({"open": 8.5}, Refusal.BROKEN_RANGE),
        ({"open_time": START + timedelta(minutes=30)}, Refusal.OFF_GRID),
        ({"open_time": START + timedelta(microseconds=1)}, Refusal.OFF_GRID),
    ],
)
def test_candle_with_impossible_values_is_refused_with_its_reason(change, reason):
    assert validator().check(GOOD._replace(**change)) == refused(reason)


def test_every_reason_has_words():
    assert len({reason.words for reason in Refusal}) == len(Refusal)


def test_good_candles_in_order_are_accepted_whether_or_not_one_is_missing():
    check = validator().check
    times = [START, START + HOUR, START + 5 * HOUR]
    assert [check(GOOD._replace(open_time=time)).outcome for time in times] == [Outcome.ACCEPTED] * 3


def test_zero_volume_and_a_range_of_one_price_are_good():
    assert validator().check(Candle("BTC", START, 1.0, 1.0, 1.0, 1.0, 0.0)).outcome is Outcome.ACCEPTED


def test_repeat_with_the_same_values_is_ignored_and_with_others_refused():
    check = validator().check
    check(GOOD)
    assert check(GOOD) == Verdict(Outcome.IGNORED)
    assert check(GOOD._replace(volume=6.0)) == refused(Refusal.REPEATED_WITH_OTHER_VALUES)


def test_repeat_of_a_candle_before_the_last_is_seen_as_one():
    known = {("BTC", START): GOOD}
    checked = validator(earlier=lambda ticker, time: known.get((ticker, time)))
    checked.resume(GOOD._replace(open_time=START + HOUR))
    assert checked.check(GOOD) == Verdict(Outcome.IGNORED)
    assert checked.check(GOOD._replace(close=10.5)) == refused(Refusal.REPEATED_WITH_OTHER_VALUES)


@pytest.mark.parametrize(
    ("backfill", "verdict"), [(True, Verdict(Outcome.LATE)), (False, refused(Refusal.OUT_OF_ORDER))]
)
def test_new_candle_behind_the_last_is_late_in_live_operation_and_out_of_order_in_a_file(backfill, verdict):
    checked = validator(backfill=backfill)
    checked.check(GOOD._replace(open_time=START + 2 * HOUR))
    assert checked.check(GOOD) == verdict


def test_refused_candle_does_not_move_the_ticker_on():
    checked = validator()
    checked.check(GOOD._replace(open_time=START + HOUR, close=math.nan))
    assert checked.check(GOOD).outcome is Outcome.ACCEPTED


def test_tickers_have_their_own_order():
    checked = validator()
    checked.check(GOOD._replace(open_time=START + HOUR))
    assert checked.check(GOOD._replace(ticker="ETH")).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_grid_of_every_timeframe_is_aligned_to_utc(timeframe):
    check = validator(timeframe=timeframe).check
    assert check(GOOD).outcome is Outcome.ACCEPTED
    assert check(GOOD._replace(open_time=START + length_of(timeframe))).outcome is Outcome.ACCEPTED
    off = START + 2 * length_of(timeframe) - timedelta(seconds=30)
    assert check(GOOD._replace(open_time=off)) == refused(Refusal.OFF_GRID)


def test_candle_closes_one_timeframe_after_it_opens():
    batch = batch_of([GOOD])
    assert (batch.open_time, batch.close_time) == (START, START + HOUR)
    assert batch.candle(0) == GOOD


def test_unknown_timeframe_is_an_error():
    with pytest.raises(ValueError, match="unknown timeframe '2h'"):
        validator(timeframe="2h")


def test_batch_with_columns_of_another_length_or_type_is_an_error():
    column = np.ones(1)
    with pytest.raises(ValueError, match="column volume"):
        CandleBatch("1h", START, ("A",), column, column, column, column, np.ones(2))
    with pytest.raises(ValueError, match="column open"):
        CandleBatch("1h", START, ("A",), np.ones(1, dtype=np.int64), column, column, column, column)


def test_validator_of_one_timeframe_takes_no_batch_of_another():
    with pytest.raises(ValueError, match="a batch of 1h for a validator of 4h"):
        validator(timeframe="4h").check_batch(batch_of([GOOD]))


def test_good_batch_is_accepted_as_it_is():
    batch = batch_of([GOOD, GOOD._replace(ticker="ETH")])
    accepted, others = validator().check_batch(batch)
    assert accepted is batch
    assert others == []


def test_validator_goes_on_after_the_candles_of_a_batch():
    checked = validator()
    checked.follow(batch_of([GOOD, GOOD._replace(ticker="ETH")]))
    assert checked.check(GOOD._replace(ticker="ETH")).outcome is Outcome.IGNORED
    assert checked.check(GOOD._replace(volume=7.0)).reason is Refusal.REPEATED_WITH_OTHER_VALUES
    assert checked.check(GOOD._replace(open_time=START + HOUR)).outcome is Outcome.ACCEPTED


def test_batch_off_the_grid_is_refused_as_a_whole():
    batch = batch_of([GOOD._replace(open_time=START + timedelta(minutes=1))])
    accepted, others = validator().check_batch(batch)
    assert len(accepted) == 0
    assert [verdict.reason for _, verdict in others] == [Refusal.OFF_GRID]


def batch_of(candles):
    columns = np.array([candle.values for candle in candles]).T.copy()
    tickers = tuple(candle.ticker for candle in candles)
    return CandleBatch("1h", candles[0].open_time + HOUR, tickers, *columns)


numbers = st.sampled_from([1.0, 2.0, 3.0, 0.0, -1.0, math.nan, math.inf])
rows = st.one_of(
    st.sampled_from([GOOD.values, GOOD._replace(volume=0.0).values]),
    st.tuples(numbers, numbers, numbers, numbers, numbers),
)
one_close = st.lists(rows, min_size=3, max_size=3)


@given(
    closes=st.lists(st.tuples(st.integers(0, 3), one_close), min_size=1, max_size=6), backfill=st.booleans()
)
def test_judging_in_batches_and_row_by_row_agree(closes, backfill):
    in_batches, by_row = validator(backfill=backfill), validator(backfill=backfill)
    for hour, row_values in closes:
        candles = [Candle(f"T{n}", START + hour * HOUR, *values) for n, values in enumerate(row_values)]
        accepted, others = in_batches.check_batch(batch_of(candles))
        verdicts = {candle.ticker: by_row.check(candle) for candle in candles}
        kept = [ticker for ticker, verdict in verdicts.items() if verdict.outcome is Outcome.ACCEPTED]
        assert list(accepted.tickers) == kept
        assert {candle.ticker: verdict for candle, verdict in others} == {
            ticker: verdict for ticker, verdict in verdicts.items() if ticker not in kept
        }
